"""The commands for people need no more than the grants that the README lists for `run`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.two_way.test_least_privilege import ROLE, grants

from .conftest import PASSWORD, Site
from .history_site import insert, linked, made, prepare, waiting

TABLES = {"crm": ("account", "contact", "line"), "erp": ("customer", "person", "line")}


@pytest.fixture
def clerk(site: Site) -> Iterator[Site]:
    """After `init` by the owner, entered by a role that has what the README says."""
    prepare(site)
    administrator = dict(site.environ)
    for node, tables in TABLES.items():
        site.db(node).execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[call-overload]
        for table in tables:
            for statement in grants(node, table):
                site.db(node).execute(statement)  # type: ignore[call-overload]
        site.instead(node, user=ROLE)
    yield site
    site.environ = administrator
    for node in TABLES:
        site.db(node).execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")  # type: ignore[call-overload]


def test_commands_with_the_documented_grants(clerk: Site) -> None:
    key = linked(clerk, made_by="crm")
    insert(clerk, "erp", "ledger_customer", erp_no=1, fields="100000", stamp=made("crm", 5), lsn="0/1", source_lsn="0/2")
    identity = waiting(clerk, source_key="1", target_key=str(key))
    for arguments in (
        ["status"],
        ["conflicts", "list"],
        ["conflicts", "show", identity],
        ["conflicts", "replay", "--rule", "name=merge:crm.name || erp.company", "--rule", "city=owner:erp"],
        ["conflicts", "resolve", identity, "--take", "erp"],
        ["explain", "customer", "1"],
    ):
        result = clerk(*arguments)
        assert result.code == 0, (arguments, result.out, result.err)
    assert clerk.rows("crm", "SELECT wanted FROM replicator.conflict") == [("erp",)]
    shown = clerk("conflicts", "show", identity)
    assert "crm has 'Graz', erp has 'Linz'" in shown.one_line("now ")
    assert "transaction committed at 0/2" in clerk("explain", "customer", "1").one_line("name ")
    assert clerk("run", "--once", "--metrics", "127.0.0.1:0").code == 0

"""`init` and `teardown`: what the dry run prints is what happens, twice changes nothing, and no trace remains."""

from __future__ import annotations

import sys
from typing import Any

import psycopg
import pytest

from .conftest import CUSTOMER, Site

# Everything of a database, and of its server, that `init` could touch.
TRACES = {
    "schemas": "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast_temp)'",
    "relations": "SELECT relnamespace::regnamespace::text, relname, relkind::text, relreplident::text FROM pg_class"
    " WHERE relnamespace::regnamespace::text !~ '^pg_'",
    "functions": "SELECT pronamespace::regnamespace::text, proname FROM pg_proc WHERE oid >= 16384",
    "triggers": "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal",
    "event triggers": "SELECT evtname FROM pg_event_trigger",
    "publications": "SELECT pubname FROM pg_publication",
    "publication tables": "SELECT pubname, schemaname, tablename FROM pg_publication_tables",
    "slots": "SELECT slot_name FROM pg_replication_slots",
    "origins": "SELECT roname FROM pg_replication_origin",
    "extensions": "SELECT extname FROM pg_extension",
    "database settings": "SELECT setconfig::text FROM pg_db_role_setting",
}


def traces(site: Site) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    return {(node, what): sorted(site.rows(node, sql)) for node in ("crm", "erp") for what, sql in TRACES.items()}


def test_dry_run_prints_and_changes_nothing(site: Site) -> None:
    before = traces(site)
    result = site("init", "--dry-run")
    assert result.code == 0
    assert result.one_line("-- crm: replication slot replicator_crm_to_erp")
    failover = ", failover => true" if site.db("crm").info.server_version >= 170000 else ""
    assert result.one_line(f"SELECT pg_create_logical_replication_slot('replicator_crm_to_erp', 'pgoutput'{failover});")
    assert result.one_line('ALTER TABLE "crm"."account" REPLICA IDENTITY FULL;')
    assert result.out.splitlines()[-1].endswith("actions; nothing was changed")
    assert traces(site) == before


def test_dry_run_is_what_init_does(site: Site) -> None:
    planned = site("init", "--dry-run", "--json").document
    done = site("init", "--json").document
    assert (planned["dry_run"], planned["done"]) == (True, 0)
    assert (done["dry_run"], done["done"]) == (False, len(planned["actions"]))
    assert [(a["node"], a["what"]) for a in done["actions"]] == [(a["node"], a["what"]) for a in planned["actions"]]


def test_init_twice(ready: Site) -> None:
    before = traces(ready)
    result = ready("init")
    assert (result.code, result.out) == (0, "nothing to do\n")
    assert traces(ready) == before
    assert ready("init", "--dry-run", "--json").document["actions"] == []


def test_another_link_is_for_plan(site: Site) -> None:
    contact = (site.folder / "links" / "contact.yaml").read_text()
    (site.folder / "links" / "contact.yaml").unlink()
    assert site("init").code == 0
    site.link("contact", contact)
    before = traces(site)
    assert "link contact is new" in site("check").one_line("links: K045")
    result = site("init")
    assert result.code == 2
    assert "link contact is new" in result.err
    assert "`replicator plan`" in result.err
    assert traces(site) == before


def test_teardown_leaves_no_trace(site: Site) -> None:
    site.db("crm").execute("ALTER TABLE crm.account REPLICA IDENTITY NOTHING")
    site.db("erp").execute("CREATE UNIQUE INDEX customer_by_no ON erp.customer (no)")
    site.db("erp").execute("ALTER TABLE erp.customer REPLICA IDENTITY USING INDEX customer_by_no")
    before = traces(site)
    assert site("init").code == 0
    assert traces(site) != before
    assert site("run", "--until-idle", "0.2").code == 0
    planned = site("teardown", "--dry-run", "--json").document
    result = site("teardown", "--json").document
    assert result["actions"] == planned["actions"]
    assert result["done"] == len(planned["actions"]) > 0
    assert traces(site) == before
    again = site("teardown", "--yes")
    assert (again.code, again.out) == (0, "nothing to do\n")


def test_teardown_of_what_was_never_initialised(site: Site) -> None:
    result = site("teardown")
    assert (result.code, result.out) == (0, "nothing to do\n")


def test_teardown_with_a_broken_link(ready: Site) -> None:
    """What must be taken back does not depend on the links."""
    ready.link("customer", CUSTOMER.replace("key: id", "kay: id"))
    assert ready("teardown").code == 0
    assert ready.rows("crm", "SELECT FROM pg_namespace WHERE nspname = 'replicator'") == []


@pytest.mark.parametrize(("answer", "code", "schemas"), [("n\n", 1, 1), ("\n", 1, 1), ("y\n", 0, 0)])
def test_teardown_asks_on_a_terminal(ready: Site, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, schemas: int) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
    result = ready("teardown")
    assert result.code == code
    assert "Remove " in result.err
    assert len(ready.rows("crm", "SELECT FROM pg_namespace WHERE nspname = 'replicator'")) == schemas


def test_teardown_while_a_slot_is_read(ready: Site) -> None:
    with psycopg.connect(ready.environ["CRM_DSN"] + "?replication=database", autocommit=True) as reader:
        options = "proto_version '1', publication_names 'replicator_crm_to_erp'"
        reader.execute(f"START_REPLICATION SLOT replicator_crm_to_erp LOGICAL 0/0 ({options})")
        result = ready("teardown")
        assert result.code == 2
        assert result.one_line("crm: slot replicator_crm_to_erp is being read")
        reader.close()
    assert len(ready.rows("erp", "SELECT FROM pg_publication WHERE pubname = 'replicator_erp_to_crm'")) == 1


def test_the_databases_mixed_up(ready: Site) -> None:
    """The same two databases under each other's names."""
    ready.environ = {"CRM_DSN": ready.environ["ERP_DSN"], "ERP_DSN": ready.environ["CRM_DSN"]}
    result = ready("init")
    assert result.code == 1
    assert result.lines("crm has no table crm.account")

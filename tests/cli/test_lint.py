"""`replicator lint`: files alone, against the tables, and against the servers' own understanding of the SQL."""

from __future__ import annotations

import pytest

from .conftest import CONTACT, CUSTOMER, Site


def test_files_alone(offline: Site) -> None:
    result = offline("lint", "--offline")
    assert result.code == 0
    assert result.out == "2 links, 6 fields, 0 errors, 0 warnings\n"


def test_says_why_servers_were_not_asked(offline: Site) -> None:
    result = offline("lint")
    assert result.code == 0
    assert result.one_line("K051 note: not checked against the databases: CRM_DSN, ERP_DSN not set")
    assert offline("lint", "--online").code == 1


def test_wrong_link(offline: Site) -> None:
    offline.link("contact", CONTACT.replace("name, erp: nm", "name, erp: nm, rule: nobody"))
    result = offline("lint", "--offline")
    assert result.code == 1
    assert result.one_line("links/contact.yaml:7:")
    assert result.out.splitlines()[-1] == "1 link, 4 fields, 1 error, 0 warnings"
    assert offline("run").code == 2
    assert offline("lint", "--offline", "--json").document["findings"][0]["line"] == 7


def test_broken_configuration(offline: Site) -> None:
    (offline.folder / "replicator.yaml").write_text("nodes: {crm: [}\n")
    result = offline("lint")
    assert result.code == 1
    assert result.one_line("replicator.yaml:1:")


def test_with_servers(site: Site) -> None:
    result = site("lint", "--online")
    assert result.code == 0, result.out
    assert result.out.splitlines()[-1] == "2 links, 6 fields, 0 errors, 1 warning"
    assert site.rows("crm", "SELECT FROM pg_namespace WHERE nspname = 'replicator'") == []


def test_unknown_column(site: Site) -> None:
    site.link("customer", CUSTOMER.replace("erp: town", "erp: twon"))
    result = site("lint")
    assert result.code == 1
    assert "links/customer.yaml:7:5: L502" in result.one_line("has no column twon (did you mean 'town'?)")
    refused = site("run", "--until-idle", "1")
    assert refused.code == 2
    assert refused.one_line("links/customer.yaml:7:5: L502")


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("{crm: note, erp: note}", '{erp: note, from: "crm.name * 2"}', "8:24", "field note: operator does not exist"),
        ("crm.stage = 'won'", "crm.stage + 1 = 2", "4:16", "operator does not exist: text + integer"),
        ("{crm: note, erp: note}", '{erp: note, initial: "cast(crm.id as integer)"}', "8:27", "cannot cast type uuid"),
        ("key: no}", 'key: no, where: "erp.town > 3"}', "3:45", "operator does not exist: text > integer"),
    ],
)
def test_the_server_refuses_an_expression(site: Site, old: str, new: str, place: str, said: str) -> None:
    site.link("customer", CUSTOMER.replace(old, new))
    result = site("lint")
    assert result.code == 1
    assert all(f"links/customer.yaml:{place}: K060" in line for line in result.lines(said))
    assert result.lines(said)
    assert not result.lines("K062")


def test_a_server_that_is_away_is_a_note(site: Site) -> None:
    site.instead("erp", port="1")
    result = site("lint")
    assert result.code == 0
    assert result.one_line("erp: K050 note: cannot connect to")
    demanded = site("lint", "--online")
    assert demanded.code == 1
    assert demanded.one_line("erp: K050 cannot connect to")

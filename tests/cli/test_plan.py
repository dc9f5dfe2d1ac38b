"""`plan`: what changed link files do to an initialised installation, before they do it and when they do."""

from __future__ import annotations

import sys
from typing import Any

import psycopg
import pytest

from replicator.engines.postgres.applied import remember
from replicator.errors import NodeUnavailable
from replicator.mapping.config import load_config
from replicator.runtime.wiring import node_pairs, open_exchange

from .conftest import CONTACT, CUSTOMER, Site
from .test_init import traces

PHONE = CUSTOMER.replace("  - {crm: city", "  - {crm: phone, erp: tel}\n  - {crm: city")
PHONES = {"crm": "ALTER TABLE crm.account ADD phone text", "erp": "ALTER TABLE erp.customer ADD tel text"}
OFFICE = """\
link: office
crm: {table: crm.office, key: id}
erp: {table: erp.office, key: no}
fields:
  - {crm: name, erp: label}
"""
OFFICES = {
    "crm": "CREATE TABLE crm.office (id serial PRIMARY KEY, name text)",
    "erp": "CREATE TABLE erp.office (no serial PRIMARY KEY, label text)",
}


def both(site: Site, sql: dict[str, str]) -> None:
    for node, statement in sql.items():
        site.db(node).execute(statement)  # type: ignore[call-overload]


def signs(document: dict[str, Any], node: str) -> list[str]:
    return [f"{a['sign']} {a['what']}" for a in document["actions"] if a["node"] == node]


def settled(site: Site) -> None:
    """Nothing is left to do, and the replicator starts."""
    result = site("plan")
    assert (result.code, result.out) == (0, "nothing to do: the databases are as the links say\n")
    assert site("run", "--once").code == 0
    assert site("check").code == 0


def test_nothing_to_do(ready: Site) -> None:
    before = traces(ready)
    settled(ready)
    assert ready("plan", "--apply").code == 0
    assert ready("plan", "--json").document["changes"] is False
    assert traces(ready) == before


def test_before_init(site: Site) -> None:
    result = site("plan")
    assert result.code == 2
    assert "run `replicator init` first" in result.err


def test_a_broken_link(ready: Site) -> None:
    ready.link("customer", CUSTOMER.replace("crm: city", "crm: nowhere"))
    result = ready("plan")
    assert result.code == 2
    assert result.one_line("L502")


def test_a_link_is_added(ready: Site) -> None:
    both(ready, OFFICES)
    ready.db("crm").execute("INSERT INTO crm.office (name) VALUES ('old')")
    ready.link("office", OFFICE)
    before = traces(ready)
    result = ready("plan")
    assert result.code == 1
    assert result.one_line("  + office: crm crm.office <-> erp erp.office")
    assert result.one_line("rows that are there already are not copied")
    assert result.one_line("  ~ replica identity full of crm.office: link office reads it and must see what each edit changed")
    assert result.one_line('      ALTER PUBLICATION "replicator_erp_to_crm" ADD TABLE "erp"."office";')
    assert result.one_line("stop `replicator run`")
    assert traces(ready) == before
    refused = ready("run", "--once")
    assert refused.code == 2
    assert "link office is new" in refused.err
    assert "`replicator plan --apply`" in refused.err
    planned = ready("plan", "--json").document
    done = ready("plan", "--apply", "--json").document
    assert done["actions"] == planned["actions"]
    assert done["done"] == len(planned["actions"]) > 0
    settled(ready)
    ready.db("crm").execute("INSERT INTO crm.office (name) VALUES ('new')")
    assert ready("run", "--once").code == 0
    assert ready.rows("erp", "SELECT label FROM erp.office") == [("new",)]


def test_a_link_is_removed(ready: Site) -> None:
    before = traces(ready)
    both(ready, OFFICES)
    with_tables = traces(ready)
    ready.link("office", OFFICE)
    assert ready("plan", "--apply").code == 0
    ready.db("crm").execute("INSERT INTO crm.office (name) VALUES ('one'), ('two')")
    ready.db("erp").execute("INSERT INTO erp.office (label) VALUES ('three')")
    assert ready("run", "--once").code == 0
    (ready.folder / "links" / "office.yaml").unlink()
    assert "link office is gone" in ready("run", "--once").err
    result = ready("plan")
    assert result.one_line("  - office: crm crm.office and erp erp.office")
    assert len(result.lines('  - table replicator."crosswalk_office": no link uses it; 3 pairs are forgotten with it')) == 2
    refused = ready("plan", "--apply")
    assert refused.code == 2
    assert refused.one_line("3 pairs of records would be forgotten")
    assert ready("plan", "--apply", "--forget").code == 0
    assert traces(ready) == with_tables
    settled(ready)
    for node in ("crm", "erp"):
        ready.db(node).execute(f"DROP TABLE {node}.office")  # type: ignore[call-overload]
    assert traces(ready) == before


def test_a_derived_column_reads_another_table(ready: Site) -> None:
    both(
        ready,
        {
            "crm": "CREATE TABLE crm.city (id serial PRIMARY KEY, account_id uuid REFERENCES crm.account, label text)",
            "erp": "ALTER TABLE erp.customer ADD place text",
        },
    )
    derived = 'crm:\n  table: crm.account\n  key: id\n  derived: {place: "select c.label from crm.city c where c.account_id = crm.id"}\n'
    text = CUSTOMER.replace("crm: {table: crm.account, key: id}\n", derived) + "  - {crm: place, erp: place}\n"
    ready.db("crm").execute("INSERT INTO crm.account (name) VALUES ('ACME')")
    assert ready("run", "--once").code == 0
    ready.link("customer", text)
    result = ready("plan", "--json").document
    assert signs(result, "crm") == [
        '~ field numbers in 1 row of replicator."ledger_customer"',
        "~ replica identity full of crm.city",
        "+ publication replicator_crm_to_erp: with crm.city",
    ]
    assert "link customer has other fields (place is new)" in ready("run", "--once").err
    assert ready("plan", "--apply").code == 0
    settled(ready)
    ready.db("crm").execute("INSERT INTO crm.city (account_id, label) SELECT id, 'Wien' FROM crm.account")
    assert ready("run", "--once").code == 0
    assert ready.rows("erp", "SELECT place FROM erp.customer") == [("Wien",)]
    ready.link("customer", CUSTOMER)
    assert ready("plan", "--apply").code == 0
    assert ready.rows("crm", "SELECT relreplident::text FROM pg_class WHERE oid = 'crm.city'::regclass") == [("d",)]
    settled(ready)
    ready.db("crm").execute("DROP TABLE crm.city")


def test_a_field_in_the_middle_while_an_older_value_lies_over_an_unread_edit(ready: Site) -> None:
    """The ledger's masks go by field number, and decide what is healed."""
    both(ready, PHONES)
    ready.db("crm").execute("INSERT INTO crm.account (name, city, note) VALUES ('ACME', 'Wien', 'n')")
    assert ready("run", "--once").code == 0
    ready.db("crm").execute("UPDATE crm.account SET city = 'Graz', note = 'older'")
    ready.db("erp").execute("UPDATE erp.customer SET town = 'Linz'")
    config, _ = load_config(ready.folder / "replicator.yaml", ready.environ)
    assert config is not None
    opened = open_exchange(config, node_pairs(config)[0], ready.environ)
    try:
        while not opened.exchange.flows[0].step():
            pass
    finally:
        opened.close()
    assert ready.rows("erp", "SELECT town, note FROM erp.customer") == [("Graz", "older")]
    ready.link("customer", PHONE)
    before = ready.rows("erp", "SELECT fields::text FROM replicator.ledger_customer ORDER BY lsn, stamp")
    assert before[-1] == ("0110",)
    assert "link customer has other fields (phone is new)" in ready("run", "--once").err
    assert len(ready("plan").lines('  ~ field numbers in 1 row of replicator."ledger_customer"')) == 2
    assert ready("plan", "--apply").code == 0
    after = ready.rows("erp", "SELECT fields::text FROM replicator.ledger_customer ORDER BY lsn, stamp")
    assert after[-1] == ("00110",)
    settled(ready)
    assert ready.rows("erp", "SELECT town, note FROM erp.customer") == [("Linz", "older")]
    assert ready.rows("crm", "SELECT city, note FROM crm.account") == [("Linz", "older")]
    ready.link("customer", CUSTOMER.replace("  - {crm: name, erp: company}\n", "") + "  - {crm: name, erp: company}\n")
    assert ready("plan").one_line("      ~ the order of the fields: city, note, erp_no, name")
    assert ready("plan", "--apply").code == 0
    settled(ready)
    explained = ready("explain", "customer", "1", "--on", "erp")
    assert explained.one_line("note ", "'older'", "crm, ", "rule latest")


def test_a_column_that_unread_changes_do_not_have(ready: Site) -> None:
    """Nor would a flow get past them: they are carried over first, by the links as they were."""
    ready.db("crm").execute("INSERT INTO crm.account (name) VALUES ('unread')")
    both(ready, PHONES)
    ready.link("customer", PHONE)
    before = traces(ready)
    result = ready("plan", "--apply")
    assert result.code == 3
    assert result.one_line("crm: changes of crm.account from before it had phone are not carried over to erp yet")
    assert traces(ready) == before
    ready.link("customer", CUSTOMER)
    assert ready("run", "--once").code == 0
    ready.link("customer", PHONE)
    assert ready("plan", "--apply").code == 0
    settled(ready)
    ready.db("crm").execute("UPDATE crm.account SET phone = '1'")
    assert ready("run", "--once").code == 0
    assert ready.rows("erp", "SELECT company, tel FROM erp.customer") == [("unread", "1")]


def test_parked_changes_take_new_fields_along(ready: Site) -> None:
    ready.db("crm").execute("INSERT INTO crm.account (name, stage) VALUES ('ACME', 'lead')")
    ready.db("crm").execute("ALTER TABLE crm.contact ADD mail text")
    ready.db("erp").execute("ALTER TABLE erp.person ADD mail text")
    ready.db("crm").execute("INSERT INTO crm.contact (account_id, name, mail) SELECT id, 'Ann', 'ann@x' FROM crm.account")
    assert ready("run", "--once").code == 0
    assert ready.rows("erp", "SELECT payload ->> 'fields' FROM replicator.parked") == [("3",)]
    ready.link("contact", CONTACT.replace("  - {crm: name", "  - {crm: mail, erp: mail}\n  - {crm: name"))
    assert "~ field numbers in 1 row of replicator.parked" in signs(ready("plan", "--json").document, "erp")
    assert ready("plan", "--apply").code == 0
    assert ready.rows("erp", "SELECT payload ->> 'fields', payload -> 'values' ->> 'mail' FROM replicator.parked") == [
        ("7", "ann@x")
    ]
    ready.db("crm").execute("UPDATE crm.account SET stage = 'won'")
    assert ready("run", "--once").code == 0
    assert ready.rows("erp", "SELECT nm, mail FROM erp.person") == [("Ann", "ann@x")]
    settled(ready)


def test_a_link_goes_one_way_now(site: Site) -> None:
    both(site, OFFICES)
    before = traces(site)
    site.link("office", OFFICE)
    assert site("init").code == 0
    site.link(
        "customer", CUSTOMER.replace("fields:", "flow: crm -> erp\nfields:").replace("  - {crm: erp_no, erp: no, to: crm}\n", "")
    )
    site.link("office", OFFICE.replace("fields:", "flow: crm -> erp\nfields:"))
    result = site("plan", "--json").document
    assert signs(result, "erp") == [
        '- table replicator."ledger_customer"',
        '- table replicator."ledger_office"',
        "~ replica identity of erp.office as it was before",
        "~ replica identity of erp.customer as it was before",
        "- publication replicator_erp_to_crm",
        "- replication slot replicator_erp_to_crm",
    ]
    assert "- checkpoint of flow erp_to_crm" in signs(result, "crm")
    assert result["must_be_stopped"] is True
    assert site("plan", "--apply").code == 0
    settled(site)
    site.link("customer", CUSTOMER)
    site.link("office", OFFICE)
    assert site("plan", "--apply").code == 0
    settled(site)
    site.db("erp").execute("INSERT INTO erp.office (label) VALUES ('from there')")
    assert site("run", "--once").code == 0
    assert site.rows("crm", "SELECT name FROM crm.office") == [("from there",)]
    assert site("teardown", "--yes").code == 0
    assert traces(site) == before


def test_a_link_has_another_key(ready: Site) -> None:
    both(ready, OFFICES)
    ready.link("office", OFFICE)
    assert ready("plan", "--apply").code == 0
    both(
        ready,
        {"crm": "ALTER TABLE crm.office ADD code text UNIQUE NOT NULL", "erp": "ALTER TABLE erp.office ADD code text UNIQUE"},
    )
    ready.link("office", OFFICE.replace("key: id", "key: code") + "  - {crm: code, erp: code}\n")
    refused = ready("run", "--once")
    assert refused.code == 2
    assert "link office has another key" in refused.err
    assert ready("lint").code == 0
    result = ready("plan", "--json").document
    assert signs(result, "crm")[:2] == ['- table replicator."crosswalk_office"', '- table replicator."ledger_office"']
    assert '+ table replicator."crosswalk_office"' in signs(result, "crm")
    assert ready("plan", "--apply").code == 0
    settled(ready)


def test_a_publication_was_changed_by_somebody(ready: Site) -> None:
    ready.db("crm").execute("ALTER PUBLICATION replicator_crm_to_erp DROP TABLE crm.contact")
    ready.db("crm").execute("ALTER PUBLICATION replicator_crm_to_erp SET (publish = 'insert')")
    ready.db("crm").execute("ALTER PUBLICATION replicator_crm_to_erp SET TABLE crm.account (id, name)")
    result = ready("plan")
    assert result.code == 1
    assert result.one_line("  + publication replicator_crm_to_erp: with crm.contact")
    assert result.one_line("  ~ publication replicator_crm_to_erp: all of crm.account: only some rows or columns are published")
    assert result.one_line("  ~ publication replicator_crm_to_erp: what it publishes")
    assert result.one_line("a running replicator may go on meanwhile")
    assert ready("plan", "--apply").code == 0
    settled(ready)


def test_what_the_daemon_takes_as_it_is(ready: Site) -> None:
    ready.link(
        "customer", CUSTOMER.replace("{crm: note, erp: note}", "{crm: note, erp: note, rule: crm}").replace("'won'", "'sold'")
    )
    result = ready("plan")
    assert result.code == 1
    assert result.one_line("      ~ field note: rule: latest -> owner crm")
    assert result.one_line("      ~ create.erp: crm.stage = 'won' -> crm.stage = 'sold'")
    assert result.one_line("a running replicator may go on meanwhile")
    applied = ready.rows("erp", "SELECT applied FROM replicator.link WHERE name = 'contact'")
    assert ready("run", "--once").code == 0
    settled(ready)
    assert ready.rows("erp", "SELECT applied FROM replicator.link WHERE name = 'contact'") == applied


def test_while_a_replicator_runs(ready: Site) -> None:
    both(ready, PHONES)
    ready.link("customer", PHONE)
    with psycopg.connect(ready.environ["ERP_DSN"], autocommit=True) as daemon:
        daemon.execute("SELECT pg_replication_origin_session_setup('replicator_crm_to_erp')")
        result = ready("plan", "--apply")
        assert result.code == 3
        assert result.one_line("erp: a replicator is running")
    assert ready("plan").code == 1
    assert ready("plan", "--apply").code == 0
    settled(ready)


def test_broken_off_after_one_node(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    both(ready, PHONES)
    ready.db("crm").execute("INSERT INTO crm.account (name) VALUES ('ACME')")
    assert ready("run", "--once").code == 0
    ready.db("erp").execute("UPDATE erp.customer SET town = 'Graz'")
    ready.db("crm").execute("UPDATE crm.account SET note = 'x'")
    assert ready("run", "--once").code == 0
    ready.link("customer", PHONE)

    def broken(connection: psycopg.Connection, *rest: Any, **options: Any) -> None:
        if connection.info.dbname == "erp":
            raise NodeUnavailable("erp: gone", "")
        remember(connection, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr("replicator.runtime.plan_apply.remember", broken)
        assert ready("plan", "--apply").code == 3
    widths = "SELECT DISTINCT length(fields) FROM replicator.ledger_customer"
    assert (ready.rows("crm", widths), ready.rows("erp", widths)) == ([(5,)], [(4,)])
    assert "link customer has other fields" in ready("run", "--once").err
    assert ready("plan").one_line("      + field phone")
    assert ready("plan", "--apply").code == 0
    assert (ready.rows("crm", widths), ready.rows("erp", widths)) == ([(5,)], [(5,)])
    settled(ready)


def test_a_table_that_somebody_holds(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replicator.runtime.plan.LOCK_TIMEOUT", "100ms")
    both(ready, PHONES)
    ready.link("customer", PHONE)
    with psycopg.connect(ready.environ["ERP_DSN"]) as other:
        other.execute("LOCK TABLE replicator.ledger_customer")
        result = ready("plan", "--apply")
    assert result.code == 3
    assert "erp" in result.err
    assert ready("plan", "--apply").code == 0


def test_state_of_an_earlier_version(ready: Site) -> None:
    for node in ("crm", "erp"):
        ready.db(node).execute("DROP TABLE replicator.link")
    assert "an earlier version" in ready("run", "--once").err
    result = ready("plan", "--apply")
    assert result.code == 0
    assert len(result.lines("  + table replicator.link")) == 2
    settled(ready)


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
def test_it_asks_on_a_terminal(ready: Site, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    both(ready, PHONES)
    ready.link("customer", PHONE)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
    result = ready("plan", "--apply")
    assert result.code == code
    assert "Carry this out on crm and erp?" in result.err
    assert ready("plan").code == 1 - (code == 0)


def test_teardown_leaves_nothing(site: Site) -> None:
    both(site, OFFICES | {})
    both(site, PHONES)
    before = traces(site)
    assert site("init").code == 0
    site.link("office", OFFICE)
    site.link("customer", PHONE)
    assert site("plan", "--apply").code == 0
    site.db("crm").execute("INSERT INTO crm.office (name) VALUES ('one')")
    assert site("run", "--once").code == 0
    assert site("teardown", "--yes").code == 0
    assert traces(site) == before


def test_new_tables_are_for_whom_the_others_are(ready: Site) -> None:
    ready.db("crm").execute("CREATE ROLE runner")
    try:
        ready.db("crm").execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA replicator TO runner")
        both(ready, OFFICES)
        ready.link("office", OFFICE)
        assert "+ privileges of runner on 3 new tables" in signs(ready("plan", "--json").document, "crm")
        assert ready("plan", "--apply").code == 0
        granted = "SELECT has_table_privilege('runner', 'replicator.ledger_office', 'SELECT, INSERT, UPDATE, DELETE')"
        assert ready.rows("crm", granted) == [(True,)]
    finally:
        ready.db("crm").execute("DROP OWNED BY runner")
        ready.db("crm").execute("DROP ROLE runner")


# -- what would become of the rows that are there ----------------------------------------------------------------------


def effect(document: dict[str, Any], link: str, source: str) -> dict[str, Any]:
    found = [e for e in document["effects"] if (e["link"], e["source"]) == (link, source)]
    assert len(found) == 1
    assert found[0]["problem"] is None
    return found[0]  # type: ignore[no-any-return]


def test_counts_of_a_new_link(ready: Site) -> None:
    both(ready, OFFICES)
    ready.db("crm").execute("INSERT INTO crm.office (name) SELECT 'office ' || i FROM generate_series(1, 25) i")
    ready.db("erp").execute("INSERT INTO erp.office (label) VALUES ('office 3'), ('office 4'), ('elsewhere')")
    sequence = ready.rows("erp", "SELECT last_value FROM erp.office_no_seq")
    ready.link("office", OFFICE.replace("fields:", "match: {crm: name, erp: label}\nfields:"))
    before = traces(ready)
    document = ready("plan", "--json").document
    there, back = effect(document, "office", "crm"), effect(document, "office", "erp")
    assert (there["rows"], there["counts"]) == (25, {"created": 23, "equal": 2, "adopted": 2})
    assert (back["rows"], back["counts"]) == (3, {"created": 1, "equal": 2, "adopted": 2})
    assert there["samples"][0] == {"kind": "created", "source_key": "1", "target_key": None, "fields": []}
    assert traces(ready) == before
    assert ready.rows("erp", "SELECT last_value FROM erp.office_no_seq") == sequence
    sample = ready("plan", "--sample", "10")
    assert sample.one_line("  office, crm to erp, the first 10 rows only: 8 created, 2 equal, 2 adopted")
    assert ready("plan", "--sample", "0", "--json").document["effects"] == []
    ready.db("erp").execute("UPDATE erp.office SET label = 'office 3'")
    assert effect(ready("plan", "--json").document, "office", "crm")["counts"]["ambiguous"] == 1


def test_counts_of_a_changed_link(ready: Site) -> None:
    both(ready, PHONES)
    ready.db("crm").execute(
        "INSERT INTO crm.account (name, city, phone) VALUES ('A', 'Wien', '1'), ('B', 'Graz', NULL), ('C', NULL, '3')"
    )
    assert ready("run", "--once").code == 0
    ready.db("erp").execute("UPDATE erp.customer SET tel = '1' WHERE company = 'A'")
    assert ready("run", "--once").code == 0
    where = 'crm: {table: crm.account, key: id, where: "crm.city is not null"}'
    ready.link("customer", PHONE.replace("crm: {table: crm.account, key: id}", where))
    document = ready("plan", "--json", "--values").document
    there = effect(document, "customer", "crm")
    assert there["counts"] == {"equal": 2, "removed": 1}
    assert [s["kind"] for s in there["samples"]] == ["removed"]
    ready.link("customer", PHONE)
    hidden = ready("plan")
    assert hidden.one_line("  customer, crm to erp, 3 rows: 1 changed, 2 equal")
    assert hidden.lines("      ~ crm ", "= erp 3: phone")
    assert "'3'" not in hidden.out
    there = effect(ready("plan", "--json", "--values").document, "customer", "crm")
    assert there["fields"] == {"phone": 1}
    assert there["samples"][0]["fields"] == {"phone": {"new": "3", "old": None}}
    assert ready.rows("erp", "SELECT tel FROM erp.customer WHERE company = 'C'") == [(None,)]


def test_counts_of_what_waits_and_is_refused(site: Site) -> None:
    (site.folder / "links" / "contact.yaml").unlink()
    assert site("init").code == 0
    account = "INSERT INTO crm.account (name, stage) VALUES (%s, %s)"
    site.db("crm").execute(account, ("won", "won"))
    site.db("crm").execute(account, ("lead", "lead"))
    assert site("run", "--once").code == 0
    site.db("crm").execute("INSERT INTO crm.contact (account_id, name) SELECT id, name FROM crm.account ORDER BY name")
    site.db("crm").execute(
        "INSERT INTO crm.contact (account_id, name) SELECT id, 'no number' FROM crm.account WHERE name = 'won'"
    )
    both(site, {"erp": "ALTER TABLE erp.person ADD number int"})
    site.link("contact", CONTACT + "  - {erp: number, from: \"cast(nullif(crm.name, 'won') as integer)\"}\n")
    found = effect(site("plan", "--json").document, "contact", "crm")
    assert found["counts"] == {"refused": 2, "created": 1}
    site.link("contact", CONTACT)
    found = effect(site("plan", "--json").document, "contact", "crm")
    assert found["counts"] == {"created": 2}
    assert found["waiting"] == {"a record of link customer": 1}


def test_counts_of_a_link_without_a_crosswalk(ready: Site) -> None:
    both(
        ready,
        {
            "crm": "CREATE TABLE crm.country (iso text PRIMARY KEY, label text, live boolean)",
            "erp": "CREATE TABLE erp.country (code text PRIMARY KEY, label text)",
        },
    )
    ready.db("crm").execute(
        "INSERT INTO crm.country VALUES ('AT', 'Austria', true), ('DE', 'Germany', true), ('XX', 'X', false), ('FR', 'F', true)"
    )
    ready.db("erp").execute("INSERT INTO erp.country VALUES ('AT', 'Austria'), ('DE', 'German'), ('XX', 'X')")
    ready.link(
        "country",
        "link: country\ncrm: {table: crm.country, key: iso, where: crm.live}\nerp: {table: erp.country, key: code}\nflow: crm -> erp\n"
        "fields:\n  - {crm: iso, erp: code}\n  - {crm: label, erp: label}\n",
    )
    found = effect(ready("plan", "--json", "--values").document, "country", "crm")
    assert found["counts"] == {"created": 1, "changed": 1, "removed": 1, "equal": 1}
    changed = next(s for s in found["samples"] if s["kind"] == "changed")
    assert changed == {
        "kind": "changed",
        "source_key": "DE",
        "target_key": "DE",
        "fields": {"label": {"new": "Germany", "old": "German"}},
    }
    assert ready("plan", "--apply").code == 0
    settled(ready)


def test_counts_with_derived_columns_and_another_key(ready: Site) -> None:
    both(ready, OFFICES)
    ready.link("office", OFFICE)
    assert ready("plan", "--apply").code == 0
    ready.db("crm").execute("INSERT INTO crm.office (name) VALUES ('one'), ('two')")
    assert ready("run", "--once").code == 0
    both(ready, {"crm": "ALTER TABLE crm.office ADD code text UNIQUE", "erp": "ALTER TABLE erp.office ADD code text UNIQUE"})
    for node in ("crm", "erp"):
        ready.db(node).execute(f"UPDATE {node}.office SET code = 'c1' WHERE {'id' if node == 'crm' else 'no'} = 1")  # type: ignore[call-overload]
    ready.db("crm").execute("UPDATE crm.office SET code = 'c2' WHERE id = 2")
    assert ready("run", "--once").code == 0
    side = 'crm:\n  table: crm.office\n  key: code\n  derived: {size: "select count(*)::text from crm.office o where o.code <= crm.code"}'
    text = OFFICE.replace("crm: {table: crm.office, key: id}", side).replace("key: no", "key: code")
    ready.link("office", text.replace("label}", "label}\n  - {crm: code, erp: code}"))
    found = effect(ready("plan", "--json").document, "office", "crm")
    assert found["counts"] == {"created": 1, "equal": 1, "adopted": 1}

"""`replicator explain`: any value on either side can be traced to the change it comes from, or it is said why not."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from replicator.engines.postgres import records
from replicator.mapping.config import load_config

from .conftest import Site
from .history_site import conflict, insert, linked, made, prepare, waiting

FIELDS = ("name", "city", "note", "score", "stage", "erp_no")
LATELY = datetime.now(UTC).replace(microsecond=123_000) - timedelta(hours=3)


@pytest.fixture
def log(site: Site) -> Site:
    return prepare(site)


def ledger(site: Site, node: str, key: object, field: str, stamp: int, **columns: Any) -> None:
    """The replicator wrote that field there."""
    column = {"crm": "crm_id", "erp": "erp_no"}[node]
    bits = "".join("1" if name == field else "0" for name in FIELDS)
    insert(site, node, "ledger_customer", **{column: key, "fields": bits, "stamp": stamp, "lsn": "0/99"} | columns)


def at(seconds: float) -> str:
    return f"{LATELY + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def test_where_each_value_comes_from(log: Site) -> None:
    key = linked(log, made_by="erp", since=LATELY)
    log.db("crm").execute("UPDATE crm.account SET name = 'two', note = 'noted'")
    log.db("erp").execute("UPDATE erp.customer SET company = 'two', note = 'noted'")
    ledger(log, "erp", 1, "name", made("crm", 60, LATELY), source_lsn="0/AA")
    ledger(log, "crm", key, "name", made("erp", 120, LATELY), source_lsn="0/1A2B3C")
    ledger(log, "erp", 1, "note", made("crm", 30, LATELY))
    stamps = {"incoming_stamp": made("erp", 120, LATELY), "existing_stamp": made("crm", 119, LATELY)}
    won = conflict(log, "crm", source_key="1", target_key=str(key), winner="erp", **stamps)
    result = log("explain", "customer", "1")
    assert result.code == 0, result.err
    assert result.out.splitlines()[:2] == [
        f"customer: crm {key} = erp 1",
        f"one record since {at(0)}, made by a change on erp",
    ]
    name = f"erp, {at(120)}, transaction committed at 0/1A2B3C, rule latest, won conflict {won}"
    assert result.one_line("name ").split("  ")[-1] == name
    assert result.one_line("note ").endswith(f"crm, {at(30)}, rule owner erp")
    assert result.one_line("score ").endswith(f"as the record was made, from erp, {at(0)}")
    assert result.one_line("erp_no ").endswith("copied from erp to crm only")
    assert result.one_line("city ").split()[1:3] == ["'Graz'", "'Linz'"]
    document = log("explain", "customer", str(key), "--json").document
    assert document["keys"] == {"crm": [str(key)], "erp": ["1"]}
    first = document["fields"][0]
    assert first["values"] == {"crm": "two", "erp": "two"}
    assert first["place"] == "links/customer.yaml:5:5"
    assert first["origin"] == {
        "how": "edit", "node": "erp", "at": (LATELY + timedelta(seconds=120)).isoformat(),
        "position": "0/1A2B3C", "written_at": "0/99", "conflict": won,
    }  # fmt: skip


def test_what_history_does_not_reach(log: Site) -> None:
    linked(log)
    line = log("explain", "customer", "1").one_line("name ")
    assert line.endswith("not changed since the record was linked, or longer ago than history is kept (7 days)")
    linked(log, 2, made_by="crm", since=datetime.now(UTC) - timedelta(days=30))
    old = log("explain", "customer", "2")
    assert old.one_line("one record since", "made by a change on crm")
    assert old.one_line("name ").endswith("longer ago than history is kept (7 days)")


def test_entries_that_speak_of_something_else(log: Site) -> None:
    """Of fields that the link no longer has, and of a record that had the key before."""
    linked(log, made_by="erp", since=LATELY)
    ledger(log, "erp", 1, "name", made("crm", 60, LATELY), fields="11")
    ledger(log, "erp", 1, "name", made("crm", -60, LATELY))
    assert log("explain", "customer", "1").one_line("name ").endswith(f"as the record was made, from erp, {at(0)}")


def test_decisions(log: Site) -> None:
    key = str(linked(log, made_by="crm", since=LATELY))
    keys = {"source_key": "1", "target_key": key}
    asked = made("erp", 50, LATELY)
    merged = conflict(log, "crm", field="score", winner="both", rule="merge", written="9", incoming_stamp=asked, **keys)
    answer = (asked // 64 + 1) * 64 + 1
    ledger(log, "erp", 1, "score", answer)
    owned = conflict(
        log, "erp", field="note", winner="erp", rule="owner erp", existing_stamp=None, source_key=key, target_key="1"
    )
    settled = waiting(log, status="resolved", winner="erp", settled=LATELY, settled_by="ann", **keys)
    waits = waiting(log, field="stage", incoming="lead", existing="won", **keys)
    result = log("explain", "customer", "1")
    assert result.one_line("score ").endswith(f"rule merge, merged in conflict {merged}")
    assert result.one_line("note ").endswith(
        f"erp, which owns the field; the other side's change was put back in conflict {owned}"
    )
    assert result.one_line("city ").endswith(f"ann settled conflict {settled}, {at(0)}: erp's value")
    assert result.one_line("stage ").endswith(f"each side keeps its own value until a person settles conflict {waits}")
    assert result.one_line(f"waits for a person: {waits} (stage); see `replicator conflicts show {waits}`")
    ledger(log, "crm", key, "city", made("erp", 70, LATELY))
    assert log("explain", "customer", "1").one_line("city ").endswith(f"erp, {at(70)}, rule queue")


def test_parked_changes(log: Site) -> None:
    key = linked(log)
    insert(
        log, "erp", "parked", flow="crm_to_erp", link="customer", key=[str(key)], reason="refused", sqlstate="23514",
        message="new row violates check constraint [table customer]", payload="{}", attempts=3,
    )  # fmt: skip
    result = log("explain", "customer", "1")
    assert result.one_line("parked on the way from crm to erp since ", "refused (SQLSTATE 23514)")
    assert result.one_line("new row violates check constraint")
    assert result.one_line("tried 3 times", "`replicator parked show erp:")
    [parked] = log("explain", "customer", "1", "--json").document["parked"]
    assert (parked["source"], parked["target"], parked["sqlstate"]) == ("crm", "erp", "23514")


def test_a_record_that_waits_for_another(log: Site) -> None:
    key = uuid.uuid4()
    log.db("crm").execute("INSERT INTO crm.account (id, name) VALUES (%s, 'alone')", (key,))
    alone = log("explain", "customer", str(key).upper())
    assert alone.code == 0
    assert alone.one_line("not linked to a record on erp (nothing of it is parked")
    assert alone.one_line("name ", "'alone'")
    insert(
        log, "erp", "parked", flow="crm_to_erp", link="customer", key=[str(key)], reason="waits", message="waits for it",
        waits_link="contact", waits_key="7", payload="{}",
    )  # fmt: skip
    parked = log("explain", "customer", str(key))
    assert parked.one_line("not linked to a record on erp").endswith("erp")
    assert parked.one_line("waits for contact 7; tried 1 times")
    log.db("crm").execute("DELETE FROM crm.account")
    assert log("explain", "customer", str(key)).one_line("crm does not have the row")


def test_deleted(log: Site) -> None:
    for node in ("crm", "erp"):
        for seconds in (5, 9):
            insert(
                log, node, "tombstone_customer", crm_id=uuid.UUID(int=seconds), erp_no=1, stamp=made("erp", seconds, LATELY),
                deleted_on="erp", **{"crm position": "0/1", "erp position": "0/1"},
            )  # fmt: skip
    result = log("explain", "customer", "1")
    assert result.code == 0
    assert result.out.splitlines() == [f"customer: crm {uuid.UUID(int=9)} = erp 1", f"deleted on erp, {at(9)}"]
    assert log("explain", "customer", "1", "--json").document["deleted"]["node"] == "erp"
    linked(log)
    assert not log("explain", "customer", "1").lines("deleted")


def test_composite_keys(log: Site) -> None:
    log.db("crm").execute("INSERT INTO crm.line VALUES ('a,b', 1, 5), ('c', 2, 7)")
    log.db("erp").execute("INSERT INTO erp.line VALUES ('a,b', 1, 5)")
    for node in ("crm", "erp"):
        insert(log, node, "crosswalk_line", crm_doc="a,b", crm_pos=1, erp_doc_no="a,b", erp_item=1)
    assert log("explain", "line", '"a,b", 1').one_line("qty ", "'5'")
    assert log("explain", "line", "c,2", "--on", "crm").one_line("not linked")
    wrong = log("explain", "line", "a,b,1")
    assert wrong.code == 2
    assert "separate them by commas (crm: doc,pos or erp: doc_no,item)" in wrong.err


def test_a_key_of_both_sides(log: Site) -> None:
    log.db("crm").execute("INSERT INTO crm.line VALUES ('d', 1, 5), ('d', 2, 6)")
    log.db("erp").execute("INSERT INTO erp.line VALUES ('d', 1, 6), ('d', 2, 5)")
    for node in ("crm", "erp"):
        insert(log, node, "crosswalk_line", crm_doc="d", crm_pos=1, erp_doc_no="d", erp_item=2)
        insert(log, node, "crosswalk_line", crm_doc="d", crm_pos=2, erp_doc_no="d", erp_item=1)
    result = log("explain", "line", "d,1")
    assert result.code == 2
    assert "d,1 is a key on both nodes, of two different records" in result.err
    assert "--on crm or --on erp" in result.err
    assert log("explain", "line", "d,1", "--on", "erp").one_line("line: crm d,2 = erp d,1")
    log.db("erp").execute("DELETE FROM replicator.crosswalk_line WHERE crm_pos = 2")
    log.db("crm").execute("DELETE FROM replicator.crosswalk_line WHERE crm_pos = 2")
    half = log("explain", "line", "d,1")
    assert half.one_line("line: crm d,1 = erp d,2")
    assert half.one_line("erp has another record with the key d,1: `replicator explain line d,1 --on erp`")


def test_a_link_without_a_crosswalk(site: Site) -> None:
    site.db("crm").execute("CREATE TABLE crm.country (iso text PRIMARY KEY, label text)")
    site.db("erp").execute("CREATE TABLE erp.country (code text PRIMARY KEY, label text)")
    site.link(
        "country",
        "link: country\ncrm: {table: crm.country, key: iso}\nerp: {table: erp.country, key: code}\nflow: crm -> erp\n"
        "fields:\n  - {crm: iso, erp: code}\n  - {crm: label, erp: label, convert: {erp: \"upper(crm.label)\"}}\n",
    )  # fmt: skip
    assert site("init").code == 0
    site.db("crm").execute("INSERT INTO crm.country VALUES ('AT', 'Austria')")
    assert site("explain", "country", "AT").one_line("not linked to a record on erp")
    site.db("erp").execute("INSERT INTO erp.country VALUES ('AT', 'AUSTRIA')")
    result = site("explain", "country", "AT")
    assert result.one_line("country: crm AT = erp AT")
    assert result.one_line("label ", "'Austria'", "'AUSTRIA'").endswith("computed from crm.label")


def test_unknown(log: Site) -> None:
    result = log("explain", "customer", "4711")
    assert result.code == 1
    assert "customer: no record with the key 4711 is known on crm or erp" in result.err
    linked(log)
    log.db("erp").execute("INSERT INTO erp.person (pid, customer_no, nm) VALUES (4711, 1, 'Ann')")
    hinted = log("explain", "customer", "4711")
    assert "erp has it in erp.person: `replicator explain contact 4711 --on erp`" in hinted.err
    assert log("explain", "customer", "1", "--on", "crm").code == 1
    assert "explain customer 1 --on erp" in log("explain", "customer", "1", "--on", "crm").err
    assert log("explain", "customer", "x", "--json").document["error"]
    for arguments, said in {
        ("custmer", "1"): "did you mean 'customer'?",
        ("customer", "1", "--on", "shop"): "it is between crm and erp",
    }.items():
        wrong = log("explain", *arguments)
        assert wrong.code == 2
        assert said in wrong.err


def test_a_node_away(log: Site) -> None:
    log.instead("erp", port="1")
    result = log("explain", "customer", "1")
    assert result.code == 3
    assert result.one_line("erp: cannot connect to 127.0.0.1:1")


def test_before_init(site: Site) -> None:
    result = site("explain", "customer", "1")
    assert result.code == 2
    assert "not initialised" in result.err


def test_what_really_happened(log: Site) -> None:
    """No entry made by hand: what `run` itself writes is what `explain` reads."""
    crm, erp = log.db("crm"), log.db("erp")
    crm.execute("INSERT INTO crm.account (name, city, score) VALUES ('ACME', 'Wien', 1)")
    assert log("run", "--until-idle", "0.5").code == 0
    crm.execute("UPDATE crm.account SET name = 'older', score = 5")
    erp.execute("UPDATE erp.customer SET company = 'newer', points = 7")
    assert log("run", "--until-idle", "0.5").code == 0
    result = log("explain", "customer", "1")
    assert result.code == 0
    name = result.one_line("name ")
    assert name.split()[1:3] == ["'newer'", "'newer'"]
    assert "erp, 2" in name
    assert "transaction committed at " in name
    assert "won conflict" in name
    assert "as the record was made, from crm" in result.one_line("city ")
    assert "merged in conflict" in result.one_line("score ")
    erp.execute("DELETE FROM erp.customer")
    assert log("run", "--until-idle", "0.5").code == 0
    assert log("explain", "customer", "1").one_line("deleted on erp, ")


def test_rows_of_sides_that_are_more_than_a_table(site: Site) -> None:
    """Derived columns, and a side that is a query, are read as the link reads them."""
    key = uuid.uuid4()
    db = site.db("crm")
    db.execute("INSERT INTO crm.account (id, name) VALUES (%s, 'ACME')", (key,))
    db.execute("INSERT INTO crm.contact (account_id, name) SELECT %s, '100 %%' FROM generate_series(1, 3)", (key,))
    counted = "select count(*) from crm.contact c where c.account_id = crm.id and c.name like '100 %'"
    site.link(
        "customer",
        f'link: customer\ncrm: {{table: crm.account, key: id, derived: {{people: "{counted}"}}}}\n'
        "erp: {table: erp.customer, key: no}\nfields:\n  - {crm: people, erp: note, to: erp}\n",
    )
    site.link(
        "contact",
        'link: contact\nflow: crm -> erp\ncrm: {query: "select c.id, upper(c.name) as x from crm.contact c", key: id}\n'
        "erp: {table: erp.person, key: pid}\nfields:\n  - {crm: x, erp: nm}\n",
    )
    config, findings = load_config(site.folder / "replicator.yaml", site.environ)
    assert config is not None, findings
    links = {link.name: link for link in config.links}
    account, contact = links["customer"].side("crm"), links["contact"].side("crm")
    assert records.find_row(db, account, (str(key),), ["people", "name"]) == records.Row((str(key),), ("3", "ACME"))
    assert records.find_row(db, account, ("no uuid",), ["people"]) is None
    [(number,)] = site.rows("crm", "SELECT min(id)::text FROM crm.contact")
    assert records.find_row(db, contact, (number,), ["x"]) == records.Row((number,), ("100 %",))
    assert records.find_row(db, contact, ("99999999999999999999",), ["x"]) is None

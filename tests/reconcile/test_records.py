"""Records that are more than a row: derived columns, queries, several tables, slices, references; composite keys."""

from __future__ import annotations

from pathlib import Path

from replicator.demo.servers import Server
from tests.kinds import test_derived, test_joined, test_slices
from tests.reconcile.faults import compared, kinds, of_link, only, plant, told
from tests.reconcile.test_kinds import NUMBERS
from tests.two_way.pair_of_nodes import linked


def name() -> str:
    return f"records{next(NUMBERS)}"


def test_derived_columns_and_queries(server: Server, tmp_path: Path) -> None:
    with linked(server, tmp_path, name(), test_derived.CRM, test_derived.ERP, test_derived.LINKS) as pair:
        pair.crm.execute(
            "INSERT INTO crm.city (name) VALUES ('Bern'); INSERT INTO crm.account (name, parent_id) VALUES ('a', NULL), ('b', 1)"
        )
        pair.crm.execute(
            "INSERT INTO crm.address (account_id, kind, street, city_id) VALUES (1, 'billing', 's1', 1), (2, 'billing', 's2', NULL)"
        )
        pair.crm.execute(
            "INSERT INTO crm.quote (account_id, state, discount) VALUES (1, 'won', 10), (1, 'open', 0), (2, 'won', 0)"
        )
        pair.crm.execute("INSERT INTO crm.line (quote_id, qty, price) VALUES (1, 2, 10), (1, 1, 5), (2, 1, 1), (3, 3, 3)")
        pair.settle()
        pair.crash()
        assert told(compared(pair)) == []
        assert {one.how for one in compared(pair).links} == {"nothing"}
        # What a link reads beside its records leaves no trace in these: everything is compared again.
        plant(pair, "crm", "UPDATE crm.city SET name = 'Basel'")
        plant(pair, "crm", "UPDATE crm.quote SET discount = 50 WHERE id = 1")
        plant(pair, "crm", "UPDATE crm.line SET qty = 9 WHERE quote_id = 3")
        plant(pair, "crm", "DELETE FROM crm.line WHERE id = 2")
        report = compared(pair)
        assert {link: kinds(report, link) for link in test_derived.LINKS} == {
            "customer": {"differs": 1},
            "line": {"differs": 2, "extra": 1},
            "sale": {"differs": 2},
            "buyer": {},
        }
        assert only(report, "customer").fields == {"town": ("BASEL", "BERN")}
        assert of_link(report, "customer").how == "whole"
        plant(pair, "erp", "INSERT INTO erp.sale VALUES (77, 1, 1)")
        plant(pair, "erp", "DELETE FROM erp.sale WHERE quote_ref = 1")
        assert kinds(compared(pair, "sale"), "sale") == {"differs": 1, "missing": 1, "extra": 1}


def test_records_of_several_tables(server: Server, tmp_path: Path) -> None:
    with linked(server, tmp_path, name(), test_joined.CRM, test_joined.ERP, test_joined.LINKS) as pair:
        pair.crm.execute("INSERT INTO crm.contact (name, email) SELECT 'p' || i, i || '@x' FROM generate_series(1, 5) i")
        pair.crm.execute("INSERT INTO crm.company (name, employees) SELECT 'f' || i, i FROM generate_series(1, 5) i")
        pair.settle()
        pair.crash()
        assert told(compared(pair)) == []
        assert {one.how for one in compared(pair).links} == {"nothing"}
        plant(pair, "erp", "UPDATE erp.party SET mail = 'other' WHERE name = 'p1'")
        plant(pair, "erp", "UPDATE erp.person SET vip = 'Y' WHERE party_id = (SELECT id FROM erp.party WHERE name = 'p2')")
        plant(pair, "erp", "DELETE FROM erp.entity WHERE eid = (SELECT id FROM erp.party WHERE name = 'p3')")  # a part alone
        plant(pair, "crm", "DELETE FROM crm.company WHERE name = 'f1'")
        report = compared(pair)
        assert of_link(report, "person").how == "changed"
        assert kinds(report, "person") == {"differs": 2, "missing": 1}
        assert kinds(report, "firm") == {"missing": 1}
        assert sorted(told(report), key=str) == sorted(told(compared(pair, full=True)), key=str)


def test_slices_marks_and_references(server: Server, tmp_path: Path) -> None:
    with linked(server, tmp_path, name(), test_slices.CRM, test_slices.ERP, test_slices.LINKS) as pair:
        pair.crm.execute("INSERT INTO crm.guide (name) VALUES ('g')")
        pair.crm.execute(
            "INSERT INTO crm.account (name, phone, fax, country, zip, partner_id, guide_id) VALUES ('a', '1', '2', 'CH', '3000', NULL, 1),"
            " ('b', NULL, '', 'CH', '8000', 1, NULL), ('c', '5', '', NULL, NULL, 2, NULL), ('d', '6', '', NULL, NULL, NULL, NULL)"
        )
        pair.crm.execute("INSERT INTO crm.note (about, body) VALUES ('account,1', 'x'), ('guide,1', 'y')")
        pair.settle()
        pair.crm.execute("UPDATE crm.account SET deleted_at = now() WHERE name = 'd'")
        pair.settle()
        assert pair.parked() == []
        pair.crash()
        assert told(compared(pair)) == []
        plant(pair, "crm", "UPDATE crm.account SET phone = '9' WHERE name = 'a'")
        plant(pair, "crm", "UPDATE crm.account SET phone = '' WHERE name = 'c'")
        plant(pair, "crm", "UPDATE crm.account SET fax = 'new' WHERE name = 'b'")
        plant(pair, "erp", "UPDATE erp.memo SET party_no = NULL WHERE body = 'x'")
        plant(pair, "erp", "UPDATE erp.party SET partner_no = NULL, region_id = NULL WHERE name = 'b'")
        report = compared(pair)
        assert kinds(report, "phone") == {"differs": 1, "missing": 1}
        assert kinds(report, "fax") == {"missing": 1}
        assert set(only(report, "note").fields) == {"party_no"}
        assert set(only(report, "party").fields) == {"partner_id", "region_id"}


def test_keys_of_several_columns_and_odd_names(server: Server, tmp_path: Path) -> None:
    crm = """CREATE SCHEMA crm; CREATE TABLE crm."the Line%" ("Order" text, "pos-no" integer, "select" text, n numeric(10,2), at timestamptz, flag boolean,
        PRIMARY KEY ("Order", "pos-no"));"""
    erp = """CREATE SCHEMA erp; CREATE TABLE erp.line (doc text, pos integer, txt text, n numeric(12,4), at timestamptz, flag boolean, PRIMARY KEY (doc, pos));
        CREATE TABLE erp.entry (doc text, pos integer, n double precision, PRIMARY KEY (doc, pos));"""
    side = "crm: {table: 'crm.\"the Line%\"', key: [Order, pos-no]}"
    links = {
        "line": f"""link: line
flow: crm -> erp
{side}
erp: {{table: erp.line, key: [doc, pos]}}
fields:
  - {{crm: Order, erp: doc}}
  - {{crm: pos-no, erp: pos}}
  - {{crm: select, erp: txt}}
  - {{crm: n, erp: n}}
  - {{crm: at, erp: at}}
  - {{crm: flag, erp: flag}}
""",
        "entry": f"""link: entry
{side}
erp: {{table: erp.entry, key: [doc, pos]}}
fields:
  - {{crm: Order, erp: doc}}
  - {{crm: pos-no, erp: pos}}
  - {{crm: n, erp: n}}
""",
    }
    odd = "tab\there, back\\slash, line\nbreak, 'quote', %s, é"
    with linked(server, tmp_path, name(), crm, erp, links) as pair:
        pair.crm.execute(
            'INSERT INTO crm."the Line%%" SELECT o, p, %s, p * 1.1, now(), p %% 2 = 0 FROM unnest(ARRAY[%s, %s]) o, generate_series(1, 4) p',
            (odd, odd, "plain"),
        )
        pair.settle()
        pair.crash()
        assert told(compared(pair)) == []
        assert {one.how for one in compared(pair).links} == {"nothing"}
        plant(pair, "erp", "UPDATE erp.line SET txt = NULL WHERE pos = 1 AND doc <> 'plain'")
        plant(pair, "erp", "UPDATE erp.line SET n = n + 0.01, at = at + interval '1 us' WHERE pos = 2 AND doc = 'plain'")
        plant(pair, "erp", "DELETE FROM erp.entry WHERE pos = 3 AND doc <> 'plain'")
        plant(pair, "erp", "INSERT INTO erp.entry VALUES ('its own', 1, 1)")
        for options in ({}, {"full": True}):
            report = compared(pair, **options)
            found = {one.keys["crm"]: set(one.fields) for one in of_link(report, "line").differences}
            assert found == {(odd, "1"): {"select"}, ("plain", "2"): {"n", "at"}}
            assert {(one.lacks, one.keys.get("crm"), one.keys["erp"]) for one in of_link(report, "entry").differences} == {
                ("erp", (odd, "3"), (odd, "3")),
                ("crm", None, ("its own", "1")),
            }


def test_plain_links_by_sums_find_the_same(server: Server, tmp_path: Path) -> None:
    """Values that change places, that differ in type only, NULLs; with and without a crosswalk."""
    crm = "CREATE SCHEMA crm; CREATE TABLE crm.item (id serial PRIMARY KEY, a text, b text, n integer, m numeric); CREATE TABLE crm.flat (LIKE crm.item INCLUDING ALL);"
    erp = "CREATE SCHEMA erp; CREATE TABLE erp.item (no serial PRIMARY KEY, a varchar(99), b text, n bigint, m numeric(20,6)); CREATE TABLE erp.flat (no bigint PRIMARY KEY, a text, b text, n integer, m numeric);"
    fields = "".join(f"  - {{crm: {c}, erp: {c}}}\n" for c in "abnm")
    links = {
        "item": f"link: item\ncrm: {{table: crm.item, key: id}}\nerp: {{table: erp.item, key: no}}\nfields:\n{fields}",
        "flat": f"link: flat\nflow: crm -> erp\ncrm: {{table: crm.flat, key: id}}\nerp: {{table: erp.flat, key: no}}\nfields:\n  - {{crm: id, erp: no}}\n{fields}",
    }
    with linked(server, tmp_path, name(), crm, erp, links) as pair:
        for table in ("item", "flat"):
            pair.crm.execute(
                f"INSERT INTO crm.{table} (a, b, n, m) SELECT 'a' || i, 'b' || i, i, i * 1.50 FROM generate_series(1, 3000) i"
            )  # type: ignore[call-overload]
        pair.settle()
        pair.crash()
        first = compared(pair)
        assert told(first) == []
        assert [one.shipped for one in first.links] == [0, 0]
        for table in ("item", "flat"):
            plant(pair, "erp", f"UPDATE erp.{table} SET a = b, b = a WHERE n = 7")  # type: ignore[arg-type]
            plant(pair, "erp", f"UPDATE erp.{table} SET a = CASE n WHEN 10 THEN 'a11' ELSE 'a10' END WHERE n IN (10, 11)")
            plant(pair, "erp", f"UPDATE erp.{table} SET b = NULL WHERE n = 20")
            plant(pair, "crm", f"DELETE FROM crm.{table} WHERE n = 30")
            plant(pair, "erp", f"DELETE FROM erp.{table} WHERE n = 40")
            plant(pair, "crm", f"INSERT INTO crm.{table} (a) VALUES ('new')")
        for options in ({"full": True}, {}):
            report = compared(pair, **options)
            assert kinds(report, "item") == {"differs": 4, "missing": 3}
            assert kinds(report, "flat") == {"differs": 4, "missing": 2, "extra": 1}
            assert all(one.shipped < 100 for one in report.links)

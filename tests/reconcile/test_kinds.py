"""Every kind of fault, planted behind the replicator's back, is found and called by its name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from replicator.demo.servers import Server
from tests.reconcile.faults import compared, kinds, of_link, only, plant, told
from tests.two_way.pair_of_nodes import Pair, linked

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL, vat text, city text, country char(2),
    status text NOT NULL DEFAULT 'active', credit numeric(12,4) NOT NULL DEFAULT 0, stage text NOT NULL DEFAULT 'won', erp_no text,
    visits integer NOT NULL DEFAULT 0, deleted boolean NOT NULL DEFAULT false);
CREATE TABLE crm.contact (id serial PRIMARY KEY, account_id uuid NOT NULL REFERENCES crm.account, name text, email text);
CREATE TABLE crm.line (quote integer, pos integer, article text, amount numeric, PRIMARY KEY (quote, pos));
CREATE TABLE crm.country (iso text PRIMARY KEY, label text, live boolean NOT NULL DEFAULT true);
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.land (id serial PRIMARY KEY, iso2 char(2) UNIQUE);
INSERT INTO erp.land (iso2) VALUES ('AT'), ('DE');
CREATE TABLE erp.customer (no serial PRIMARY KEY, company varchar(80) NOT NULL, tax_id text, town text, land integer REFERENCES erp.land,
    state char(1) NOT NULL DEFAULT 'A', credit double precision NOT NULL DEFAULT 0, visits bigint, active boolean NOT NULL DEFAULT true);
CREATE TABLE erp.person (pid serial PRIMARY KEY, customer_no integer NOT NULL REFERENCES erp.customer, nm text, mail text);
CREATE TABLE erp.position (nr serial PRIMARY KEY, code text, total numeric(12,2));
CREATE TABLE erp.country (code text PRIMARY KEY, label text, old boolean NOT NULL DEFAULT false);
"""
LINKS = {
    "customer": """
link: customer
crm: {table: crm.account, key: id, where: "not crm.deleted"}
erp: {table: erp.customer, key: no, where: "erp.active"}
match: {crm: vat, erp: tax_id}
create: {erp: "crm.stage = 'won'"}
delete: {crm: "set deleted = true", erp: "set active = false"}
fields:
  - {crm: name, erp: company}
  - {crm: vat, erp: tax_id}
  - {crm: city, erp: town}
  - {crm: country, erp: land, lookup: {table: erp.land, by: iso2, on: erp}}
  - {crm: status, erp: state, values: {active: A, dormant: D}}
  - {crm: credit, erp: credit, rule: erp}
  - {crm: visits, erp: visits, rule: delta}
  - {crm: erp_no, erp: no, to: crm}
""",
    "contact": """
link: contact
crm: {table: crm.contact, key: id}
erp: {table: erp.person, key: pid}
fields:
  - {crm: account_id, erp: customer_no, link: customer}
  - {crm: name, erp: nm}
  - {crm: email, erp: mail}
""",
    "line": """
link: line
flow: crm -> erp
crm: {table: crm.line, key: [quote, pos]}
erp: {table: erp.position, key: nr}
fields:
  - {crm: article, erp: code}
  - {crm: amount, erp: total}
""",
    "country": """
link: country
flow: crm -> erp
crm: {table: crm.country, key: iso, where: "crm.live"}
erp: {table: erp.country, key: code, where: "not erp.old"}
fields:
  - {crm: iso, erp: code}
  - {crm: label, erp: label}
""",
}
NUMBERS = count()
NAMES = ("Adler", "Berg", "Cerny", "Dorn", "Ebner", "Fuchs")


@pytest.fixture
def pair(server: Server, tmp_path: Path) -> Iterator[Pair]:
    """Six customers made on either side, with a contact and lines; nothing is on its way, and no replicator runs."""
    with linked(server, tmp_path, f"kinds{next(NUMBERS)}", CRM, ERP, LINKS) as pair:
        for number, name in enumerate(NAMES):
            if number % 2:
                pair.erp.execute(
                    "INSERT INTO erp.customer (company, tax_id, town, land, credit, visits) VALUES (%s, %s, 'Wien', 1, 125, 3)",
                    (name, f"V{number}"),
                )
            else:
                pair.crm.execute(
                    "INSERT INTO crm.account (name, vat, city, country, visits) VALUES (%s, %s, 'Graz', 'DE', 3)",
                    (name, f"V{number}"),
                )
        pair.crm.execute("INSERT INTO crm.account (name, stage) VALUES ('only a lead', 'lead')")
        pair.settle()
        pair.crm.execute(
            "INSERT INTO crm.contact (account_id, name, email) SELECT id, 'c-' || name, 'x' FROM crm.account WHERE stage = 'won'"
        )
        pair.crm.execute(
            "INSERT INTO crm.line SELECT q, p, 'a' || q, q * 1.5 FROM generate_series(1, 3) q, generate_series(1, 3) p"
        )
        pair.crm.execute(
            "INSERT INTO crm.country VALUES ('AT', 'Austria', true), ('DE', 'Germany', true), ('XX', 'nowhere', false)"
        )
        pair.erp.execute("INSERT INTO erp.country VALUES ('YY', 'kept by the ERP', true)")
        pair.settle()
        pair.crm.execute("UPDATE crm.account SET deleted = true WHERE name = 'Fuchs'")
        pair.crm.execute("DELETE FROM crm.contact WHERE name = 'c-Cerny'")
        pair.settle()
        assert pair.parked() == []
        pair.crash()
        yield pair


def crm_id(pair: Pair, name: str) -> str:
    return str(pair.rows("crm", "SELECT id FROM crm.account WHERE name = %s", (name,))[0][0])


def erp_no(pair: Pair, name: str) -> str:
    return str(pair.rows("erp", "SELECT no FROM erp.customer WHERE company = %s", (name,))[0][0])


def test_nothing_differs(pair: Pair) -> None:
    report = compared(pair)
    assert told(report) == []
    assert report.clean
    assert {one.link: one.shipped > 0 or one.rows for one in report.links}.keys() == LINKS.keys()
    # 125 as a float and 125.0000 are one value; a lead may stay where it is; who is marked as deleted takes no part.
    assert pair.rows("crm", "SELECT credit::text FROM crm.account WHERE name = 'Berg'") == [("125.0000",)]


def test_a_value_changed_on_either_side(pair: Pair) -> None:
    plant(pair, "crm", "UPDATE crm.account SET city = 'Linz' WHERE name = 'Adler'")
    plant(pair, "erp", "UPDATE erp.customer SET state = 'D', town = 'Ulm' WHERE company = 'Berg'")
    plant(pair, "erp", "UPDATE erp.person SET mail = 'y' WHERE nm = 'c-Dorn'")
    plant(
        pair,
        "erp",
        "UPDATE erp.position SET total = 99 WHERE code = 'a2' AND nr = (SELECT min(nr) FROM erp.position WHERE code = 'a2')",
    )
    plant(pair, "erp", "UPDATE erp.country SET label = 'Deutschland' WHERE code = 'DE'")
    report = compared(pair)
    assert kinds(report, "customer") == {"differs": 2}
    by_key = {one.keys["erp"]: one for one in of_link(report, "customer").differences}
    assert by_key[(erp_no(pair, "Adler"),)].fields == {"city": ("Linz", "Graz")}
    assert by_key[(erp_no(pair, "Berg"),)].fields == {"city": ("Wien", "Ulm"), "status": ("A", "D")}
    assert by_key[(erp_no(pair, "Berg"),)].keys["crm"] == (crm_id(pair, "Berg"),)
    assert only(report, "contact").fields == {"email": ("x", "y")}
    assert only(report, "line").keys["crm"] == ("2", "1")
    assert only(report, "line").fields == {"amount": ("3.00", "99.00")}
    assert only(report, "country").fields == {"label": ("Germany", "Deutschland")}
    assert only(report, "country").keys == {"crm": ("DE",), "erp": ("DE",)}


def test_fields_that_one_side_owns_counts_or_gives(pair: Pair) -> None:
    plant(pair, "crm", "UPDATE crm.account SET erp_no = '0' WHERE name = 'Adler'")
    plant(pair, "crm", "UPDATE crm.account SET credit = 7 WHERE name = 'Berg'")
    plant(pair, "erp", "UPDATE erp.customer SET visits = 4 WHERE company = 'Dorn'")
    plant(pair, "erp", "UPDATE erp.customer SET visits = NULL WHERE company = 'Ebner'")
    found = {tuple(one.fields): one for one in of_link(compared(pair, "customer"), "customer").differences}
    assert set(found) == {("erp_no",), ("credit",), ("visits",)} | ({("visits",)})
    assert found["erp_no",].source == "erp"
    assert found["erp_no",].fields["erp_no"] == (erp_no(pair, "Adler"), "0")
    plant(pair, "crm", "UPDATE crm.account SET visits = 0 WHERE name = 'Ebner'")
    left = [one for one in of_link(compared(pair, "customer"), "customer").differences if "visits" in one.fields]
    assert [one.keys["erp"] for one in left] == [(erp_no(pair, "Dorn"),)]  # NULL in a counter is 0


def test_a_row_is_deleted_on_either_side(pair: Pair) -> None:
    adler, berg = crm_id(pair, "Adler"), erp_no(pair, "Berg")
    plant(pair, "erp", "DELETE FROM erp.customer WHERE company = 'Adler'")
    plant(pair, "crm", "DELETE FROM crm.account WHERE name = 'Berg'")
    plant(pair, "erp", "DELETE FROM erp.position WHERE code = 'a1'")
    plant(pair, "crm", "DELETE FROM crm.line WHERE quote = 3")
    plant(pair, "crm", "DELETE FROM crm.country WHERE iso = 'AT'")
    plant(pair, "erp", "DELETE FROM erp.country WHERE code = 'DE'")
    report = compared(pair)
    found = {one.lacks: one for one in of_link(report, "customer").differences}
    assert {one.kind for one in found.values()} == {"missing"}
    assert found["erp"].keys["crm"] == (adler,)
    assert found["crm"].keys["erp"] == (berg,)
    assert kinds(report, "line") == {"missing": 3, "extra": 3}
    assert {one.kind: one.keys for one in of_link(report, "country").differences} == {
        "missing": {"crm": ("DE",)},
        "extra": {"erp": ("AT",)},
    }


def test_a_row_leaves_or_comes_back_on_one_side(pair: Pair) -> None:
    plant(pair, "erp", "UPDATE erp.customer SET active = false WHERE company = 'Adler'")
    plant(pair, "crm", "UPDATE crm.account SET deleted = true WHERE name = 'Berg'")
    plant(pair, "crm", "UPDATE crm.country SET live = false WHERE iso = 'AT'")
    plant(pair, "erp", "UPDATE erp.country SET old = true WHERE code = 'DE'")
    report = compared(pair)
    assert {one.lacks: one.keys["erp"] for one in of_link(report, "customer").differences} == {
        "erp": (erp_no(pair, "Adler"),),
        "crm": (erp_no(pair, "Berg"),),
    }
    assert kinds(report, "country") == {"extra": 1, "missing": 1}


def test_a_row_that_nobody_carried_over(pair: Pair) -> None:
    plant(pair, "crm", "INSERT INTO crm.account (name) VALUES ('new in the CRM')")
    plant(pair, "crm", "INSERT INTO crm.account (name, stage) VALUES ('no customer yet', 'lead')")
    plant(pair, "erp", "INSERT INTO erp.customer (company) VALUES ('new in the ERP')")
    plant(pair, "erp", "INSERT INTO erp.country (code, label) VALUES ('ZZ', 'new')")
    plant(pair, "erp", "INSERT INTO erp.position (code) VALUES ('its own')")
    report = compared(pair)
    assert {(one.kind, one.lacks, *one.keys) for one in of_link(report, "customer").differences} == {
        ("missing", "erp", "crm"),
        ("missing", "crm", "erp"),
    }
    assert only(report, "country").kind == "extra"
    assert kinds(report, "line") == {}  # one way: what else the ERP has is its own


def test_duplicates_and_records_that_are_not_paired(pair: Pair) -> None:
    plant(pair, "crm", "INSERT INTO crm.account (name, vat) VALUES ('same', 'S1')")
    plant(pair, "erp", "INSERT INTO erp.customer (company, tax_id) VALUES ('same', 'S1')")
    plant(pair, "crm", "INSERT INTO crm.account (name, vat) VALUES ('twice', 'S2'), ('twice', 'S2')")
    plant(pair, "erp", "INSERT INTO erp.customer (company, tax_id) VALUES ('twice', 'S2')")
    plant(
        pair, "erp", "INSERT INTO erp.customer (company, tax_id) SELECT company, tax_id FROM erp.customer WHERE company = 'Dorn'"
    )
    report = compared(pair, "customer")
    assert kinds(report, "customer") == {"unpaired": 1, "duplicate": 2, "missing": 1}
    paired = next(one for one in of_link(report, "customer").differences if one.kind == "unpaired")
    assert paired.keys == {"crm": (crm_id(pair, "same"),), "erp": (erp_no(pair, "same"),)}


def test_pairs_that_are_gone_from_one_node_or_both(pair: Pair) -> None:
    for name, nodes in (("Adler", ["crm"]), ("Berg", ["erp"]), ("Cerny", ["crm", "erp"])):
        for node in nodes:
            plant(pair, node, "DELETE FROM replicator.crosswalk_customer WHERE erp_no = %s", int(erp_no(pair, name)))
    report = compared(pair, "customer")
    found = {(one.kind, one.lacks): one.keys["erp"][0] for one in of_link(report, "customer").differences}
    assert found == {
        ("crosswalk", "crm"): erp_no(pair, "Adler"),
        ("crosswalk", "erp"): erp_no(pair, "Berg"),
        ("unpaired", None): erp_no(pair, "Cerny"),
    }
    assert kinds(report, "customer") == {"crosswalk": 2, "unpaired": 1}


def test_pairs_of_nothing_and_of_two(pair: Pair) -> None:
    adler, berg, cerny = (int(erp_no(pair, name)) for name in ("Adler", "Berg", "Cerny"))
    plant(pair, "crm", "DELETE FROM crm.account WHERE name = 'Adler'")
    plant(pair, "erp", "DELETE FROM erp.customer WHERE company = 'Adler'")
    plant(
        pair,
        "erp",
        "UPDATE replicator.crosswalk_customer SET erp_no = CASE erp_no WHEN %s THEN %s::int ELSE %s END WHERE erp_no IN (%s, %s)",
        *(berg, cerny, berg, berg, cerny),
    )
    report = compared(pair, "customer")
    found = of_link(report, "customer").differences
    assert {one.kind for one in found} == {"dead pair", "twice", "differs"}
    assert kinds(report, "customer")["twice"] == 4  # each pair of the two as either node has it
    assert [one.keys["erp"] for one in found if one.kind == "dead pair"] == [(str(adler),)]


def test_pairs_that_were_buried(pair: Pair) -> None:
    """The pair is among the tombstones of both nodes, and both records live."""
    for node in ("crm", "erp"):
        plant(
            pair,
            node,
            "WITH x AS (DELETE FROM replicator.crosswalk_contact WHERE crm_id = (SELECT min(crm_id) FROM replicator.crosswalk_contact) RETURNING *)"
            ' INSERT INTO replicator.tombstone_contact (crm_id, erp_pid, "crm position", "erp position", stamp, deleted_on)'
            " SELECT crm_id, erp_pid, '0/1', '0/1', 1, 'crm' FROM x",
        )
    report = compared(pair, "contact")
    assert kinds(report, "contact") == {"missing": 2}
    assert {(one.lacks, one.cause) for one in of_link(report, "contact").differences} == {("erp", "deleted"), ("crm", "deleted")}


def test_what_waits_is_refused_or_parked(pair: Pair) -> None:
    pair.crm.execute("INSERT INTO crm.account (name, country) VALUES ('nowhere', 'XX')")
    pair.settle()
    pair.crash()
    plant(pair, "crm", "UPDATE crm.account SET status = 'unheard of' WHERE name = 'Adler'")
    plant(pair, "erp", "DELETE FROM replicator.crosswalk_customer WHERE erp_no = %s", int(erp_no(pair, "Berg")))
    report = compared(pair)
    found = {one.keys["crm"][0]: one for one in of_link(report, "customer").differences}
    nowhere = found[crm_id(pair, "nowhere")]
    assert (nowhere.kind, nowhere.cause) == ("waits", "parked")
    assert "erp.land.iso2" in nowhere.said
    assert found[crm_id(pair, "Adler")].kind == "waits"
    assert kinds(report, "contact") == {}  # it is right; what it refers to is told where that belongs
    assert of_link(report, "contact").unlinked == 2  # and that of the customer who is marked as deleted


def test_a_value_that_cannot_be_converted(pair: Pair) -> None:
    plant(pair, "crm", "UPDATE crm.line SET amount = 1e20 WHERE quote = 2 AND pos = 2")
    plant(pair, "crm", "UPDATE crm.line SET amount = 4 WHERE quote = 1 AND pos = 1")
    report = compared(pair, "line")
    found = {one.kind: one for one in of_link(report, "line").differences}
    assert found["refused"].keys["crm"] == ("2", "2")
    assert found["differs"].keys["crm"] == ("1", "1")
    assert len(of_link(report, "line").differences) == 2


def test_an_open_conflict_is_named(server: Server, tmp_path: Path) -> None:
    queue = {"customer": LINKS["customer"].replace("erp: town}", "erp: town, rule: queue}")}
    with linked(server, tmp_path, f"kinds{next(NUMBERS)}", CRM, ERP, queue) as pair:
        pair.crm.execute("INSERT INTO crm.account (name, city) VALUES ('Adler', 'Graz')")
        pair.settle()
        pair.crm.execute("UPDATE crm.account SET city = 'Wels'")
        pair.erp.execute("UPDATE erp.customer SET town = 'Linz'")
        pair.settle()
        pair.crash()
        found = only(compared(pair), "customer")
        assert (found.kind, found.cause, list(found.fields)) == ("differs", "waits for a person", ["city"])
        assert found.said.startswith("conflict crm:")

"""Slices, records marked as deleted and taken up again, references that come later, and more ways to look up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import Pair, linked

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id serial PRIMARY KEY, name text NOT NULL UNIQUE, phone text, fax text NOT NULL DEFAULT '', deleted_at timestamptz,
    country text, zip text, partner_id integer REFERENCES crm.account, guide_id integer);
CREATE TABLE crm.guide (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE crm.note (id serial PRIMARY KEY, about text NOT NULL, body text);
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.region (id serial PRIMARY KEY, country text NOT NULL, area text NOT NULL);
INSERT INTO erp.region (country, area) VALUES ('CH', '30'), ('CH', '80'), ('DE', '80');
CREATE TABLE erp.guide (no serial PRIMARY KEY, name text NOT NULL, party_no integer);
CREATE TABLE erp.party (no serial PRIMARY KEY, name text NOT NULL UNIQUE, active boolean NOT NULL DEFAULT true, region_id integer REFERENCES erp.region,
    country_no integer, partner_no integer, guide_no integer REFERENCES erp.guide);
CREATE TABLE erp.memo (no serial PRIMARY KEY, party_no integer REFERENCES erp.party, guide_no integer REFERENCES erp.guide, body text);
CREATE TABLE erp.mechanism (id serial PRIMARY KEY, party_no integer NOT NULL REFERENCES erp.party, kind text NOT NULL, value text NOT NULL);
"""


def mechanism(kind: str, empty: str) -> str:
    return f"""
link: {kind}
crm: {{table: crm.account, key: id, slice: true, where: "crm.{kind} <> ''"}}
erp: {{table: erp.mechanism, key: id, where: "erp.kind = '{kind}'"}}
{empty}
fields:
  - {{crm: id, erp: party_no, link: party}}
  - {{crm: {kind}, erp: value}}
  - {{erp: kind, value: {kind}}}
"""


LINKS = {
    "party": """
link: party
crm: {table: crm.account, key: id, where: "crm.deleted_at is null"}
erp: {table: erp.party, key: no, where: "erp.active"}
delete: {crm: "set deleted_at = now()", erp: "set active = false"}
restore: {crm: "set deleted_at = null", erp: "set active = true"}
fields:
  - {crm: name, erp: name}
  - {crm: partner_id, erp: partner_no, link: party, missing: later}
  - {crm: guide_id, erp: guide_no, link: guide, missing: later}
  - {erp: region_id, lookup: {table: erp.region, match: {country: "crm.country", area: "left(crm.zip, 2)"}, missing: null}}
  - {crm: country, erp: country_no, to: erp, lookup: {table: erp.region, by: country, key: id, fold: true, default: 0}}
""",
    "guide": """
link: guide
crm: {table: crm.guide, key: id}
erp: {table: erp.guide, key: no}
fields:
  - {crm: name, erp: name}
""",
    "note": """
link: note
flow: crm -> erp
crm: {table: crm.note, key: id}
erp: {table: erp.memo, key: no}
fields:
  - {crm: body, erp: body}
  - {erp: party_no, link: party, from: "case when split_part(crm.about, ',', 1) = 'account' then cast(split_part(crm.about, ',', 2) as integer) end"}
  - {erp: guide_no, link: guide, from: "case when split_part(crm.about, ',', 1) = 'guide' then cast(split_part(crm.about, ',', 2) as integer) end"}
""",
    "phone": mechanism("phone", ""),
    "fax": mechanism("fax", "delete: {crm: \"set fax = ''\"}"),
}


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("slices")
    with linked(server, folder, "slices", CRM, ERP, LINKS) as found:
        yield found


def crm(pair: Pair, sql: str, *params: Any) -> Any:
    cursor = pair.crm.execute(sql, params)  # type: ignore[call-overload]
    return cursor.fetchone()[0] if cursor.description else None


def erp(pair: Pair, sql: str, *params: Any) -> Any:
    cursor = pair.erp.execute(sql, params)  # type: ignore[call-overload]
    return cursor.fetchone()[0] if cursor.description else None


def mechanisms(pair: Pair, name: str) -> list[tuple[Any, ...]]:
    pair.settle()
    assert pair.parked() == []
    sql = "SELECT kind, value FROM erp.mechanism m JOIN erp.party p ON p.no = m.party_no WHERE p.name = %s ORDER BY kind, m.id"
    return pair.rows("erp", sql, (name,))


def test_a_column_is_a_row_on_the_other_side(pair: Pair) -> None:
    crm(pair, "INSERT INTO crm.account (name, phone) VALUES ('a', '123')")
    assert mechanisms(pair, "a") == [("phone", "123")]
    crm(pair, "UPDATE crm.account SET phone = '456', fax = '789' WHERE name = 'a'")
    assert mechanisms(pair, "a") == [("fax", "789"), ("phone", "456")]
    crm(pair, "UPDATE crm.account SET phone = NULL WHERE name = 'a'")
    assert mechanisms(pair, "a") == [("fax", "789")]
    crm(pair, "UPDATE crm.account SET phone = '', fax = '' WHERE name = 'a'")
    assert mechanisms(pair, "a") == []
    crm(pair, "UPDATE crm.account SET phone = 'again' WHERE name = 'a'")
    assert mechanisms(pair, "a") == [("phone", "again")]


def test_and_a_row_is_a_column(pair: Pair) -> None:
    number = erp(pair, "INSERT INTO erp.party (name) VALUES ('b') RETURNING no")
    erp(pair, "INSERT INTO erp.mechanism (party_no, kind, value) VALUES (%s, 'phone', '1'), (%s, 'fax', '2')", number, number)
    pair.settle()
    account = "SELECT phone, fax FROM crm.account WHERE name = 'b'"
    assert pair.rows("crm", account) == [("1", "2")]
    erp(pair, "UPDATE erp.mechanism SET value = '3' WHERE party_no = %s AND kind = 'phone'", number)
    pair.settle()
    assert pair.rows("crm", account) == [("3", "2")]
    crm(pair, "UPDATE crm.account SET phone = '4' WHERE name = 'b'")
    assert mechanisms(pair, "b") == [("fax", "2"), ("phone", "4")]
    erp(pair, "DELETE FROM erp.mechanism WHERE party_no = %s", number)
    pair.settle()
    assert pair.rows("crm", account) == [(None, "")]
    erp(
        pair,
        "INSERT INTO erp.mechanism (party_no, kind, value) VALUES (%s, 'phone', 'first'), (%s, 'phone', 'second')",
        number,
        number,
    )
    pair.settle()
    assert pair.rows("crm", account) == [("first", "")]
    assert pair.parked() == []


@pytest.mark.parametrize("node", ["crm", "erp"])
@pytest.mark.parametrize("back", ["crm", "erp"])
def test_marked_as_deleted_and_taken_up_again(pair: Pair, node: str, back: str) -> None:
    name = f"marked {node} {back}"
    crm(pair, "INSERT INTO crm.account (name, phone) VALUES (%s, '1')", name)
    pair.settle()
    before = pair.rows("erp", "SELECT no FROM erp.party WHERE name = %s", (name,))

    def mark(side: str, gone: bool) -> None:
        if side == "crm":
            crm(pair, f"UPDATE crm.account SET deleted_at = {'now()' if gone else 'NULL'} WHERE name = %s", name)
        else:
            erp(pair, "UPDATE erp.party SET active = %s WHERE name = %s", not gone, name)
        pair.settle()

    def state() -> tuple[Any, Any]:
        deleted = crm(pair, "SELECT deleted_at IS NOT NULL FROM crm.account WHERE name = %s", name)
        return deleted, erp(pair, "SELECT active FROM erp.party WHERE name = %s", name)

    mark(node, gone=True)
    assert state() == (True, False)
    mark(back, gone=False)
    assert state() == (False, True)
    assert pair.rows("erp", "SELECT no FROM erp.party WHERE name = %s", (name,)) == before
    crm(pair, "UPDATE crm.account SET country = 'CH', zip = '8001' WHERE name = %s", name)
    pair.settle()
    assert erp(pair, "SELECT region_id FROM erp.party WHERE name = %s", name) == 2
    assert pair.parked() == []


def test_a_reference_that_comes_later_is_filled_in(pair: Pair) -> None:
    crm(pair, "INSERT INTO crm.account (id, name, partner_id, guide_id) VALUES (900, 'later', NULL, 77)")
    pair.settle()
    assert pair.rows("erp", "SELECT guide_no FROM erp.party WHERE name = 'later'") == [(None,)]
    assert [reason for _, _, _, reason, _, _ in pair.parked()] == ["later"]
    crm(pair, "UPDATE crm.account SET name = 'still later' WHERE id = 900")
    pair.crash()
    pair.settle()
    assert pair.rows("erp", "SELECT guide_no FROM erp.party WHERE name = 'still later'") == [(None,)]
    crm(pair, "INSERT INTO crm.guide (id, name) VALUES (77, 'the guide')")
    pair.settle()
    assert pair.rows(
        "erp", "SELECT g.name FROM erp.party p JOIN erp.guide g ON g.no = p.guide_no WHERE p.name = 'still later'"
    ) == [("the guide",)]
    assert pair.parked() == []


def test_records_that_refer_to_each_other(pair: Pair) -> None:
    with pair.crm.transaction():
        crm(pair, "INSERT INTO crm.account (id, name) VALUES (901, 'one')")
        crm(pair, "INSERT INTO crm.account (id, name, partner_id) VALUES (902, 'two', 901)")
        crm(pair, "UPDATE crm.account SET partner_id = 902 WHERE id = 901")
    pair.settle()
    assert pair.parked() == []
    sql = (
        "SELECT a.name, b.name FROM erp.party a JOIN erp.party b ON b.no = a.partner_no WHERE a.name IN ('one', 'two') ORDER BY 1"
    )
    assert pair.rows("erp", sql) == [("one", "two"), ("two", "one")]


def test_lookups(pair: Pair) -> None:
    crm(
        pair,
        "INSERT INTO crm.account (name, country, zip) VALUES ('l1', ' ch', '3000'), ('l2', 'DE', '8099'), ('l3', 'FR', '1'), ('l4', NULL, NULL)",
    )
    pair.settle()
    sql = "SELECT name, region_id, country_no FROM erp.party WHERE name LIKE 'l_' ORDER BY 1"
    assert pair.rows("erp", sql) == [("l1", None, 1), ("l2", 3, 3), ("l3", None, 0), ("l4", None, None)]


def test_a_reference_to_records_of_several_kinds(pair: Pair) -> None:
    account = crm(pair, "INSERT INTO crm.account (name) VALUES ('about') RETURNING id")
    guide = crm(pair, "INSERT INTO crm.guide (name) VALUES ('about') RETURNING id")
    crm(
        pair,
        "INSERT INTO crm.note (about, body) VALUES (%s, 'a'), (%s, 'g'), ('account,98765', 'w')",
        f"account,{account}",
        f"guide,{guide}",
    )
    pair.settle()
    sql = """SELECT body, p.name, g.name FROM erp.memo m LEFT JOIN erp.party p ON p.no = m.party_no
        LEFT JOIN erp.guide g ON g.no = m.guide_no ORDER BY body"""
    assert pair.rows("erp", sql) == [("a", "about", None), ("g", None, "about")]
    assert [(link, reason) for _, link, _, reason, _, _ in pair.parked()] == [("note", "waits")]
    crm(pair, "INSERT INTO crm.account (id, name) VALUES (98765, 'came')")
    pair.settle()
    assert pair.rows("erp", sql)[-1] == ("w", "came", None)

"""Records that are rows of several tables with one key: parent and child, made and removed in order, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import Pair, linked

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.contact (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL, email text, born date, vip boolean NOT NULL DEFAULT false);
CREATE TABLE crm.company (id serial PRIMARY KEY, name text NOT NULL, employees integer);
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.entity (eid serial PRIMARY KEY, made timestamptz NOT NULL DEFAULT now(), note text);
CREATE TABLE erp.party (id integer PRIMARY KEY REFERENCES erp.entity, kind text NOT NULL DEFAULT 'P', name text NOT NULL, mail text UNIQUE);
CREATE TABLE erp.person (party_id integer PRIMARY KEY REFERENCES erp.party, birthday date, vip char(1) NOT NULL);
CREATE TABLE erp.firm (party_id integer PRIMARY KEY REFERENCES erp.party, staff integer);
"""
LINKS = {
    "person": """
link: person
crm: {table: crm.contact, key: id}
erp: {table: erp.person, key: party_id, extends: [{table: erp.party, key: id}, {table: erp.entity, key: eid}]}
fields:
  - {crm: name, erp: name}
  - {crm: email, erp: mail}
  - {crm: born, erp: birthday}
  - {crm: vip, erp: vip, values: {true: Y, false: N}}
""",
    "firm": """
link: firm
crm: {table: crm.company, key: id}
erp: {table: erp.firm, key: party_id, extends: [{table: erp.party, key: id}, {table: erp.entity, key: eid}]}
fields:
  - {crm: name, erp: name}
  - {crm: employees, erp: staff}
  - {erp: kind, value: F}
""",
}


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("joined")
    with linked(server, folder, "joined", CRM, ERP, LINKS) as found:
        yield found


def crm(pair: Pair, sql: str, *params: Any) -> None:
    pair.crm.execute(sql, params)  # type: ignore[call-overload]


def erp(pair: Pair, sql: str, *params: Any) -> Any:
    cursor = pair.erp.execute(sql, params)  # type: ignore[call-overload]
    return cursor.fetchone()[0] if cursor.description else None


PERSON = """SELECT y.kind, y.name, y.mail, p.birthday::text, p.vip FROM erp.person p JOIN erp.party y ON y.id = p.party_id
    JOIN erp.entity e ON e.eid = y.id WHERE y.name = %s AND e.made IS NOT NULL"""


def people(pair: Pair, name: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    pair.settle()
    assert pair.parked() == []
    return (
        pair.rows("crm", "SELECT name, email, born::text, vip FROM crm.contact WHERE name = %s", (name,)),
        pair.rows("erp", PERSON, (name,)),
    )


def test_made_changed_and_removed_from_the_crm(pair: Pair) -> None:
    crm(pair, "INSERT INTO crm.contact (name, email, born) VALUES ('Ada', 'ada@x', '1815-12-10')")
    assert people(pair, "Ada")[1] == [("P", "Ada", "ada@x", "1815-12-10", "N")]
    crm(pair, "UPDATE crm.contact SET vip = true, email = 'lovelace@x' WHERE name = 'Ada'")
    assert people(pair, "Ada")[1] == [("P", "Ada", "lovelace@x", "1815-12-10", "Y")]
    crm(pair, "DELETE FROM crm.contact WHERE name = 'Ada'")
    assert people(pair, "Ada") == ([], [])
    assert pair.rows("erp", "SELECT count(*) FROM erp.party WHERE name = 'Ada'") == [(0,)]
    assert pair.rows(
        "erp", "SELECT count(*) FROM erp.entity e WHERE NOT EXISTS (SELECT FROM erp.party p WHERE p.id = e.eid)"
    ) == [(0,)]


@pytest.mark.parametrize("together", [True, False])
def test_made_changed_and_removed_from_the_erp(pair: Pair, together: bool) -> None:
    name = f"Grace {together}"
    number = erp(pair, "INSERT INTO erp.entity (note) VALUES ('x') RETURNING eid")
    if not together:
        pair.settle()
    with pair.erp.transaction():
        erp(pair, "INSERT INTO erp.party (id, name, mail) VALUES (%s, %s, %s)", number, name, name)
        if together:
            erp(pair, "INSERT INTO erp.person VALUES (%s, '1906-12-09', 'Y')", number)
    if not together:
        pair.settle()
        erp(pair, "INSERT INTO erp.person VALUES (%s, '1906-12-09', 'Y')", number)
    assert people(pair, name)[0] == [(name, name, "1906-12-09", True)]
    erp(pair, "UPDATE erp.party SET mail = mail || '2' WHERE id = %s", number)
    assert people(pair, name)[0] == [(name, name + "2", "1906-12-09", True)]
    erp(pair, "UPDATE erp.person SET vip = 'N' WHERE party_id = %s", number)
    assert people(pair, name)[0] == [(name, name + "2", "1906-12-09", False)]
    with pair.erp.transaction():
        erp(pair, "DELETE FROM erp.person WHERE party_id = %s", number)
        erp(pair, "DELETE FROM erp.party WHERE id = %s", number)
    assert people(pair, name) == ([], [])


def test_edits_of_different_parts_on_both_sides(pair: Pair) -> None:
    crm(pair, "INSERT INTO crm.contact (name, email) VALUES ('Both', 'b@x')")
    pair.settle()
    crm(pair, "UPDATE crm.contact SET born = '2000-01-01' WHERE name = 'Both'")
    erp(pair, "UPDATE erp.party SET mail = 'erp@x' WHERE name = 'Both'")
    assert people(pair, "Both") == ([("Both", "erp@x", "2000-01-01", False)], [("P", "Both", "erp@x", "2000-01-01", "N")])
    crm(pair, "UPDATE crm.contact SET email = 'older@x' WHERE name = 'Both'")
    erp(pair, "UPDATE erp.party SET mail = 'newer@x' WHERE name = 'Both'")
    pair.turn(0)
    assert people(pair, "Both") == ([("Both", "newer@x", "2000-01-01", False)], [("P", "Both", "newer@x", "2000-01-01", "N")])


def test_an_edit_that_was_read_late_is_healed_in_its_part(pair: Pair) -> None:
    crm(pair, "INSERT INTO crm.contact (name, email) VALUES ('Late', 'l@x')")
    pair.settle()
    crm(pair, "UPDATE crm.contact SET email = 'older2@x' WHERE name = 'Late'")
    erp(pair, "UPDATE erp.party SET mail = 'newer2@x' WHERE name = 'Late'")
    while not pair.turn(0):
        pair.exchange.wait(0.02)
    assert people(pair, "Late") == ([("Late", "newer2@x", None, False)], [("P", "Late", "newer2@x", None, "N")])


def test_two_kinds_of_one_general_table(pair: Pair) -> None:
    crm(pair, "INSERT INTO crm.company (name, employees) VALUES ('Works', 12)")
    pair.settle()
    firm = "SELECT y.kind, y.name, f.staff FROM erp.firm f JOIN erp.party y ON y.id = f.party_id WHERE y.name LIKE 'Works%%'"
    assert pair.rows("erp", firm) == [("F", "Works", 12)]
    assert pair.rows("crm", "SELECT count(*) FROM crm.contact WHERE name = 'Works'") == [(0,)]
    erp(pair, "UPDATE erp.party SET name = 'Works Ltd' WHERE name = 'Works'")
    pair.settle()
    assert pair.rows("crm", "SELECT name FROM crm.company WHERE employees = 12") == [("Works Ltd",)]
    assert pair.parked() == []


def test_a_unique_value_of_the_general_table(pair: Pair) -> None:
    crm(pair, "INSERT INTO crm.contact (name, email) VALUES ('One', 'same@x')")
    pair.settle()
    crm(pair, "INSERT INTO crm.contact (name, email) VALUES ('Two', 'same@x')")
    pair.settle()
    assert [(reason, state) for _, _, _, reason, state, _ in pair.parked()] == [("refused", "23505")]
    crm(pair, "UPDATE crm.contact SET email = 'other@x' WHERE name = 'Two'")
    assert len(people(pair, "Two")[1]) == 1

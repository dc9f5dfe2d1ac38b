"""Values of real schemas: '' and NULL, 0 and NULL, case, parts and codes, exact decimals, times with and without zone,
flags the other way round; numbers the target makes; matching that is ambiguous. Both ways where a value can go back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import Pair, linked

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.item (id serial PRIMARY KEY, phone text NOT NULL DEFAULT '', amount numeric NOT NULL DEFAULT 0, email text, first text, last text,
    price numeric(18,6), ratio numeric(12,4), locked boolean NOT NULL DEFAULT false, at timestamptz, due interval, doc jsonb, stage text NOT NULL DEFAULT 'a',
    code text, seen integer NOT NULL DEFAULT 0, made_by text, ref uuid NOT NULL DEFAULT gen_random_uuid(), total numeric(20,8), long text);
CREATE TABLE crm.twin (id serial PRIMARY KEY, vat text, name text);
"""
ERP = """
CREATE SCHEMA erp;
CREATE SEQUENCE erp.numbers START 4711;
CREATE TABLE erp.item (no integer GENERATED ALWAYS AS IDENTITY (START 1000) PRIMARY KEY, tel text, amount numeric, mail text, full_name text, price numeric(18,2),
    ratio double precision, active boolean NOT NULL DEFAULT true, at timestamp, due text, doc text, grade text NOT NULL DEFAULT '?', code text,
    number text NOT NULL DEFAULT 'D-' || nextval('erp.numbers'), source text, made_by text NOT NULL DEFAULT 'erp', changed_by text, ref text, total numeric(20,8), short varchar(5));
CREATE TABLE erp.twin (no serial PRIMARY KEY, tax text, name text);
"""
LINKS = {
    "item": """
link: item
crm: {table: crm.item, key: id}
erp: {table: erp.item, key: no}
fields:
  - {crm: phone, erp: tel, convert: {erp: "nullif(crm.phone, '')", crm: "coalesce(erp.tel, '')"}}
  - {crm: amount, erp: amount, convert: {erp: "nullif(crm.amount, 0)", crm: "coalesce(erp.amount, 0)"}}
  - {crm: email, erp: mail, to: erp, convert: {erp: "lower(btrim(crm.email))"}}
  - {erp: full_name, from: "concat_ws(' ', crm.first, crm.last)"}
  - {crm: first, from: "split_part(erp.full_name, ' ', 1)"}
  - {crm: price, erp: price, to: erp, convert: {erp: "round(crm.price, 2)"}}
  - {crm: ratio, erp: ratio}
  - {crm: locked, erp: active, convert: {erp: "not crm.locked", crm: "not erp.active"}}
  - {crm: at, erp: at, convert: {erp: "crm.at at time zone 'UTC'", crm: "erp.at at time zone 'UTC'"}}
  - {crm: due, erp: due}
  - {crm: doc, erp: doc}
  - {crm: stage, erp: grade, values: {map: {a: A, b: B, c: B}, default: "?"}, to: erp}
  - {crm: code, erp: number, to: crm}
  - {erp: code, from: "upper(left(crm.last, 3)) || '-' || lpad(cast(crm.id as text), 5, '0')"}
  - {erp: source, value: CRM}
  - {erp: made_by, initial: "'crm'"}
  - {crm: ref, erp: ref}
  - {erp: total, from: "case when crm.price is null then null else crm.price * crm.ratio / 3 end"}
  - {erp: short, from: "left(crm.long, 5)"}
""",
    "twin": """
link: twin
crm: {table: crm.twin, key: id}
erp: {table: erp.twin, key: no}
match: {crm: vat, erp: tax}
fields:
  - {crm: vat, erp: tax}
  - {crm: name, erp: name}
""",
}


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("conversions")
    with linked(server, folder, "conversions", CRM, ERP, LINKS) as found:
        yield found


@pytest.fixture
def item(pair: Pair) -> Iterator[int]:
    """The key of a new item of the CRM's that is on both sides."""
    (row,) = pair.rows("crm", "INSERT INTO crm.item (last) VALUES ('Lovelace') RETURNING id")
    pair.settle()
    yield row[0]
    pair.crm.execute("DELETE FROM crm.item")
    pair.settle()
    assert pair.rows("erp", "SELECT FROM erp.item") == []
    assert pair.parked() == []


def there(pair: Pair, columns: str) -> tuple[Any, ...]:
    pair.settle()
    (row,) = pair.rows("erp", f"SELECT {columns} FROM erp.item")
    return row


def here(pair: Pair, columns: str) -> tuple[Any, ...]:
    pair.settle()
    (row,) = pair.rows("crm", f"SELECT {columns} FROM crm.item")
    return row


FORTH = [  # what the CRM's user sets, what the ERP shows
    ("phone = ''", "tel", None),
    ("phone = '1'", "tel", "1"),
    ("amount = 0.00", "amount", None),
    ("amount = 7.5", "amount::text", "7.5"),
    ("email = '  Ada@X.org '", "mail", "ada@x.org"),
    ("first = 'Ada', last = 'Lovelace'", "full_name", "Ada Lovelace"),
    ("first = NULL, last = NULL", "full_name", ""),
    ("price = 1234567890.125001", "price::text", "1234567890.13"),
    ("ratio = 0.1", "ratio", 0.1),
    ("ratio = 12345678.9012", "ratio", 12345678.9012),
    ("locked = true", "active", False),
    ("at = '2024-03-31 01:30:00.123456+02'", "at::text", "2024-03-30 23:30:00.123456"),
    ("due = '1 mon 2 days 03:00:00'", "due::interval::text", "1 mon 2 days 03:00:00"),
    ('doc = \'{"b": 1.50, "a": null}\'', "doc::jsonb::text", '{"a": null, "b": 1.50}'),
    ("stage = 'c'", "grade", "B"),
    ("stage = 'zzz'", "grade", "?"),
    ("long = 'Überlänge'", "short", "Überl"),
    ("price = 10, ratio = 0.3333", "total::text", "1.11100000"),
    ("price = 99999999999.999999, ratio = 3.0000", "total::text", "99999999999.99999900"),
    ("price = NULL", "total", None),
]


@pytest.mark.usefixtures("item")
@pytest.mark.parametrize(("sets", "column", "shown"), FORTH, ids=lambda v: str(v)[:30])
def test_a_value_on_its_way_to_the_erp(pair: Pair, sets: str, column: str, shown: object) -> None:
    pair.crm.execute(f"UPDATE crm.item SET {sets}")  # type: ignore[call-overload]
    assert there(pair, column) == (shown,)


BACK = [  # what the ERP's user sets, what the CRM shows
    ("tel = NULL", "phone", ""),
    ("tel = '2'", "phone", "2"),
    ("amount = NULL", "amount::text", "0"),
    ("full_name = 'Grace Hopper'", "first", "Grace"),
    ("ratio = 0.5", "ratio::text", "0.5000"),
    ("active = false", "locked", True),
    ("at = '2024-07-01 12:00'", "(at at time zone 'Europe/Vienna')::text", "2024-07-01 14:00:00"),
    ("due = '02:00'", "due::text", "02:00:00"),
    ("doc = '[1]'", "doc::text", "[1]"),
    ("number = 'D-9'", "code", "D-9"),
    ("ref = '00000000-0000-0000-0000-000000000001'", "ref::text", "00000000-0000-0000-0000-000000000001"),
]


@pytest.mark.usefixtures("item")
@pytest.mark.parametrize(("sets", "column", "shown"), BACK, ids=lambda v: str(v)[:30])
def test_a_value_on_its_way_to_the_crm(pair: Pair, sets: str, column: str, shown: object) -> None:
    pair.crm.execute("UPDATE crm.item SET phone = 'x', amount = 3, locked = false")
    pair.settle()
    pair.erp.execute(f"UPDATE erp.item SET {sets}")  # type: ignore[call-overload]
    assert here(pair, column) == (shown,)


def test_what_is_made_on_the_target_or_given_once_or_on_every_write(pair: Pair, item: int) -> None:
    number, code, source, made_by, ref = there(pair, "number, code, source, made_by, ref")
    assert number.startswith("D-")
    assert (code, source, made_by) == (f"LOV-{item:05}", "CRM", "crm")
    assert here(pair, "code, ref::text") == (number, ref)
    pair.erp.execute("UPDATE erp.item SET made_by = 'me', source = 'me', changed_by = 'me'")
    pair.crm.execute("UPDATE crm.item SET last = 'King'")
    assert there(pair, "code, made_by, source, changed_by") == (f"KIN-{item:05}", "me", "CRM", "me")


@pytest.mark.usefixtures("item")
def test_what_no_field_names_is_no_change_and_equal_values_are_not_written(pair: Pair) -> None:
    before = there(pair, "ctid::text, xmin::text")
    for sets in ("seen = seen + 1", "price = 1.001, ratio = NULL", "price = 1.002", "locked = locked"):
        pair.crm.execute(f"UPDATE crm.item SET {sets}")  # type: ignore[call-overload]
        if sets.startswith("price = 1.001"):
            before = there(pair, "ctid::text, xmin::text")
    assert there(pair, "ctid::text, xmin::text, price::text") == (*before, "1.00")


@pytest.mark.parametrize("maker", ["crm", "erp"])
def test_several_that_match_are_parked_never_guessed(pair: Pair, maker: str) -> None:
    one, many = ("crm", "erp") if maker == "crm" else ("erp", "crm")
    tables = {"crm": "crm.twin (vat, name)", "erp": "erp.twin (tax, name)"}
    connections = {"crm": pair.crm, "erp": pair.erp}
    other = pair.exchange.flows[0 if many == "crm" else 1]
    connections[many].execute(f"INSERT INTO {tables[many]} VALUES ('{maker}', 'a'), ('{maker}', 'b')")  # type: ignore[call-overload]
    connections[one].execute(f"INSERT INTO {tables[one]} VALUES ('{maker}', 'c')")  # type: ignore[call-overload]
    while not pair.turn(1 - pair.exchange.flows.index(other)):
        pair.exchange.wait(0.02)
    assert [(link, reason) for _, link, _, reason, _, _ in pair.parked()] == [("twin", "ambiguous")]
    pair.settle()
    names = {
        node: f"SELECT name FROM {tables[node].split()[0]} WHERE {'vat' if node == 'crm' else 'tax'} = '{maker}'"
        for node in tables
    }
    assert pair.rows(one, names[one]) == [("c",)]
    assert sorted(pair.rows(many, names[many])) == [("a",), ("b",)]
    for node in ("crm", "erp"):
        connections[node].execute(f"DELETE FROM {tables[node].split()[0]}")  # type: ignore[call-overload]
    pair.settle()
    assert pair.parked() == []

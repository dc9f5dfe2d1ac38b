"""Values read beside the row: derived columns, filters on them, and sides that are a query."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replicator.demo.servers import Server
from tests.apply.driving import unseen
from tests.two_way.pair_of_nodes import Pair, linked

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id serial PRIMARY KEY, name text NOT NULL, parent_id integer REFERENCES crm.account);
CREATE TABLE crm.city (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE crm.address (id serial PRIMARY KEY, account_id integer NOT NULL REFERENCES crm.account ON DELETE CASCADE,
    kind text NOT NULL, street text, city_id integer REFERENCES crm.city);
CREATE TABLE crm.quote (id serial PRIMARY KEY, account_id integer NOT NULL REFERENCES crm.account ON DELETE CASCADE, state text NOT NULL,
    discount numeric NOT NULL DEFAULT 0);
CREATE TABLE crm.line (id serial PRIMARY KEY, quote_id integer NOT NULL REFERENCES crm.quote ON DELETE CASCADE, qty integer NOT NULL, price numeric(12,2) NOT NULL);
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.customer (no serial PRIMARY KEY, company text NOT NULL, billing text, town text, parent text, has_quotes boolean NOT NULL DEFAULT false);
CREATE TABLE erp.sale (quote_ref integer PRIMARY KEY, total numeric(12,2), lines integer);
CREATE TABLE erp.line (no serial PRIMARY KEY, amount numeric(12,2));
CREATE TABLE erp.buyer (no serial PRIMARY KEY, company text NOT NULL);
"""
LINKS = {
    "customer": """
link: customer
crm:
  table: crm.account
  key: id
  derived:
    billing: "select a.street from crm.address a where a.account_id = crm.id and a.kind = 'billing' order by a.id limit 1"
    town: >-
      select c.name from crm.address a join crm.city c on c.id = a.city_id
      where a.account_id = crm.id and a.kind = 'billing' order by a.id limit 1
    parent: "select p.name from crm.account p where p.id = crm.parent_id"
    has_quotes: "select exists (select from crm.quote q where q.account_id = crm.id and q.state = 'open')"
erp: {table: erp.customer, key: no}
fields:
  - {crm: name, erp: company}
  - {crm: billing, erp: billing}
  - {crm: town, erp: town, convert: {erp: "upper(crm.town)"}, to: erp}
  - {crm: parent, erp: parent}
  - {crm: has_quotes, erp: has_quotes}
""",
    "line": """
link: line
flow: crm -> erp
crm:
  table: crm.line
  key: id
  derived:
    discount: "select q.discount from crm.quote q where q.id = crm.quote_id"
    state: "select q.state from crm.quote q where q.id = crm.quote_id"
  where: "crm.state = 'won'"
erp: {table: erp.line, key: no}
fields:
  - {erp: amount, from: "crm.qty * crm.price * (1 - crm.discount / 100)"}
""",
    "sale": """
link: sale
flow: crm -> erp
crm:
  query: >-
    select q.id, sum(l.qty * l.price) as total, count(l.id)::integer as lines
    from crm.quote q left join crm.line l on l.quote_id = q.id
    where q.state = 'won' group by q.id
  key: id
erp: {table: erp.sale, key: quote_ref}
fields:
  - {crm: id, erp: quote_ref}
  - {crm: total, erp: total}
  - {crm: lines, erp: lines}
""",
    "buyer": """
link: buyer
flow: crm -> erp
crm:
  query: "select distinct a.id, a.name from crm.account a join crm.quote q on q.account_id = a.id"
  key: id
erp: {table: erp.buyer, key: no}
fields:
  - {crm: name, erp: company}
""",
}


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("derived")
    with linked(server, folder, "derived", CRM, ERP, LINKS) as found:
        yield found


@pytest.fixture
def account(pair: Pair, request: pytest.FixtureRequest) -> int:
    return one(pair, "INSERT INTO crm.account (name) VALUES (%s) RETURNING id", request.node.name)


def one(pair: Pair, sql: str, *params: Any) -> Any:
    row = pair.crm.execute(sql, params).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return row[0]


def do(pair: Pair, sql: str, *params: Any) -> None:
    pair.crm.execute(sql, params)  # type: ignore[call-overload]


def customer(pair: Pair, columns: str, request: pytest.FixtureRequest) -> list[tuple[Any, ...]]:
    pair.settle()
    assert pair.parked() == []
    return pair.rows("erp", f"SELECT {columns} FROM erp.customer WHERE company = %s", (request.node.name,))


def test_the_first_of_many_and_the_next_when_it_goes(pair: Pair, account: int, request: pytest.FixtureRequest) -> None:
    assert customer(pair, "billing, town", request) == [(None, None)]
    city = one(pair, "INSERT INTO crm.city (name) VALUES ('Bern') RETURNING id")
    sql = "INSERT INTO crm.address (account_id, kind, street, city_id) VALUES (%s, %s, %s, %s) RETURNING id"
    first = one(pair, sql, account, "billing", "First", city)
    one(pair, sql, account, "billing", "Second", None)
    one(pair, sql, account, "delivery", "Third", None)
    assert customer(pair, "billing, town", request) == [("First", "BERN")]
    do(pair, "UPDATE crm.city SET name = 'Basel' WHERE id = %s", city)
    assert customer(pair, "billing, town", request) == [("First", "BASEL")]
    do(pair, "DELETE FROM crm.address WHERE id = %s", first)
    assert customer(pair, "billing, town", request) == [("Second", None)]
    do(pair, "UPDATE crm.address SET kind = 'old' WHERE account_id = %s", account)
    assert customer(pair, "billing, town", request) == [(None, None)]


def test_an_address_moves_to_another_record(pair: Pair, account: int, request: pytest.FixtureRequest) -> None:
    other = one(pair, "INSERT INTO crm.account (name) VALUES ('other') RETURNING id")
    do(pair, "INSERT INTO crm.address (account_id, kind, street) VALUES (%s, 'billing', 'Street')", account)
    assert customer(pair, "billing", request) == [("Street",)]
    do(pair, "UPDATE crm.address SET account_id = %s WHERE account_id = %s", other, account)
    assert customer(pair, "billing", request) == [(None,)]
    assert pair.rows("erp", "SELECT billing FROM erp.customer WHERE company = 'other'") == [("Street",)]


def test_own_column_of_the_query_and_the_same_table(pair: Pair, account: int, request: pytest.FixtureRequest) -> None:
    parent = one(pair, "INSERT INTO crm.account (name) VALUES ('parent') RETURNING id")
    do(pair, "UPDATE crm.account SET parent_id = %s WHERE id = %s", parent, account)
    assert customer(pair, "parent", request) == [("parent",)]
    do(pair, "UPDATE crm.account SET name = 'renamed' WHERE id = %s", parent)
    assert customer(pair, "parent", request) == [("renamed",)]


def test_edits_of_the_other_side_go_on_beside_it(pair: Pair, account: int, request: pytest.FixtureRequest) -> None:
    pair.settle()
    do(pair, "INSERT INTO crm.address (account_id, kind, street) VALUES (%s, 'billing', 'S')", account)
    pair.erp.execute("UPDATE erp.customer SET company = 'from the erp' WHERE company = %s", (request.node.name,))
    pair.settle()
    assert pair.rows("erp", "SELECT company, billing FROM erp.customer WHERE company = 'from the erp'") == [("from the erp", "S")]
    assert pair.rows("crm", "SELECT name FROM crm.account WHERE id = %s", (account,)) == [("from the erp",)]


def test_a_commit_that_nobody_sees_yet_is_waited_for(pair: Pair) -> None:
    pair.settle()
    with unseen(pair, "INSERT INTO crm.account (name) VALUES ('unseen')") as user:
        while not pair.exchange.flows[0].totals.waiting:
            assert not [step for step in pair.turn() if step.batch.rows]
            pair.exchange.wait(0.02)
        assert "nobody on the source can see yet" in pair.exchange.flows[0].totals.waiting
        assert not user.done()
    pair.settle()
    assert pair.rows("erp", "SELECT company FROM erp.customer WHERE company = 'unseen'") == [("unseen",)]
    assert pair.parked() == []


@pytest.mark.parametrize("own_first", [True, False])
def test_its_own_row_and_what_it_reads_change_at_once(pair: Pair, account: int, own_first: bool) -> None:
    do(pair, "INSERT INTO crm.address (account_id, kind, street) VALUES (%s, 'billing', 'Old')", account)
    pair.settle()
    own = f"UPDATE crm.account SET name = 'own{own_first}' WHERE id = {account}"
    beside = f"UPDATE crm.address SET street = 'New' WHERE account_id = {account}"
    pair.crm.execute(f"{own}; {beside}" if own_first else f"{beside}; {own}")
    pair.settle()
    assert pair.rows("erp", "SELECT billing FROM erp.customer WHERE company = %s", (f"own{own_first}",)) == [("New",)]


def test_whether_a_related_row_exists(pair: Pair, account: int, request: pytest.FixtureRequest) -> None:
    do(pair, "INSERT INTO crm.quote (account_id, state) VALUES (%s, 'open')", account)
    assert customer(pair, "has_quotes", request) == [(True,)]
    do(pair, "UPDATE crm.quote SET state = 'lost' WHERE account_id = %s", account)
    assert customer(pair, "has_quotes", request) == [(False,)]


def test_its_own_row_changes_in_the_same_batch(pair: Pair, account: int, request: pytest.FixtureRequest) -> None:
    assert customer(pair, "billing, has_quotes", request) == [(None, False)]
    do(pair, "INSERT INTO crm.address (account_id, kind, street) VALUES (%s, 'billing', 'S')", account)
    do(pair, "UPDATE crm.account SET name = name WHERE id = %s", account)
    do(pair, "UPDATE crm.account SET name = name || '!' WHERE id = %s", account)
    do(pair, "INSERT INTO crm.quote (account_id, state) VALUES (%s, 'open')", account)
    pair.settle()
    found = pair.rows("erp", "SELECT billing, has_quotes FROM erp.customer WHERE company = %s", (request.node.name + "!",))
    assert found == [("S", True)]


def test_a_filter_on_the_parent_and_its_discount(pair: Pair, account: int) -> None:
    quote = one(pair, "INSERT INTO crm.quote (account_id, state) VALUES (%s, 'open') RETURNING id", account)
    do(pair, "INSERT INTO crm.line (quote_id, qty, price) VALUES (%s, 2, 10), (%s, 3, 100)", quote, quote)
    pair.settle()
    assert pair.rows("erp", "SELECT amount FROM erp.line") == []
    do(pair, "UPDATE crm.quote SET state = 'won' WHERE id = %s", quote)
    pair.settle()
    assert [float(a) for (a,) in pair.rows("erp", "SELECT amount FROM erp.line ORDER BY 1")] == [20.0, 300.0]
    do(pair, "UPDATE crm.quote SET discount = 10 WHERE id = %s", quote)
    pair.settle()
    assert [float(a) for (a,) in pair.rows("erp", "SELECT amount FROM erp.line ORDER BY 1")] == [18.0, 270.0]
    do(pair, "UPDATE crm.quote SET state = 'lost' WHERE id = %s", quote)
    pair.settle()
    assert pair.rows("erp", "SELECT amount FROM erp.line") == []


def test_a_query_is_followed(pair: Pair, account: int) -> None:
    quote = one(pair, "INSERT INTO crm.quote (account_id, state) VALUES (%s, 'open') RETURNING id", account)
    do(pair, "INSERT INTO crm.line (quote_id, qty, price) VALUES (%s, 2, 10)", quote)
    pair.settle()
    sale = "SELECT total::integer, lines FROM erp.sale WHERE quote_ref = %s"
    assert pair.rows("erp", sale, (quote,)) == []
    do(pair, "UPDATE crm.quote SET state = 'won' WHERE id = %s", quote)
    pair.settle()
    assert pair.rows("erp", sale, (quote,)) == [(20, 1)]
    do(pair, "INSERT INTO crm.line (quote_id, qty, price) VALUES (%s, 1, 5)", quote)
    do(pair, "UPDATE crm.line SET qty = 3 WHERE quote_id = %s AND price = 10", quote)
    pair.crash()
    pair.settle()
    assert pair.rows("erp", sale, (quote,)) == [(35, 2)]
    do(pair, "DELETE FROM crm.line WHERE quote_id = %s", quote)
    pair.settle()
    assert pair.rows("erp", sale, (quote,)) == [(None, 0)]
    do(pair, "DELETE FROM crm.quote WHERE id = %s", quote)
    pair.settle()
    assert pair.rows("erp", sale, (quote,)) == []


def test_a_query_with_pairs(pair: Pair, account: int, request: pytest.FixtureRequest) -> None:
    buyer = "SELECT count(*) FROM erp.buyer WHERE company = %s"
    pair.settle()
    assert pair.rows("erp", buyer, (request.node.name,)) == [(0,)]
    do(pair, "INSERT INTO crm.quote (account_id, state) VALUES (%s, 'open'), (%s, 'open')", account, account)
    pair.settle()
    assert pair.rows("erp", buyer, (request.node.name,)) == [(1,)]
    do(pair, "UPDATE crm.account SET name = name || ' & Sons' WHERE id = %s", account)
    pair.settle()
    assert pair.rows("erp", buyer, (request.node.name + " & Sons",)) == [(1,)]
    do(pair, "DELETE FROM crm.quote WHERE account_id = %s", account)
    pair.settle()
    assert pair.rows("erp", buyer, (request.node.name + " & Sons",)) == [(0,)]


def test_a_deleted_record_with_all_that_belongs_to_it(pair: Pair, account: int, request: pytest.FixtureRequest) -> None:
    do(pair, "INSERT INTO crm.address (account_id, kind, street) VALUES (%s, 'billing', 'S')", account)
    assert customer(pair, "billing", request) == [("S",)]
    do(pair, "DELETE FROM crm.account WHERE id = %s", account)
    assert customer(pair, "billing", request) == []

"""Shapes of real schemas: one row that is rows of several tables, several kinds in one table, link tables in every part,
circles of foreign keys, rows that come in pieces, deletes that cascade or are forbidden. Both ways where it can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import Pair, linked

# No foreign key is deferrable.
CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id serial PRIMARY KEY, kind text NOT NULL, name text NOT NULL UNIQUE, vat text NOT NULL DEFAULT '', own boolean NOT NULL DEFAULT false);
CREATE TABLE crm.rep (id serial PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE crm.account_rep (id serial PRIMARY KEY, account_id integer NOT NULL REFERENCES crm.account ON DELETE CASCADE,
    rep_id integer NOT NULL REFERENCES crm.rep, type text NOT NULL);
CREATE TABLE crm.account_rep_group (account_id integer REFERENCES crm.account ON DELETE CASCADE, rep_id integer REFERENCES crm.rep,
    PRIMARY KEY (account_id, rep_id));
CREATE TABLE crm.dept (id serial PRIMARY KEY, name text NOT NULL UNIQUE, head_id integer);
CREATE TABLE crm.emp (id serial PRIMARY KEY, name text NOT NULL UNIQUE, dept_id integer NOT NULL REFERENCES crm.dept);
ALTER TABLE crm.dept ADD FOREIGN KEY (head_id) REFERENCES crm.emp;
CREATE TABLE crm.quote (id serial PRIMARY KEY, title text NOT NULL UNIQUE);
CREATE TABLE crm.line (id serial PRIMARY KEY, item text NOT NULL);
CREATE TABLE crm.line_of_quote (line_id integer NOT NULL REFERENCES crm.line ON DELETE CASCADE, quote_id integer NOT NULL REFERENCES crm.quote ON DELETE CASCADE,
    PRIMARY KEY (line_id, quote_id));
CREATE TABLE crm.note (id serial PRIMARY KEY, body text NOT NULL);
CREATE TABLE crm.note_state (note_id integer PRIMARY KEY REFERENCES crm.note ON DELETE CASCADE, live boolean NOT NULL);
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.rep (no integer GENERATED ALWAYS AS IDENTITY (START 500) PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE erp.party (no integer GENERATED ALWAYS AS IDENTITY (START 1000) PRIMARY KEY, name text NOT NULL UNIQUE, rep_no integer REFERENCES erp.rep);
CREATE TABLE erp.person (no integer GENERATED ALWAYS AS IDENTITY (START 7000) PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE erp.taxpayer (id integer GENERATED ALWAYS AS IDENTITY (START 3000) PRIMARY KEY, party_no integer NOT NULL UNIQUE REFERENCES erp.party, tax_id text NOT NULL);
CREATE TABLE erp.party_team (party_no integer REFERENCES erp.party, rep_no integer REFERENCES erp.rep, PRIMARY KEY (party_no, rep_no));
CREATE TABLE erp.invoice (no serial PRIMARY KEY, party_no integer NOT NULL REFERENCES erp.party);
CREATE TABLE erp.dept (no integer GENERATED ALWAYS AS IDENTITY (START 100) PRIMARY KEY, name text NOT NULL UNIQUE, head_no integer);
CREATE TABLE erp.emp (no integer GENERATED ALWAYS AS IDENTITY (START 200) PRIMARY KEY, name text NOT NULL UNIQUE, dept_no integer NOT NULL REFERENCES erp.dept);
ALTER TABLE erp.dept ADD FOREIGN KEY (head_no) REFERENCES erp.emp;
CREATE TABLE erp.offer (no integer GENERATED ALWAYS AS IDENTITY (START 60) PRIMARY KEY, title text NOT NULL UNIQUE);
CREATE TABLE erp.offer_line (no integer GENERATED ALWAYS AS IDENTITY (START 90) PRIMARY KEY, offer_no integer NOT NULL REFERENCES erp.offer, item text NOT NULL);
CREATE TABLE erp.memo (no serial PRIMARY KEY, body text NOT NULL, closed boolean NOT NULL DEFAULT false);
"""
LINKS = {
    "party": """
link: party
crm: {table: crm.account, key: id, where: "crm.kind = 'company' and not crm.own"}
erp: {table: erp.party, key: no}
fields:
  - {crm: kind, value: company}
  - {crm: name, erp: name}
""",
    "person": """
link: person
crm: {table: crm.account, key: id, where: "crm.kind = 'person'"}
erp: {table: erp.person, key: no}
fields:
  - {crm: kind, value: person}
  - {crm: name, erp: name}
""",
    "taxpayer": """
link: taxpayer
crm: {table: crm.account, key: id, slice: true, where: "crm.vat <> '' and crm.kind = 'company' and not crm.own"}
erp: {table: erp.taxpayer, key: id}
delete: {crm: "set vat = ''"}
fields:
  - {crm: id, erp: party_no, link: party}
  - {crm: vat, erp: tax_id}
""",
    "rep": """
link: rep
crm: {table: crm.rep, key: id}
erp: {table: erp.rep, key: no}
fields:
  - {crm: name, erp: name}
""",
    "sales_rep": """
link: sales_rep
crm: {table: crm.account_rep, key: id, where: "crm.type = 'sales'"}
erp: {table: erp.party, key: no, slice: true, where: "erp.rep_no is not null"}
fields:
  - {crm: account_id, erp: no, link: party}
  - {crm: rep_id, erp: rep_no, link: rep}
  - {crm: type, value: sales}
""",
    "team": """
link: team
crm: {table: crm.account_rep_group, key: [account_id, rep_id]}
erp: {table: erp.party_team, key: [party_no, rep_no]}
fields:
  - {crm: account_id, erp: party_no, link: party}
  - {crm: rep_id, erp: rep_no, link: rep}
""",
    "dept": """
link: dept
crm: {table: crm.dept, key: id}
erp: {table: erp.dept, key: no}
fields:
  - {crm: name, erp: name}
  - {crm: head_id, erp: head_no, link: emp, missing: later}
""",
    "emp": """
link: emp
crm: {table: crm.emp, key: id}
erp: {table: erp.emp, key: no}
fields:
  - {crm: name, erp: name}
  - {crm: dept_id, erp: dept_no, link: dept}
""",
    "offer": """
link: offer
crm: {table: crm.quote, key: id}
erp: {table: erp.offer, key: no}
fields:
  - {crm: title, erp: title}
""",
    "offer_line": """
link: offer_line
flow: crm -> erp
crm:
  table: crm.line
  key: id
  derived: {quote_id: "select q.quote_id from crm.line_of_quote q where q.line_id = crm.id order by 1 limit 1"}
  where: "crm.quote_id is not null"
erp: {table: erp.offer_line, key: no}
fields:
  - {crm: quote_id, erp: offer_no, link: offer}
  - {crm: item, erp: item}
""",
    "memo": """
link: memo
flow: crm -> erp
crm:
  table: crm.note
  key: id
  derived: {live: "select s.live from crm.note_state s where s.note_id = crm.id"}
  where: "crm.live"
erp: {table: erp.memo, key: no, where: "not erp.closed"}
delete: {erp: "set closed = true"}
restore: {erp: "set closed = false"}
fields:
  - {crm: body, erp: body}
""",
}


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("shapes")
    with linked(server, folder, "shapes", CRM, ERP, LINKS) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_parked(pair: Pair) -> Iterator[None]:
    yield
    assert pair.parked() == []


def crm(pair: Pair, *statements: str) -> None:
    with pair.crm.transaction():
        for sql in statements:
            pair.crm.execute(sql)  # type: ignore[call-overload]
    pair.settle()


def erp(pair: Pair, *statements: str) -> None:
    with pair.erp.transaction():
        for sql in statements:
            pair.erp.execute(sql)  # type: ignore[call-overload]
    pair.settle()


def test_one_row_is_rows_of_two_tables_each_with_its_own_key(pair: Pair) -> None:
    crm(pair, "INSERT INTO crm.account (kind, name, vat) VALUES ('company', 'Two', 'DE1')")
    rows = "SELECT p.name, t.tax_id FROM erp.party p LEFT JOIN erp.taxpayer t ON t.party_no = p.no WHERE p.name = 'Two'"
    assert pair.rows("erp", rows) == [("Two", "DE1")]
    for link, first in (("party", 1000), ("taxpayer", 3000)):
        key = "no" if link == "party" else "id"
        assert pair.rows("erp", f"SELECT count(*) FROM replicator.crosswalk_{link} WHERE erp_{key} >= {first}") != [(0,)]
    crm(pair, "UPDATE crm.account SET vat = 'DE2' WHERE name = 'Two'")
    assert pair.rows("erp", rows) == [("Two", "DE2")]
    crm(pair, "UPDATE crm.account SET vat = '' WHERE name = 'Two'")
    assert pair.rows("erp", rows) == [("Two", None)]
    crm(pair, "UPDATE crm.account SET vat = 'DE3' WHERE name = 'Two'", "DELETE FROM crm.account WHERE name = 'Two'")
    assert pair.rows("erp", rows) == []
    assert pair.rows("erp", "SELECT tax_id FROM erp.taxpayer") == []


def test_rows_of_two_tables_are_one_row(pair: Pair) -> None:
    party = "INSERT INTO erp.party (name) VALUES ('One') RETURNING no"
    erp(pair, f"WITH p AS ({party}) INSERT INTO erp.taxpayer (party_no, tax_id) SELECT no, 'AT1' FROM p")
    row = "SELECT kind, vat FROM crm.account WHERE name = 'One'"
    assert pair.rows("crm", row) == [("company", "AT1")]
    erp(pair, "DELETE FROM erp.taxpayer")
    assert pair.rows("crm", row) == [("company", "")]
    erp(pair, "DELETE FROM erp.party WHERE name = 'One'")
    assert pair.rows("crm", row) == []


def test_kinds_of_one_table_have_a_table_each(pair: Pair) -> None:
    crm(
        pair,
        "INSERT INTO crm.account (kind, name, own) VALUES ('company', 'C', false), ('person', 'P', false), ('company', 'We', true)",
    )
    erp(pair, "INSERT INTO erp.party (name) VALUES ('C2')", "INSERT INTO erp.person (name) VALUES ('P2')")
    companies = "SELECT name FROM erp.party WHERE name IN ('C', 'P', 'C2', 'P2', 'We') ORDER BY 1"
    people = "SELECT name FROM erp.person ORDER BY 1"
    kinds = "SELECT kind, name FROM crm.account WHERE name IN ('C', 'P', 'C2', 'P2', 'We') ORDER BY 2"
    assert (pair.rows("erp", companies), pair.rows("erp", people)) == ([("C",), ("C2",)], [("P",), ("P2",)])
    assert pair.rows("crm", kinds) == [("company", "C"), ("company", "C2"), ("person", "P"), ("person", "P2"), ("company", "We")]
    crm(pair, "UPDATE crm.account SET kind = 'person' WHERE name = 'C'")  # leaves one link and enters the other
    assert (pair.rows("erp", companies), pair.rows("erp", people)) == ([("C2",)], [("C",), ("P",), ("P2",)])
    crm(pair, "DELETE FROM crm.account WHERE name IN ('C', 'P', 'C2', 'P2')")
    assert (pair.rows("erp", companies), pair.rows("erp", people)) == ([], [])


PEOPLE = [
    "INSERT INTO crm.account (kind, name) VALUES ('company', 'L')",
    "INSERT INTO crm.rep (name) VALUES ('Ann'), ('Bob') ON CONFLICT DO NOTHING",
]


@pytest.fixture
def company(pair: Pair) -> Iterator[str]:
    crm(pair, *PEOPLE)
    yield "L"
    crm(pair, "DELETE FROM crm.account WHERE name = 'L'")
    assert pair.rows("erp", "SELECT FROM erp.party WHERE name = 'L'") == []


def joined(type_: str, rep: str) -> str:
    return (
        "INSERT INTO crm.account_rep (account_id, rep_id, type)"
        f" SELECT a.id, r.id, '{type_}' FROM crm.account a, crm.rep r WHERE a.name = 'L' AND r.name = '{rep}'"
    )


@pytest.mark.usefixtures("company")
def test_a_row_of_a_link_table_is_a_foreign_key(pair: Pair) -> None:
    rep = "SELECT r.name FROM erp.party p LEFT JOIN erp.rep r ON r.no = p.rep_no WHERE p.name = 'L'"
    rows = "SELECT r.name, x.type FROM crm.account_rep x JOIN crm.rep r ON r.id = x.rep_id ORDER BY 2"
    crm(pair, joined("service", "Bob"))
    assert pair.rows("erp", rep) == [(None,)]
    crm(pair, joined("sales", "Ann"))
    assert pair.rows("erp", rep) == [("Ann",)]
    erp(pair, "UPDATE erp.party SET rep_no = (SELECT no FROM erp.rep WHERE name = 'Bob') WHERE name = 'L'")
    assert pair.rows("crm", rows) == [("Bob", "sales"), ("Bob", "service")]
    crm(pair, "UPDATE crm.account_rep SET rep_id = (SELECT id FROM crm.rep WHERE name = 'Ann') WHERE type = 'sales'")
    assert pair.rows("erp", rep) == [("Ann",)]
    erp(pair, "UPDATE erp.party SET rep_no = NULL WHERE name = 'L'")
    assert pair.rows("crm", rows) == [("Bob", "service")]
    erp(pair, "UPDATE erp.party SET rep_no = (SELECT no FROM erp.rep WHERE name = 'Ann') WHERE name = 'L'")
    assert pair.rows("crm", rows) == [("Ann", "sales"), ("Bob", "service")]
    crm(pair, "DELETE FROM crm.account_rep WHERE type = 'sales'")
    assert pair.rows("erp", rep) == [(None,)]


@pytest.mark.usefixtures("company")
@pytest.mark.parametrize("maker", ["crm", "erp"])
def test_a_link_table_is_a_link_table_and_cascades_row_by_row(pair: Pair, maker: str) -> None:
    teams = {
        "crm": "SELECT r.name FROM crm.account_rep_group g JOIN crm.rep r ON r.id = g.rep_id ORDER BY 1",
        "erp": "SELECT r.name FROM erp.party_team g JOIN erp.rep r ON r.no = g.rep_no ORDER BY 1",
    }
    if maker == "crm":
        crm(pair, "INSERT INTO crm.account_rep_group SELECT a.id, r.id FROM crm.account a, crm.rep r WHERE a.name = 'L'")
    else:
        erp(pair, "INSERT INTO erp.party_team SELECT a.no, r.no FROM erp.party a, erp.rep r WHERE a.name = 'L'")
    assert [pair.rows(node, sql) for node, sql in teams.items()] == [[("Ann",), ("Bob",)]] * 2
    erp(pair, "DELETE FROM erp.party_team WHERE rep_no = (SELECT no FROM erp.rep WHERE name = 'Ann')")
    assert [pair.rows(node, sql) for node, sql in teams.items()] == [[("Bob",)]] * 2
    crm(pair, "DELETE FROM crm.account WHERE name = 'L'")  # the ERP's foreign keys do not cascade
    assert [pair.rows(node, sql) for node, sql in teams.items()] == [[]] * 2


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("maker", ["crm", "erp"])
def test_a_circle_of_foreign_keys(pair: Pair, maker: str, together: bool) -> None:
    """Insert, insert, update: no order of rows would do without the update."""
    n = f"{maker} {together}"
    dept, head, key = ("dept_id", "head_id", "id") if maker == "crm" else ("dept_no", "head_no", "no")
    statements = [
        f"INSERT INTO {maker}.dept (name) VALUES ('{n}')",
        f"INSERT INTO {maker}.emp (name, {dept}) SELECT '{n}', {key} FROM {maker}.dept WHERE name = '{n}'",
        f"UPDATE {maker}.dept SET {head} = (SELECT {key} FROM {maker}.emp WHERE name = '{n}') WHERE name = '{n}'",
    ]
    act = crm if maker == "crm" else erp
    for part in [statements] if together else [[s] for s in statements]:
        act(pair, *part)
    sql = "SELECT e.name, h.name FROM {0}.dept d JOIN {0}.emp e ON e.{1} = d.{3} JOIN {0}.emp h ON h.{3} = d.{2} WHERE d.name = '{4}'"
    assert pair.rows("crm", sql.format("crm", "dept_id", "head_id", "id", n)) == [(n, n)]
    assert pair.rows("erp", sql.format("erp", "dept_no", "head_no", "no", n)) == [(n, n)]
    act(
        pair,
        f"UPDATE {maker}.dept SET {head} = NULL WHERE name = '{n}'",
        f"DELETE FROM {maker}.emp WHERE name = '{n}'",
        f"DELETE FROM {maker}.dept WHERE name = '{n}'",
    )
    for node in ("crm", "erp"):
        assert pair.rows(node, f"SELECT FROM {node}.dept WHERE name = '{n}'") == []


LINES = "SELECT l.item FROM erp.offer_line l JOIN erp.offer o ON o.no = l.offer_no WHERE o.title = '{}' ORDER BY 1"


@pytest.mark.parametrize("transactions", [1, 2, 3])
def test_the_row_that_joins_a_line_to_its_order_comes_last(pair: Pair, transactions: int) -> None:
    title = f"in {transactions}"
    pieces = [
        f"INSERT INTO crm.line (id, item) VALUES ({transactions}, 'x')",
        f"INSERT INTO crm.quote (id, title) VALUES ({transactions}, '{title}')",
        f"INSERT INTO crm.line_of_quote VALUES ({transactions}, {transactions})",
    ]
    if transactions == 1:
        crm(pair, *pieces)
    elif transactions == 2:
        crm(pair, *pieces[:2])
        crm(pair, pieces[2])
    else:
        for piece in pieces:
            assert pair.rows("erp", LINES.format(title)) == []
            crm(pair, piece)
    assert pair.rows("erp", LINES.format(title)) == [("x",)]
    crm(
        pair,
        f"UPDATE crm.line SET item = 'y' WHERE id = {transactions}",
        f"UPDATE crm.line SET item = 'z' WHERE id = {transactions}",
    )
    assert pair.rows("erp", LINES.format(title)) == [("z",)]
    crm(pair, f"DELETE FROM crm.quote WHERE id = {transactions}")  # takes the row between with it
    assert pair.rows("erp", LINES.format(title)) == []


def test_a_line_moves_to_another_order(pair: Pair) -> None:
    crm(pair, "INSERT INTO crm.quote (id, title) VALUES (21, 'a'), (22, 'b')", "INSERT INTO crm.line (id, item) VALUES (21, 'x')")
    crm(pair, "INSERT INTO crm.line_of_quote VALUES (21, 21)")
    assert pair.rows("erp", LINES.format("a")) == [("x",)]
    crm(pair, "DELETE FROM crm.line_of_quote WHERE line_id = 21", "INSERT INTO crm.line_of_quote VALUES (21, 22)")
    assert (pair.rows("erp", LINES.format("a")), pair.rows("erp", LINES.format("b"))) == ([], [("x",)])


def test_a_flag_in_another_table_is_a_soft_delete_negated(pair: Pair) -> None:
    memo = "SELECT closed, body FROM erp.memo ORDER BY no"
    crm(pair, "INSERT INTO crm.note (id, body) VALUES (1, 'a')")
    assert pair.rows("erp", memo) == []
    crm(pair, "INSERT INTO crm.note_state VALUES (1, true)")
    assert pair.rows("erp", memo) == [(False, "a")]
    crm(pair, "UPDATE crm.note_state SET live = false")
    assert pair.rows("erp", memo) == [(True, "a")]
    crm(pair, "UPDATE crm.note SET body = 'b'", "UPDATE crm.note_state SET live = true")
    assert pair.rows("erp", memo) == [(False, "b")]
    crm(pair, "DELETE FROM crm.note")  # hard here, soft there
    assert pair.rows("erp", memo) == [(True, "b")]


def test_a_delete_that_a_foreign_key_forbids_is_parked_and_can_be_tried_again(pair: Pair) -> None:
    crm(pair, "INSERT INTO crm.account (kind, name) VALUES ('company', 'Kept'), ('company', 'Gone')")
    erp(pair, "INSERT INTO erp.invoice (party_no) SELECT no FROM erp.party WHERE name = 'Kept'")
    crm(pair, "DELETE FROM crm.account WHERE name IN ('Kept', 'Gone')")
    assert pair.rows("erp", "SELECT name FROM erp.party WHERE name IN ('Kept', 'Gone')") == [("Kept",)]
    assert [(link, reason, state) for _, link, _, reason, state, _ in pair.parked()] == [("party", "refused", "23503")]
    erp(pair, "DELETE FROM erp.invoice")
    pair.erp.execute("UPDATE replicator.parked SET retry = true")
    for flow in pair.exchange.flows:
        flow.ask_for_retries()
    pair.settle()
    assert pair.rows("erp", "SELECT name FROM erp.party WHERE name IN ('Kept', 'Gone')") == []

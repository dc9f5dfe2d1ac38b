"""Merges tried on servers: what passes, what is found and by what example, for columns of many types.

No statement of a trial names a table, so that examples cannot hold anybody's data; the tables below are empty.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from replicator.demo.servers import Server
from replicator.engines.postgres.catalog import read_tables
from replicator.engines.postgres.connect import connect
from replicator.engines.postgres.rehearse import MergeResult, try_merge
from replicator.mapping.load import load_link
from replicator.mapping.samples import samples
from replicator.model.table import Table, TableName
from replicator.program.trials import MergeTrial, merge_trials
from tests.databases import empty

TYPES = {
    "i": "integer", "s": "smallint", "b": "bigint", "n": "numeric", "n2": "numeric(12,2)", "f": "double precision",
    "r": "real", "t": "text", "v": "varchar(5)", "c": "char(4)", "o": "boolean", "d": "date", "ti": "time",
    "tz": "timetz", "ts": "timestamp", "tt": "timestamptz", "iv": "interval", "u": "uuid", "j": "json", "jb": "jsonb",
    "by": "bytea", "ip": "inet", "ci": "cidr", "m": "money", "bi": "bit(4)", "vb": "varbit", "ir": "int4range",
    "dr": "daterange", "ai": "integer[]", "at": "text[]", "an": "numeric(5,1)[]", "e": "mood", "ea": "mood[]",
    "dp": "positive", "de": "mood_domain", "p": "point", "mac": "macaddr", "cit": "citext", "hs": "hstore",
}  # fmt: skip
SCHEMA = f"""
create extension citext;
create extension hstore;
create extension intarray;
create type mood as enum ('low', 'high', 'it''s "fine"');
create domain positive as numeric(6,2) check (value > 0);
create domain mood_domain as mood;
create table one (id int primary key, {", ".join(f"{name} {kind}" for name, kind in TYPES.items())});
"""
TABLE = TableName("public", "one")


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[psycopg.Connection]:
    dsn = empty(server, "merges")
    with connect("crm", dsn, "test") as connection:
        connection.execute(SCHEMA)
        yield connection


@pytest.fixture(scope="module")
def table(connection: psycopg.Connection) -> Table:
    found = read_tables(connection, [TABLE])[TABLE]
    assert found is not None
    return found


def trial(table: Table, column: str, expression: str) -> MergeTrial:
    """`a` and `b` in the expression stand for the column on either node."""
    text = f"link: x\ncrm: {{table: one, key: id}}\nerp: {{table: one, key: id}}\nfields:\n  - crm: {column}\n    erp: {column}\n"
    text += f"    rule:\n      merge: |\n        {expression.format(a=f'crm.{column}', b=f'erp.{column}')}\n"
    link, findings = load_link("x.yaml", text=text)
    assert link is not None, findings
    (found,) = merge_trials(link, {("crm", TABLE): table, ("erp", TABLE): table})
    return found


def tried(connection: psycopg.Connection, table: Table, column: str, expression: str) -> MergeResult:
    return try_merge(connection, trial(table, column, expression))


@pytest.mark.parametrize("column", TYPES)
def test_values_can_be_made_up_for_every_type(connection: psycopg.Connection, table: Table, column: str) -> None:
    result = tried(connection, table, column, "case when false then {a} else case when true then {b} end end")
    assert result.tried >= 2, samples(table.column(column))
    assert result.failure is None
    assert result.breach is not None
    assert result.breach.law == "sides"


@pytest.mark.parametrize(
    ("column", "expression"),
    [
        *[(column, "greatest({a}, {b})") for column in TYPES if column not in ("j", "p", "hs")],
        *[(column, "least({a}, {b})") for column in ("i", "n2", "t", "iv", "ai", "e", "f")],
        ("i", "coalesce(least({a}, {b}), {a}, {b})"),
        ("i", "{a} | {b}"),
        ("bi", "{a} & {b}"),
        ("o", "{a} or {b}"),
        ("o", "{a} and {b}"),
        ("t", "greatest(lower({a}), lower({b}))"),
        ("n2", "least(greatest({a}, {b}), 100)"),
        ("t", "case when length({a}) > length({b}) then {a} when length({a}) < length({b}) then {b} else greatest({a}, {b}) end"),
    ],
)
def test_good_merges(connection: psycopg.Connection, table: Table, column: str, expression: str) -> None:
    result = tried(connection, table, column, expression)
    assert (result.refused, result.breach, result.failure) == (None, None, None)


@pytest.mark.parametrize(
    ("column", "expression", "law", "example"),
    [
        ("i", "{a} - {b}", "sides", "of '1' and '2' it makes '-1', of '2' and '1' '1'"),
        ("t", "{a} || {b}", "sides", "of 'a' and 'b' it makes 'ab', of 'b' and 'a' 'ba'"),
        ("at", "{a} || {b}", "sides", "of '{a}' and '{b}' it makes '{a,b}', of '{b}' and '{a}' '{b,a}'"),
        ("jb", "{a} || {b}", "sides", """of '{"a": 1}' and '{"a": 2}' it makes '{"a": 2}', of"""),
        ("t", "coalesce({a}, {b})", "sides", "of 'a' and 'b' it makes 'a', of 'b' and 'a' 'b'"),
        ("e", "case when {a} is null then {b} else {a} end", "sides", "of 'low' and 'high' it makes 'low'"),
        ("i", "{a} + {b}", "again", "of '1' and '1' it makes '2', and of '2' and '2' '4'"),
        ("n2", "({a} + {b}) / 2", "order", "if the first two meet first"),
        ("f", "sqrt(abs({a} * {b}))", "order", "if the first two meet first"),
        ("t", "case when {a} > {b} then {a} else {b} end", "sides", "and NULL it makes"),
        ("t", "greatest({a}, {b}) || '%s %'", "again", "of 'a' and 'a' it makes 'a%s %', and of 'a%s %' and 'a%s %'"),
    ],
)
def test_merges_that_break_a_law(
    connection: psycopg.Connection, table: Table, column: str, expression: str, law: str, example: str
) -> None:
    result = tried(connection, table, column, expression)
    assert result.breach is not None
    assert result.breach.law == law
    assert example in result.breach.example


@pytest.mark.parametrize(
    ("column", "expression", "state"),
    [("t", "{a} + {b}", "42883"), ("j", "greatest({a}, {b})", "42883"), ("i", "greatest({a}, {b}, 1/0)", "22012")],
)
def test_what_the_server_does_not_understand(
    connection: psycopg.Connection, table: Table, column: str, expression: str, state: str
) -> None:
    result = tried(connection, table, column, expression)
    assert result.refused is not None
    assert result.refused.sqlstate == state


def test_values_that_cannot_be_merged(connection: psycopg.Connection, table: Table) -> None:
    result = tried(connection, table, "t", "cast(greatest({a}::integer, {b}::integer) as text)")
    assert result.refused is None
    assert result.failure is not None
    assert result.failure.values == ("a", "b")
    assert result.failure.answer.sqlstate == "22P02"
    overflow = tried(connection, table, "i", "({a} + {b}) / 2")
    assert overflow.breach is not None
    assert overflow.breach.law == "order"
    assert overflow.failure is not None
    assert overflow.failure.answer.sqlstate == "22003"


def test_a_union_of_lists(connection: psycopg.Connection, table: Table) -> None:
    result = tried(connection, table, "ai", "{a} | {b}")  # the extension's: sorted, each element once, no NULL inside
    assert (result.refused, result.breach) == (None, None)
    assert result.failure is not None
    assert "{NULL}" in result.failure.values


def test_a_trial_leaves_nothing_and_reads_no_table(connection: psycopg.Connection, table: Table) -> None:
    one = trial(table, "i", "greatest({a}, {b})")
    assert not any('"one"' in sql or ".one" in sql for sql in (one.merge, one.same, one.usable))
    try_merge(connection, one)
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    row = connection.execute("SHOW statement_timeout").fetchone()
    assert row == ("0",)

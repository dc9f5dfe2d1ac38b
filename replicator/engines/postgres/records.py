"""One record of a link as a node knows it: its row, its pair, its grave, and who wrote which field when.

Promises: reads only; a key that is none of its column's type finds nothing instead of failing; identifiers are
quoted, values are parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from replicator.engines.postgres.errors import told
from replicator.errors import ConfigurationError
from replicator.mapping.expressions import to_sql_both
from replicator.mapping.queries import rendered
from replicator.model.link import Expression, Link, Side
from replicator.model.table import Column
from replicator.program import names
from replicator.program.sql import PARAMETER, declared, differs, quote, state, table, with_parameters

Key = tuple[str, ...]  # by column, as text
OWN = "own"
# 'x' where a number is wanted, a number or a date that is too great: nothing has such a key.
NO_SUCH_VALUE = frozenset((None, "22P02", "22P03", "22003", "22007", "22008", "22021", "22023"))


@dataclass(frozen=True, slots=True)
class PairRow:
    """`keys`: by node. `made`: the stamp of the change that made the pair, if that happened on this node."""

    keys: dict[str, Key]
    made: int | None


@dataclass(frozen=True, slots=True)
class Grave:
    """A pair that is dead. `stamp`: of the delete, on node `by`; `at`: when this node learned of it."""

    keys: dict[str, Key]
    stamp: int
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A change that the replicator wrote here. `fields`: a character a field of the link, '1' if it was written. `lsn`: where
    it stands in this node's WAL; `source_lsn`: where its user's transaction committed in that of the stamp's node."""

    fields: str
    stamp: int
    lsn: str
    source_lsn: str | None


@dataclass(frozen=True, slots=True)
class Row:
    key: Key
    values: tuple[str | None, ...]


def find_row(connection: psycopg.Connection, side: Side, key: Key, columns: Sequence[str]) -> Row | None:
    """The record as it stands now, with what the link derives beside it."""
    source = f"({side.query.text}\n)" if side.query is not None else _rows(side)
    values = ", ".join(f"({_value(side, column)})::text" for column in columns)
    keys = ", ".join(f"({_value(side, column)})::text" for column in side.key)
    where = [_value(side, column) for column in side.key]
    sql = f"SELECT ARRAY[{keys}], ARRAY[{values}]::text[] FROM {source} AS {OWN}"
    found = _look_up(connection, sql, where, key)
    return Row(tuple(found[0][0]), tuple(found[0][1])) if found else None


def _rows(side: Side) -> str:
    """The side's table, with those it extends."""
    if not side.extends:
        return table(side.table)
    parts = [
        f" JOIN {table(part.table)} p{i} ON "
        + " AND ".join(f"p{i}.{quote(b)} = p.{quote(a)}" for a, b in zip(side.key, part.key, strict=True))
        for i, part in enumerate(side.extends)
    ]
    return f"(SELECT * FROM {table(side.table)} p{''.join(parts)})"


def _value(side: Side, column: str) -> str:
    query = side.derived.get(column)
    return rendered(query, _own) if query is not None else _own(column)


def _own(column: str) -> str:
    return f"{OWN}.{quote(column)}"


def find_pairs(connection: psycopg.Connection, link: Link, node: str, key: Key) -> list[PairRow]:
    """The pair of the record that has this key on `node`, as the node of `connection` knows it."""
    sql = f"SELECT {_both_keys(link)}, made FROM {state(names.crosswalk(link))}"
    rows = _look_up(connection, sql, _quoted(names.pair_columns(link, node)), key)
    return [PairRow(_keys(link, one, other), made) for one, other, made in rows]


def find_graves(connection: psycopg.Connection, link: Link, node: str, key: Key) -> list[Grave]:
    """Newest first: a key may have been used more than once."""
    sql = f"SELECT {_both_keys(link)}, stamp, at, deleted_on FROM {state(names.tombstone(link))}"
    rows = _look_up(connection, sql, _quoted(names.pair_columns(link, node)), key, "ORDER BY stamp DESC")
    return [Grave(_keys(link, one, other), *rest) for one, other, *rest in rows]


def find_entries(connection: psycopg.Connection, link: Link, node: str, key: Key) -> list[Entry]:
    """What was written on `node`, whose connection this is; the newest edit first. Nothing if the link keeps no ledger."""
    ledger = state(names.ledger(link))
    there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (ledger,)).fetchone()
    if not (there and there[0]):
        return []
    sql = f"SELECT fields::text, stamp, lsn::text, source_lsn::text FROM {ledger}"
    rows = _look_up(connection, sql, _quoted(names.pair_columns(link, node)), key, "ORDER BY stamp DESC, lsn DESC")
    return [Entry(*row) for row in rows]


def value_refused(connection: psycopg.Connection, column: Column, value: str) -> str | None:
    """Why a text cannot be a value of the column, in words without the value; None if it can."""
    wanted = f"CAST({PARAMETER} AS {column.type})"
    # A cast cuts a text that is too long.
    cut = f"CAST({PARAMETER} AS {column.base_type}) IS DISTINCT FROM {wanted}" if column.category == "S" else "false"
    try:
        with connection.transaction():
            sql = with_parameters(f"SELECT {wanted} IS NULL, {cut}")
            row = connection.execute(sql, (value,) * sql.count("%s")).fetchone()
    except psycopg.DataError:
        return f"is not a value of type {column.type}"
    return f"is too long for {column.type}" if row and row[1] else None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """`differs`: from the value it was compared with."""

    value: str | None
    differs: bool


Met = tuple[str | None, str | None, str | None]  # incoming, existing, and the value to compare with


def evaluate(
    connection: psycopg.Connection, expression: Expression, column: Column, nodes: tuple[str, str], values: Sequence[Met]
) -> list[Evaluated | None]:
    """A merge of values that met: all are values of `column`, those of `nodes[0]` incoming. None where it fails."""
    kind = declared(column)
    sides = {nodes[0]: f"CAST(u.incoming AS {kind})", nodes[1]: f"CAST(u.existing AS {kind})"}
    merged = f"CAST(({to_sql_both(expression, lambda node, _: sides[node])}) AS {kind})"
    sql = with_parameters(
        f"SELECT {merged}::text, {differs(column, merged, f'CAST(u.compared AS {kind})')}"
        f" FROM unnest({PARAMETER}::text[], {PARAMETER}::text[], {PARAMETER}::text[]) WITH ORDINALITY"
        f" u (incoming, existing, compared, place) ORDER BY place"
    )
    try:
        with connection.transaction():
            rows = connection.execute(sql, [list(part) for part in zip(*values, strict=True)]).fetchall()
        return [Evaluated(*row) for row in rows]
    except psycopg.DataError:
        if len(values) == 1:
            return [None]
    except psycopg.ProgrammingError as error:
        message = f"the server refuses {expression.text!r}: {told(error)}"
        raise ConfigurationError(message, f"both columns are read as {kind}") from None
    half = len(values) // 2
    return [found for part in (values[:half], values[half:]) for found in evaluate(connection, expression, column, nodes, part)]


def _look_up(
    connection: psycopg.Connection, sql: str, columns: Sequence[str], key: Key, order: str = ""
) -> list[tuple[Any, ...]]:
    if len(columns) != len(key):
        return []
    where = " AND ".join(f"({column}) = {PARAMETER}" for column in columns)
    try:
        with connection.transaction():
            return connection.execute(with_parameters(f"{sql} WHERE {where} {order}"), key).fetchall()
    except psycopg.DataError as error:
        if error.sqlstate not in NO_SUCH_VALUE:
            raise
        return []


def _quoted(columns: Sequence[str]) -> list[str]:
    return [quote(column) for column in columns]


def _texts(columns: Sequence[str]) -> str:
    return ", ".join(f"{quote(column)}::text" for column in columns)


def _both_keys(link: Link) -> str:
    return ", ".join(f"ARRAY[{_texts(names.pair_columns(link, side.node))}]" for side in link.sides)


def _keys(link: Link, one: Sequence[str], other: Sequence[str]) -> dict[str, Key]:
    return {link.sides[0].node: tuple(one), link.sides[1].node: tuple(other)}

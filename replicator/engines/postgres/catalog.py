"""What the catalog says of the tables that links name. One query a table set, at start and on lint, never per row."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import psycopg

from replicator.engines.postgres.sql import statement
from replicator.model.table import Column, Table, TableName

IDENTITIES = {"d": "default", "f": "full", "n": "nothing", "i": "index"}
SIZED = re.compile(r"(numeric|character varying|character)\((\d+)(?:,-?\d+)?\)")
TABLES, VIEWS = ("r", "p"), ("v", "m")  # pg_class.relkind
FIRST_USER_OID = 16384  # types below are the same on every server (PostgreSQL: FirstNormalObjectId)


def read_tables(
    connection: psycopg.Connection, names: Iterable[TableName], kinds: tuple[str, ...] = TABLES
) -> dict[TableName, Table | None]:
    """Each name with its table, or None where the database has none (or the role may not see it)."""
    wanted = sorted(set(names))
    schemas, tables = [n.schema for n in wanted], [n.name for n in wanted]
    columns: dict[TableName, list[Column]] = defaultdict(list)
    for row in connection.execute(statement("columns"), (schemas, tables, list(kinds))).fetchall():
        columns[TableName(row[0], row[1])].append(_column(row[2:]))
    found: dict[TableName, Table | None] = dict.fromkeys(wanted)
    for schema, name, identity, primary, uniques, triggers, parents, reaches in connection.execute(
        statement("tables"), (schemas, tables, list(kinds))
    ).fetchall():
        key = TableName(schema, name)
        found[key] = Table(
            name=key,
            columns=tuple(columns[key]),
            primary_key=tuple(primary or ()),
            unique_keys=tuple(tuple(u["columns"]) for u in uniques),
            replica_identity=IDENTITIES[identity],
            has_triggers=triggers,
            refers_to=frozenset(TableName(*parent) for parent in parents),
            reaches_out=reaches,
        )
    return found


def describe(connection: psycopg.Connection, sql: str) -> tuple[Column, ...]:
    """The columns that a query gives."""
    cursor = connection.execute(f"SELECT * FROM ({sql}\n) q LIMIT 0")
    result = cursor.pgresult
    assert result is not None
    fields = range(result.nfields)
    names = [column.name for column in cursor.description or ()]
    kinds = connection.execute(
        statement("types"), ([result.ftype(i) for i in fields], [result.fmod(i) for i in fields])
    ).fetchall()
    return tuple(
        Column(name, declared, base, _portable(base, oid, user_array), category, not_null=False, toastable=storage != "p")
        for name, (declared, base, oid, category, user_array, storage) in zip(names, kinds, strict=True)
    )


def _portable(base: str, oid: int, array_of_user_type: bool) -> str:
    return base if oid < FIRST_USER_OID and not array_of_user_type else ("text[]" if array_of_user_type else "text")


def _column(row: tuple[Any, ...]) -> Column:
    (
        name,
        declared,
        base,
        base_oid,
        category,
        array_of_user_type,
        not_null,
        comparable,
        default,
        identity,
        formula,
        storage,
    ) = row
    portable = _portable(base, base_oid, array_of_user_type)
    return Column(
        name=name,
        type=declared,
        base_type=base,
        portable=portable,
        category=category,
        not_null=not_null,
        comparable=comparable,
        default=default,
        identity=identity != "",
        identity_always=identity == "a",
        formula=formula,
        toastable=storage != "p" and not _is_short(declared),
    )


def _is_short(declared: str) -> bool:
    """Whether no value is longer than 24 bytes, the size up to which none is ever kept out of line (heaptoast.c)."""
    found = SIZED.fullmatch(declared)
    if found is None:
        return False
    size = int(found[2])
    return size <= 28 if found[1] == "numeric" else size <= 5  # two bytes for four digits; four bytes a character

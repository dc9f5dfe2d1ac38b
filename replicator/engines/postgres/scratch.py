"""Databases that are made for tests of links and thrown away: their tables, their rows, and going back to the start.

Promises: nothing is touched outside of databases whose names begin with PREFIX, and of slots that belong to these. Messages
show values: they are those of tests.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import conninfo

from replicator.engines.postgres.connect import connect
from replicator.engines.postgres.errors import translated
from replicator.errors import ConfigurationError
from replicator.model.case import Cell, Row
from replicator.model.table import Column, Table
from replicator.program.sql import differs, literal, quote, table

PREFIX = "replicator_test_"
SAVED = "replicator_saved"  # schema of the rows that every case begins with
LOCALES = (
    "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C.UTF-8'",
    "LC_CTYPE 'C.UTF-8'",
    "",
)
PATIENCE_SECONDS = 20.0
ROWS_LIMIT = 2_000  # of a table that is compared
STRUCTURE = re.compile(r"\b(create|alter|drop|grant|revoke|comment|security|reindex|cluster|refresh|do|call)\b", re.IGNORECASE)

_META = re.compile(r"^\\[a-z]+.*$", re.MULTILINE)
_DATA = re.compile(r"^COPY .* FROM stdin;$", re.MULTILINE | re.IGNORECASE)
_SETTING = re.compile(r"^SET (\w+) = [^;\n]*;$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Refused:
    """`offset`: the character of the statement that the server's words are about, counted from 0, where it says so."""

    said: str
    sqlstate: str
    offset: int | None


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row as it is, as text, and for each expected row which of its cells it fulfils."""

    values: dict[str, str | None]
    fulfils: tuple[tuple[bool, ...], ...]


class Scratch:
    """A server where we may make databases. `disposable`: it goes away with all that is on it."""

    def __init__(self, dsn: str, disposable: bool) -> None:
        self._dsn = dsn
        self._disposable = disposable
        self._connection = connect("scratch server", dsn, "test")
        self._origins: list[str] = []  # that were there before us
        self._ours: list[str] = []

    def close(self) -> None:
        self._connection.close()

    def create(self, name: str) -> str:
        """An empty database; its DSN. Where it is our own server's, letters are letters: upper('ä') is 'Ä'."""
        with translated("scratch server"):
            for locale in LOCALES if self._disposable else ("",):
                try:
                    self._connection.execute(f"CREATE DATABASE {quote(name)} TEMPLATE template0 {locale}")
                    break
                except psycopg.Error:  # an older server, a system without that locale
                    if not locale:
                        raise
        return conninfo.make_conninfo(self._dsn, dbname=name)

    def drop(self, names: Iterable[str]) -> None:
        with translated("scratch server"):
            for name in names if not self._disposable else ():
                self._connection.execute(f"DROP DATABASE IF EXISTS {quote(name)} WITH (FORCE)")
            if not self._disposable:
                drop = "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname <> ALL(%s)"
                self._connection.execute(f"{drop} AND roname = ANY(%s)", (self._origins, self._ours))

    def drop_slots(self, databases: Sequence[str]) -> None:
        """Their slots, when the sessions that read them, or hold an origin, are gone."""
        end = time.monotonic() + PATIENCE_SECONDS
        busy = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = ANY(%s) AND application_name LIKE 'replicator %%')"
        drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = ANY(%s)"
        with translated("scratch server"):
            while time.monotonic() < end:
                row = self._connection.execute(busy, (list(databases),)).fetchone()
                if row is None or not row[0]:
                    break
                time.sleep(0.002)
            self._connection.execute(drop, (list(databases),))

    def clear(self, slots: Sequence[str], origins: Sequence[str]) -> None:
        """Before databases are made: takes away what a test that was killed has left behind. ConfigurationError if somebody
        else has these slots. `origins`: of the replicator; those that are not there yet go with the databases."""
        with translated("scratch server"):
            known = self._connection.execute("SELECT roname::text FROM pg_replication_origin").fetchall()
            self._origins, self._ours = [name for (name,) in known], list(origins)
            found = self._connection.execute(
                "SELECT slot_name::text, database::text, active FROM pg_replication_slots WHERE slot_name = ANY(%s)",
                (list(slots),),
            ).fetchall()
            for slot, database, active in found:
                if active or not str(database).startswith(PREFIX):
                    hint = "name a server on which no replicator and no other test runs, or none: then there is one of its own"
                    raise ConfigurationError(f"the scratch server has a slot {slot} already, of database {database}", hint)
                self._connection.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
                self._connection.execute(f"DROP DATABASE {quote(database)} WITH (FORCE)")


def runnable(connection: psycopg.Connection, script: str) -> str:
    """What pg_dump writes for psql, as a server takes it: the same lines, those that are psql's alone left empty, and settings
    left out that only other versions know. ConfigurationError if there are rows in it."""
    if found := _DATA.search(script):
        line = script.count("\n", 0, found.start()) + 1
        raise ConfigurationError(f"line {line} begins rows of a table", "dump with --schema-only; rows are for `given`")
    known = {name for (name,) in connection.execute("SELECT name FROM pg_settings").fetchall()}
    script = _META.sub("", script)
    return _SETTING.sub(lambda found: found[0] if found[1].lower() in known else "", script)


def attempt(connection: psycopg.Connection, sql: str) -> Refused | None:
    """Runs one or more statements as one transaction. Why not, if the server refuses."""
    try:
        connection.execute(sql.encode())
    except psycopg.Error as error:
        if connection.broken:
            raise
        at = error.diag.statement_position
        return Refused(_said(error), error.sqlstate or "", int(at) - 1 if at else None)
    return None


def forget_replicator(connection: psycopg.Connection) -> None:
    """Tables that were dumped where a replicator runs bring its state and publications along."""
    connection.execute("DROP SCHEMA IF EXISTS replicator CASCADE")
    for (name,) in connection.execute("SELECT pubname FROM pg_publication WHERE pubname LIKE 'replicator\\_%'").fetchall():
        connection.execute(f"DROP PUBLICATION {quote(name)}")


def _said(error: psycopg.Error) -> str:
    primary, detail = error.diag.message_primary, error.diag.message_detail
    text = f"{primary}. {detail}" if primary and detail else primary or str(error).strip()
    return f"{text.rstrip('.')} (SQLSTATE {error.sqlstate})" if error.sqlstate else text


# -- rows --------------------------------------------------------------------------------------------------------------


def insert(found: Table, row: Row) -> str:
    """`row` names columns of the table."""
    if not row.cells:
        return f"INSERT INTO {table(found.name)} DEFAULT VALUES"
    columns = ", ".join(quote(cell.key) for cell in row.cells)
    values = ", ".join(_given(found.column(cell.key), cell) for cell in row.cells)
    return f"INSERT INTO {table(found.name)} ({columns}) OVERRIDING SYSTEM VALUE VALUES ({values})"


def _given(column: Column, cell: Cell) -> str:
    if cell.text is None:
        return "NULL"
    return f"({cell.text})" if cell.kind == "sql" else _value(column, cell.text)


def _value(column: Column, text: str) -> str:
    # Without a length: a cast would cut a text that is too long, where the column refuses it.
    return f"CAST({literal(text)} AS {column.base_type})"


def fulfils(found: Table, cell: Cell) -> str:
    """A condition over a row of the table."""
    column = found.column(cell.key)
    name = quote(cell.key)
    if cell.text is None:
        return f"{name} IS {'NOT ' if cell.kind == 'not' else ''}NULL"
    different = differs(column, name, _given(column, cell))
    return different if cell.kind == "not" else f"NOT ({different})"


def compare(connection: psycopg.Connection, found: Table, rows: Sequence[Row]) -> list[FoundRow]:
    """Every row of the table, in the order of its key. Raises psycopg.Error if an expression cannot be computed."""
    columns = [column.name for column in found.columns]
    texts = ", ".join(f"{quote(name)}::text" for name in columns)
    conditions = ", ".join(fulfils(found, cell) for row in rows for cell in row.cells)
    order = ", ".join(quote(name) for name in found.primary_key) or "1"
    wanted = f"ARRAY[{texts}]::text[], ARRAY[{conditions}]::boolean[]"
    sql = f"SELECT {wanted} FROM {table(found.name)} ORDER BY {order} LIMIT {ROWS_LIMIT}"
    result = []
    for values, flags in connection.execute(sql.encode()).fetchall():
        rest = iter(flags)
        split = tuple(tuple(next(rest) for _ in row.cells) for row in rows)
        result.append(FoundRow(dict(zip(columns, values, strict=True)), split))
    return result


def trial(found: Table, cell: Cell) -> str:
    """A statement that fails if what the cell says cannot be computed."""
    return f"SELECT count({fulfils(found, cell)}) FROM {table(found.name)}"


def parked(connection: psycopg.Connection) -> list[dict[str, str | None]]:
    sql = "SELECT link, reason, sqlstate, array_to_string(key, ','), message FROM replicator.parked ORDER BY id"
    keys = ("link", "reason", "sqlstate", "key", "says")
    return [dict(zip(keys, row, strict=True)) for row in connection.execute(sql).fetchall()]


def table_names(connection: psycopg.Connection) -> list[str]:
    sql = (
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname NOT LIKE 'pg\\_%'"
        " AND n.nspname <> 'information_schema' ORDER BY 1"
    )
    return [name for (name,) in connection.execute(sql).fetchall()]


# -- back to the start -------------------------------------------------------------------------------------------------


def save(connection: psycopg.Connection) -> str:
    """Remembers the rows of all tables and where all sequences stand; gives the script that brings these back. It does not
    undo what changes the structure: see STRUCTURE."""
    connection.execute(f"CREATE SCHEMA {SAVED}")
    relations = connection.execute(
        "SELECT c.oid::regclass::text, c.relkind::text, ARRAY(SELECT quote_ident(a.attname) FROM pg_attribute a"
        " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'S')"
        " AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'replicator_saved') ORDER BY 1"
    ).fetchall()
    script = ["SET session_replication_role = replica"]  # no trigger of the tables fires, no foreign key is looked at
    back = []
    for number, (name, kind, columns) in enumerate(relations):
        if kind == "S":
            row = connection.execute(f"SELECT last_value, is_called FROM {name}".encode()).fetchone()
            assert row is not None
            back.append(f"SELECT setval({literal(name)}, {row[0]}, {row[1]})")
            continue
        script.append(f"DELETE FROM ONLY {name}")
        row = connection.execute(f"SELECT EXISTS (SELECT FROM ONLY {name})".encode()).fetchone()
        if row is not None and row[0]:
            listed = ", ".join(columns)
            saved = f"{SAVED}.table_{number}"
            connection.execute(f"CREATE TABLE {saved} AS SELECT {listed} FROM ONLY {name}".encode())
            back.append(f"INSERT INTO {name} ({listed}) OVERRIDING SYSTEM VALUE SELECT {listed} FROM {saved}")
    return ";\n".join([*script, *back])

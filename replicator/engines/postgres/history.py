"""What a node remembers of conflicts: the questions of `sql/history.sql`, with typed answers.

Promises: only `want` writes, and only what a person asked for into entries that wait for one; values are parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from replicator.engines.postgres.sql import statement


def _sql(name: str) -> str:
    return statement(name, "history.sql")


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """A row of replicator.conflict; see sql/state.sql."""

    id: int
    at: datetime
    flow: str
    link: str
    kind: str
    field: str | None
    source_key: str | None
    target_key: str | None
    incoming: str | None
    existing: str | None
    base: str | None
    written: str | None
    incoming_stamp: int | None
    existing_stamp: int | None
    incoming_lsn: str | None
    winner: str | None
    rule: str
    place: str
    status: str
    wanted: str | None
    wanted_value: str | None
    wanted_by: str | None
    settled: datetime | None
    settled_by: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which conflicts; None: any. `links`: of one of these. `key`: the record's key on either node, parts joined by commas."""

    links: tuple[str, ...] | None = None
    field: str | None = None
    kind: str | None = None
    status: str | None = None
    key: str | None = None
    since: datetime | None = None

    @property
    def everything(self) -> bool:
        return self == Selection(status=self.status)


@dataclass(frozen=True, slots=True)
class ParkedRow:
    id: int
    reason: str
    sqlstate: str | None
    message: str
    waits_link: str | None
    waits_key: str | None
    attempts: int
    since: datetime
    tried: datetime
    retry: bool


def conflicts(connection: psycopg.Connection, selection: Selection, upto: int | None) -> list[ConflictRow]:
    """Newest first."""
    asked = {
        "links": None if selection.links is None else list(selection.links),
        "field": selection.field, "kind": selection.kind, "status": selection.status,
        "key": selection.key, "since": selection.since, "upto": upto,
    }  # fmt: skip
    with connection.cursor(row_factory=class_row(ConflictRow)) as cursor:
        return cursor.execute(_sql("conflicts"), asked).fetchall()


def conflicts_by_id(connection: psycopg.Connection, ids: Sequence[int]) -> list[ConflictRow]:
    with connection.cursor(row_factory=class_row(ConflictRow)) as cursor:
        return cursor.execute(_sql("by_id"), (list(ids),)).fetchall()


def conflicts_of_record(connection: psycopg.Connection, link: str, here: str | None, there: str | None) -> list[ConflictRow]:
    """`here`, `there`: the record's key on this node and on the other."""
    with connection.cursor(row_factory=class_row(ConflictRow)) as cursor:
        return cursor.execute(_sql("of_record"), (link, here, there)).fetchall()


def want(connection: psycopg.Connection, rows: Sequence[ConflictRow], wanted: str, value: str | None, by: str) -> list[int]:
    """Says what is to become of these entries; gives the ids of those that still were as the person saw them."""
    done = []
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '5s'")
        for row in rows:
            asked = {
                "wanted": wanted, "value": value, "by": by,
                "id": row.id, "incoming": row.incoming, "existing": row.existing,
            }  # fmt: skip
            done += [number for (number,) in connection.execute(_sql("want"), asked).fetchall()]
    return done


def slots_read(connection: psycopg.Connection, slots: Sequence[str]) -> bool:
    """Whether a daemon reads any of them."""
    row = connection.execute(_sql("slots_read"), (list(slots),)).fetchone()
    return bool(row and row[0])


def parked_of(connection: psycopg.Connection, flow: str, link: str, key: Sequence[str]) -> list[ParkedRow]:
    """`key`: the record's key on the flow's source, by column."""
    with connection.cursor(row_factory=class_row(ParkedRow)) as cursor:
        return cursor.execute(_sql("parked"), (flow, link, list(key))).fetchall()


def kept_conflicts(connection: psycopg.Connection) -> list[tuple[str, str, str, str, int]]:
    """(flow, link, kind, status, number)."""
    return connection.execute(_sql("kept")).fetchall()


@contextmanager
def reading(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction in which the server itself refuses every write; nothing of it remains."""
    with connection.transaction(force_rollback=True):
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute("SET LOCAL statement_timeout = '60s'")
        yield

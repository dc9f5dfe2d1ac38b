"""What a node has set aside, for people: the questions of `sql/parked.sql`, with typed answers.

Promises: only `retry`, `discard` and `edit` write, and only what a person wants done; the replicator does it. Values are
parameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from replicator.engines.postgres.sql import statement


def _sql(name: str) -> str:
    return statement(name, "parked.sql")


@dataclass(frozen=True, slots=True)
class ParkedChange:
    """A row of replicator.parked without its payload; see sql/state.sql. `is_notice`: there is no change in it, it only says
    something. `behind`: how many wait for its record."""

    id: int
    flow: str
    link: str
    key: list[str]
    reason: str
    sqlstate: str | None
    message: str
    waits_link: str | None
    waits_key: str | None
    attempts: int
    since: datetime
    tried: datetime
    next_try: datetime | None
    retry: bool
    discard_by: str | None
    is_notice: bool
    behind: int


@dataclass(frozen=True, slots=True)
class Discarded:
    """A row of replicator.discarded without its payload."""

    id: int
    at: datetime
    by: str
    flow: str
    link: str
    key: list[str]
    reason: str
    sqlstate: str | None
    message: str
    attempts: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody has entered instead of a value; both as in the payload."""

    at: datetime
    by: str
    column: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Filter:
    """Which parked changes; None: any. `links`: of one of these. `sqlstate`: a code or a class. `key`: of the record on the node
    it comes from."""

    links: tuple[str, ...] | None = None
    reason: str | None = None
    sqlstate: str | None = None
    key: str | None = None
    since: datetime | None = None

    @property
    def everything(self) -> bool:
        return self == Filter()

    def parameters(self, upto: int | None) -> dict[str, Any]:
        return {
            "links": None if self.links is None else list(self.links), "reason": self.reason, "sqlstate": self.sqlstate,
            "key": self.key, "since": self.since, "upto": upto,
        }  # fmt: skip


def parked(
    connection: psycopg.Connection, wanted: Filter, upto: int | None = None, ids: Sequence[int] | None = None
) -> list[ParkedChange]:
    """Newest first."""
    asked = wanted.parameters(upto) | {"ids": None if ids is None else list(ids)}
    with connection.cursor(row_factory=class_row(ParkedChange)) as cursor:
        return cursor.execute(_sql("parked"), asked).fetchall()


def discarded(connection: psycopg.Connection, wanted: Filter, upto: int) -> list[Discarded]:
    """Newest first."""
    with connection.cursor(row_factory=class_row(Discarded)) as cursor:
        return cursor.execute(_sql("discarded"), wanted.parameters(upto)).fetchall()


def payload(connection: psycopg.Connection, number: int) -> Mapping[str, Any]:
    """Empty if it is no longer parked."""
    row = connection.execute(_sql("payload"), (number,)).fetchone()
    return row[0] if row is not None else {}


def edits(connection: psycopg.Connection, number: int) -> list[Edit]:
    return [Edit(*row) for row in connection.execute(_sql("edits"), (number,)).fetchall()]


def behind(connection: psycopg.Connection, number: int, upto: int) -> list[tuple[int, str, list[str]]]:
    """(id, link, key) of what waits for its record."""
    return connection.execute(_sql("behind"), (number, upto)).fetchall()


def ahead(connection: psycopg.Connection, number: int) -> int | None:
    """The parked change of the record that it waits for."""
    row = connection.execute(_sql("ahead"), (number,)).fetchone()
    return None if row is None else int(row[0])


def retry(connection: psycopg.Connection, ids: Sequence[int]) -> list[int]:
    """Gives those that were still parked."""
    return [number for (number,) in connection.execute(_sql("retry"), (list(ids),)).fetchall()]


def discard(connection: psycopg.Connection, ids: Sequence[int], by: str) -> list[int]:
    """Gives those that were still parked."""
    return [number for (number,) in connection.execute(_sql("discard"), (by, list(ids))).fetchall()]


def edit_and_retry(
    connection: psycopg.Connection, number: int, before: Mapping[str, Any], after: Mapping[str, Any], by: str
) -> bool:
    """`before`, `after`: column -> value as in the payload. False, and nothing is written, if it holds another value by now."""
    with connection.transaction() as transaction:
        for column, value in after.items():
            asked = {
                "by": by, "column": column, "id": number,
                "before": json.dumps(before[column]), "after": json.dumps(value),
            }  # fmt: skip
            if not connection.execute(_sql("edit"), asked).fetchall():
                raise psycopg.Rollback(transaction)
        if not retry(connection, [number]):
            raise psycopg.Rollback(transaction)
        return True
    return False

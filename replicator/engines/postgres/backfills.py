"""What commands do with backfills on the target of their flow: `sql/backfill.sql`, with typed answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from replicator.engines.postgres.sql import statement
from replicator.model.table import TableName
from replicator.program.sql import table

COUNT_TIMEOUT = "3s"
CANCELLED = "cancelled"  # the problem of what a person has given up
COUNTED_UPTO = 2_000_000  # rows; a larger table's number is estimated


def _sql(name: str) -> str:
    return statement(name, "backfill.sql")


@dataclass(frozen=True, slots=True)
class BackfillState:
    """Times are the target's. `problem` None and `finished`: done."""

    id: int
    flow: str
    link: str
    why: str
    condition: str | None
    listed: bool
    after: list[str] | None
    rate: int | None
    expected: int | None
    records: int
    created: int
    changed: int
    parked: int
    asked: datetime
    started: datetime | None
    moved: datetime | None
    finished: datetime | None
    problem: str | None

    @property
    def per_second(self) -> float | None:
        """Records a second so far; None when it has not begun."""
        if self.started is None or self.moved is None or not self.records:
            return None
        seconds = (self.moved - self.started).total_seconds()
        return self.records / seconds if seconds > 0 else None

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            "id": self.id, "link": self.link, "flow": self.flow, "why": self.why, "expected": self.expected,
            "records": self.records, "created": self.created, "changed": self.changed, "parked": self.parked,
            "per_second": self.per_second, "finished": self.finished, "problem": self.problem,
        }  # fmt: skip

    @property
    def seconds_left(self) -> float | None:
        speed = self.per_second
        if speed is None or self.expected is None or self.finished is not None:
            return None
        return max(0.0, (self.expected - self.records) / speed)


def ask(
    connection: psycopg.Connection,
    flow: str,
    link: str,
    why: str,
    condition: str | None = None,
    rate: int | None = None,
    expected: int | None = None,
    records: Iterable[tuple[Sequence[str], str | None]] | None = None,
) -> int:
    """Asks for existing records to go through a flow: all, those under a condition, or those listed (key on the source, mask of
    fields as text or None for all). Gives its id."""
    with connection.transaction():
        values = (flow, link, why, condition, records is not None, rate, expected)
        row = connection.execute(_sql("ask"), values).fetchone()
        assert row is not None
        if records is not None:
            with connection.cursor() as cursor:
                cursor.executemany(_sql("ask_for_records"), [(row[0], list(key), fields) for key, fields in records])
    return int(row[0])


def taken(connection: psycopg.Connection, number: int) -> None:
    """What was noted beside the pairs is asked for where its flow looks."""
    connection.execute(_sql("taken"), (number,))


def cancel(connection: psycopg.Connection, flow: str, link: str, why: str) -> bool:
    """Whether there was one that is not done."""
    return bool(connection.execute(_sql("cancel"), (flow, link, why)).fetchall())


def give_up_listed(connection: psycopg.Connection, link: str, problem: str) -> None:
    """Those of a link that name records with masks of fields."""
    connection.execute(_sql("give_up_listed"), (problem, link))


def change_rate(connection: psycopg.Connection, number: int, rate: int | None) -> None:
    connection.execute(_sql("change"), (rate, number))


def states(connection: psycopg.Connection, ids: Sequence[int] | None = None) -> list[BackfillState]:
    """Those with these ids, or all that are not done and those that ended within a day."""
    wanted = None if ids is None else list(ids)
    return [BackfillState(*row) for row in connection.execute(_sql("state"), (wanted, wanted)).fetchall()]


def table_rows(connection: psycopg.Connection, name: TableName) -> int | None:
    """What the server's statistics say of a large table; None if it is small, or nobody has looked."""
    row = connection.execute(
        "SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = to_regclass(%s)", (table(name),)
    ).fetchone()
    return int(row[0]) if row and row[0] > COUNTED_UPTO else None


def count(connection: psycopg.Connection, setup: Sequence[str], sql: str) -> int | None:
    """What a counting query gives, if it takes no longer than people wait. `setup`: temporary objects that it names."""
    with connection.transaction(force_rollback=True):
        connection.execute(f"SET LOCAL statement_timeout = '{COUNT_TIMEOUT}'")
        try:
            for ddl in setup:
                connection.execute(ddl.encode())
            row = connection.execute(sql.encode()).fetchone()
        except psycopg.errors.QueryCanceled:
            return None
    return int(row[0]) if row else None

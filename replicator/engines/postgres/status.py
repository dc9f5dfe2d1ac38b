"""What a node's own tables and slots say of the flows: the questions of `sql/status.sql`, with typed answers.

Changes nothing, and works whether or not a daemon runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from replicator.engines.postgres.slots import Source
from replicator.engines.postgres.sql import statement
from replicator.model.position import number
from replicator.model.table import TableName
from replicator.program.sql import state

COUNTED_UPTO = 2_000_000  # rows; a larger table's number is estimated


def _sql(name: str) -> str:
    return statement(name, "status.sql")


@dataclass(frozen=True, slots=True)
class Facts:
    version: str
    wal_level: str
    slots_free: int


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """`system` and `timeline`: the source server it speaks of. `halted`: why the flow stands still, if it does.
    `pace`: what it did in a while that ended `pace_seconds` ago (apply/pace.py)."""

    lsn: str
    slot: str
    system: str
    timeline: int
    seconds_ago: float
    halted: str | None
    pace: dict[str, Any] | None
    pace_seconds: float | None

    @property
    def position(self) -> int:
        return number(self.lsn)

    @property
    def source(self) -> Source:
        return Source(self.system, self.timeline, number(self.lsn))


@dataclass(frozen=True, slots=True)
class LoggedConflict:
    id: int
    link: str
    kind: str
    field: str | None
    incoming_stamp: int | None
    existing_stamp: int | None
    winner: str
    rule: str
    place: str


def facts(connection: psycopg.Connection) -> Facts:
    row = connection.execute(_sql("facts")).fetchone()
    assert row is not None
    return Facts(row[0].split(" ")[0], row[1], row[2])


def checkpoints(connection: psycopg.Connection, flows: Sequence[str]) -> dict[str, SavedCheckpoint]:
    """Needs the state schema."""
    rows = connection.execute(_sql("checkpoints"), (list(flows),)).fetchall()
    return {flow: SavedCheckpoint(*saved) for flow, *saved in rows}


def published_tables(connection: psycopg.Connection, publications: Sequence[str]) -> set[TableName]:
    """Those that are in any of the publications."""
    return {TableName(*row) for row in connection.execute(_sql("published"), (list(publications),)).fetchall()}


def bytes_after(connection: psycopg.Connection, position: str) -> int:
    row = connection.execute(_sql("lag"), (position,)).fetchone()
    assert row is not None
    return int(row[0])


def conflict_counts(connection: psycopg.Connection) -> list[tuple[str, str, int, int, int]]:
    """(flow, kind, all, of the last 24 hours, waiting for a person)."""
    return connection.execute(_sql("conflicts")).fetchall()


def parked_counts(connection: psycopg.Connection) -> list[tuple[str, str, int, float]]:
    """(flow, reason, number, seconds since the oldest was parked)."""
    return connection.execute(_sql("parked")).fetchall()


def rows_in_state(connection: psycopg.Connection, name: str, counted_upto: int = COUNTED_UPTO) -> int | None:
    """Rows of one of our tables; None if it is not there. Estimated when there are very many."""
    row = connection.execute(_sql("estimate"), (state(name),)).fetchone()
    if row is None:
        return None
    if row[0] > counted_upto:
        return int(row[0])
    counted = connection.execute(f"SELECT count(*) FROM {state(name)}").fetchone()
    assert counted is not None
    return int(counted[0])


def flushed_position(connection: psycopg.Connection) -> int:
    """Every transaction whose commit was waited for ends before it."""
    row = connection.execute(_sql("flushed")).fetchone()
    assert row is not None
    return number(row[0])


def returned_upto(target: psycopg.Connection, flow: str) -> int:
    """The last row of the source's outbox that the flow has applied, by its id."""
    row = target.execute(_sql("returned"), (flow,)).fetchone()
    return int(row[0]) if row is not None else 0


def has_unreturned(source: psycopg.Connection, flow: str, upto: int) -> bool:
    """Whether the source's outbox holds rows for the flow after that one."""
    row = source.execute(_sql("unreturned"), (flow, upto)).fetchone()
    return bool(row and row[0])


def new_conflicts(connection: psycopg.Connection, after: int) -> list[LoggedConflict]:
    """Those logged after the conflict of that id, at most a thousand."""
    return [LoggedConflict(*row) for row in connection.execute(_sql("new_conflicts"), (after,)).fetchall()]

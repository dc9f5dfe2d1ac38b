"""The life of a flow's replication slot: how it is made, how it stands, how long it lasts, whether its flow may go on.

Promises: nothing here changes anything; a flow whose source is not the one its checkpoint speaks of, or whose slot no
longer holds every change since, has a `problem`, and nobody goes on from there but by a person's word (renewal.py). A
standby that was promoted is the source still, if it has the slot and had got all that was read before.

Source: PostgreSQL documentation, pg_replication_slots (wal_status, safe_wal_size, invalidation_reason since 17), "Logical
Replication Failover", and TIMELINE_HISTORY of the streaming replication protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import conninfo

from replicator.engines.postgres.sql import statement
from replicator.errors import SourceLost
from replicator.model.finding import Finding
from replicator.model.position import number, text
from replicator.program.sql import literal

FULL = 0.5  # of max_slot_wal_keep_size: from there on it is said
IDLE = "idle_timeout"  # as servers from 18 on give the reason
FAILOVER = 170000  # servers from this version on keep a slot on their standbys too


def _sql(name: str) -> str:
    return statement(name, "slots.sql")


@dataclass(frozen=True, slots=True)
class SlotState:
    """kept_bytes    WAL that the server keeps for it
    behind_bytes  WAL after the checkpoint it was asked for
    safe_bytes    WAL that may still be written before the server may give it up; None: without limit, or given up
    limit_bytes   max_slot_wal_keep_size; None: without limit
    reason        why the server has given it up, where it says so
    runner        host:pid of the replicator that reads it
    """

    active: bool
    wal_status: str
    kept_bytes: int | None
    confirmed: str | None
    behind_bytes: int | None
    safe_bytes: int | None
    limit_bytes: int | None
    reason: str | None
    runner: str | None

    @property
    def lost(self) -> bool:
        return self.wal_status == "lost"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a checkpoint speaks of: `system` and `timeline` of the server, and the position there."""

    system: str
    timeline: int
    position: int


@dataclass(frozen=True, slots=True)
class Flow:
    name: str
    source: str
    target: str
    slot: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes that a flow went on without, because a person said so."""

    flow: str
    seconds_ago: float
    reason: str
    start: str
    end: str


def slot_state(connection: psycopg.Connection, slot: str, checkpoint: str | None) -> SlotState | None:
    row = connection.execute(_sql("slot"), (checkpoint, slot)).fetchone()
    return None if row is None else SlotState(*row)


def create_slot(connection: psycopg.Connection, slot: str) -> str:
    """SQL. Where the server can, a standby of it keeps the slot too, and after a failover the flow goes on there."""
    failover = ", failover => true" if connection.info.server_version >= FAILOVER else ""
    return f"SELECT pg_create_logical_replication_slot({literal(slot)}, 'pgoutput'{failover})"


def drop_slot(slot: str) -> str:
    return f"SELECT pg_drop_replication_slot({literal(slot)})"


def slot_findings(state: SlotState, node: str, slot: str, where: str, code: str) -> list[Finding]:
    """What will become a problem: WAL that is kept comes close to what the server will keep."""
    if state.lost or state.kept_bytes is None or state.limit_bytes is None:
        return []
    held = (
        f"slot {slot} on {node} holds back {size(state.kept_bytes)} of WAL; max_slot_wal_keep_size is {size(state.limit_bytes)}"
    )
    rest = "start the replicator" if not state.active else "see what it waits for (`replicator status`)"
    hint = f"{rest}, or raise max_slot_wal_keep_size on {node} (ALTER SYSTEM, then SELECT pg_reload_conf()) if the disk allows"
    if state.wal_status == "unreserved" or state.kept_bytes >= state.limit_bytes:
        message = f"{held}: at the next checkpoint of the server changes that are not carried over are lost"
        return [Finding(where, code, message, hint)]
    if state.kept_bytes >= FULL * state.limit_bytes:
        left = f"{size(state.safe_bytes)} more" if state.safe_bytes is not None else "more than that"
        message = f"{held}: when {left} are written, the server removes changes that are not carried over"
        return [Finding(where, code, message, hint, "warning")]
    return []


def idle_timeout(connection: psycopg.Connection) -> str | None:
    """After how long unused a slot is given up, as the server writes it; None: never (always before 18)."""
    row = connection.execute(_sql("idle_timeout")).fetchone()
    return row[0] if row and row[0] not in (None, "0") else None


def identity(connection: psycopg.Connection) -> tuple[str, int]:
    """System identifier and timeline."""
    row = connection.execute(_sql("identity")).fetchone()
    assert row is not None
    return row[0], row[1]


def lost(source: psycopg.Connection, flow: Flow, saved: Source) -> SourceLost | None:
    """What a flow ends with that must not go on from its checkpoint; None when the source is the one it knows."""
    found = problem(source, flow.source, flow.slot, saved)
    if found is None:
        return None
    hint = (
        f"nothing is continued in silence: `replicator init --renew {flow.name}` notes what may be missing and starts the flow"
        " anew from now on; `replicator reconcile --repair` then finds and mends it"
    )
    message = f"{flow.name} cannot go on: {found}; {_missing(source, flow, saved)}"
    return SourceLost(message, hint, flow=flow.name, node=flow.source, slot=flow.slot)


def problem(source: psycopg.Connection, node: str, slot: str, saved: Source) -> str | None:
    """Why, in words."""
    system, timeline = identity(source)
    if system != saved.system:
        return f"{node} is another server than the one the checkpoint speaks of (system identifier {system}, was {saved.system})"
    if timeline != saved.timeline and not _inherited(source, slot, saved, timeline):
        was = f"{node} is on timeline {timeline}, the checkpoint speaks of timeline {saved.timeline}"
        return f"{was}: a standby was promoted or a backup restored"
    found = slot_state(source, slot, None)
    if found is None:
        return f"{node} has no replication slot {slot}"
    if found.lost:
        why = f" ({found.reason.replace('_', ' ')})" if found.reason else ""
        if found.reason == IDLE:
            why = f" (idle timeout: nobody had read it for idle_replication_slot_timeout, which should be 0 on {node})"
        return f"{node}: slot {slot} was invalidated{why}: the server no longer has every change since the checkpoint"
    if found.confirmed is not None and number(found.confirmed) > saved.position:
        return f"{node}: slot {slot} starts at {found.confirmed}, after the checkpoint: it is not the slot we knew"
    now, ahead = _now(source, saved)
    if ahead < 0:  # the server would pass over whatever is written up to there
        return f"{node} is at {now}, and the checkpoint speaks of {text(saved.position)}: a backup was restored"
    return None


def _now(source: psycopg.Connection, saved: Source) -> tuple[str, int]:
    """Where the server is, and how far behind the checkpoint that is."""
    row = source.execute(_sql("now"), (text(saved.position),)).fetchone()
    assert row is not None
    return row[0], row[1]


def _inherited(source: psycopg.Connection, slot: str, saved: Source, timeline: int) -> bool:
    """Whether a promoted standby holds every change since the checkpoint, and the checkpoint is in its own past."""
    found = slot_state(source, slot, None)
    if found is None or found.lost or found.confirmed is None or number(found.confirmed) > saved.position:
        return False
    end = _ends(source, timeline).get(saved.timeline)
    return end is not None and saved.position <= end


def _ends(source: psycopg.Connection, timeline: int) -> dict[int, int]:
    """Where the timelines ended that this one goes back to. Asked over a connection of its own: REPLICATION is all it needs."""
    dsn = conninfo.make_conninfo(source.info.dsn, password=source.info.password or None, replication="database")
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(f"TIMELINE_HISTORY {timeline:d}").fetchone()
    assert row is not None
    content = bytes(row[1]).decode() if not isinstance(row[1], str) else row[1]
    lines = (line.split() for line in content.splitlines())
    return {int(line[0]): number(line[1]) for line in lines if line and line[0].isdigit()}


def _missing(source: psycopg.Connection, flow: Flow, saved: Source) -> str:
    """Which changes may be missing, in words."""
    node = flow.source
    now, between = _now(source, saved)
    if (saved.system, saved.timeline) == identity(source) and between >= 0:
        span = f"changes of {node} between {text(saved.position)} and {now} ({size(between)} of WAL)"
    else:
        span = f"changes of {node} after {text(saved.position)} of timeline {saved.timeline} ({node} is at {now} now)"
    return f"{span} may be missing on {flow.target}"


def foreign_slots(connection: psycopg.Connection, slots: Sequence[str]) -> list[tuple[str, str]]:
    """(slot, database) for those of these names that another database of the same server has taken."""
    return connection.execute(_sql("foreign_slots"), (list(slots),)).fetchall()


def gaps(target: psycopg.Connection) -> list[Gap]:
    """Those of flows that write there, newest last. Needs the state schema."""
    return [Gap(*row) for row in target.execute(_sql("gaps")).fetchall()]


def size(count: int | None) -> str:
    """Bytes as people read them."""
    amount = float(count or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(amount) < 1024 or unit == "GB":
            break
        amount /= 1024
    return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"

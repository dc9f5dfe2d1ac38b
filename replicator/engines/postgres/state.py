"""A flow's bookkeeping on PostgreSQL: `sql/flow.sql` in the writer's session."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from replicator.capture.clock import STEP_PREFIX
from replicator.engines.postgres.pauses import values_of
from replicator.engines.postgres.sql import statement
from replicator.engines.postgres.writer import PostgresWriter
from replicator.errors import ConfigurationError
from replicator.model import position
from replicator.model.pause import Pause
from replicator.ports.state import Checkpoint, Edited, Job, Parked, Progress, Wanted
from replicator.ports.writer import Writer

RETRIED = 1_000  # parked changes that are tried again at once
ARRAY = 8_000_000  # characters of JSON in one statement


def _sql(name: str) -> str:
    return statement(name, "flow.sql")


def _backfill(name: str) -> str:
    return statement(name, "backfill.sql")


def _arrays(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """As JSON, in order, in arrays of some megabytes: the server takes none of more than 256."""
    some: list[str] = []
    size = 0
    for item in items:
        some.append(json.dumps(item))
        size += len(some[-1])
        if size > ARRAY:
            yield f"[{','.join(some)}]"
            some, size = [], 0
    if some:
        yield f"[{','.join(some)}]"


class PostgresFlowState:
    """`tombstones`: this flow's links' tombstone tables, for retention. `plain`: gives a session on the same node that is in
    no transaction and has no replication origin."""

    def __init__(
        self, writer: PostgresWriter, flow: str, plain: Callable[[], PostgresWriter], tombstones: Sequence[str] = ()
    ) -> None:
        self._writer = writer
        self._flow = flow
        self._plain = plain
        self._tombstones = tombstones

    def checkpoint(self) -> Checkpoint:
        rows = self._writer.query(_sql("checkpoint"), (self._flow,))
        if not rows:
            raise ConfigurationError(
                f"{self._writer.node}: flow {self._flow} has no checkpoint here", "run `replicator init` first"
            )
        lsn, *rest = rows[0]
        return Checkpoint(position.number(lsn), *rest)

    def advance(self, lsn: int | None, stamp: int, returned: int) -> tuple[int, int]:
        at = None if lsn is None else position.text(lsn)
        here, clock = self._writer.query(_sql("advance"), (at, stamp, returned, self._flow), True)[0]
        return position.number(here), clock

    def promoted(self, timeline: int) -> None:
        self._writer.execute(_sql("promoted"), (timeline, self._flow))

    def flushed(self) -> tuple[int, int]:
        written, flushed = self._writer.query(_sql("flushed"), (), True)[0]
        return position.number(written), position.number(flushed)

    def mirrored(self, seq: int) -> None:
        self._writer.execute(_sql("mirrored"), (seq, self._flow))

    def park(self, rows: Sequence[Parked]) -> list[int]:
        # One statement takes one row a record: the last of several stands for all.
        latest = {(row.link, tuple(row.key)): row for row in rows}
        payload = (
            {
                "link": row.link,
                "key": row.key,
                "reason": row.reason,
                "sqlstate": row.sqlstate,
                "message": row.message,
                "waits_link": row.waits[0] if row.waits else None,
                "waits_key": row.waits[1] if row.waits else None,
                "payload": row.payload,
                "first": row.policy.first if row.policy else None,
                "longest": row.policy.longest if row.policy else None,
            }
            for row in latest.values()
        )
        made = [row for some in _arrays(payload) for row in self._writer.query(_sql("park"), (self._flow, some))]
        ids = {(link, tuple(key)): number for number, link, key in made}
        return [ids[row.link, tuple(row.key)] for row in rows]

    def unpark(self, ids: Sequence[int]) -> None:
        self._writer.execute(_sql("unpark"), (list(ids),))

    def parked(self, ids: Sequence[int]) -> list[Parked]:
        found = self._writer.query(_sql("parked"), (list(ids),))
        return [
            Parked(
                link,
                key,
                reason,
                sqlstate,
                message,
                (waits, waits_key) if waits else None,
                payload,
                number,
                edits=[Edited(*edit) for edit in edits],
            )
            for number, link, key, reason, sqlstate, message, waits, waits_key, payload, edits in found
        ]

    def parked_after(self, stamp: int) -> list[int]:
        return [number for (number,) in self._writer.query(_sql("parked_after"), (self._flow, stamp))]

    def parked_keys(self) -> list[tuple[int, str, list[str], tuple[str, str] | None, str]]:
        rows = self._writer.query(_sql("parked_keys"), (self._flow,))
        return [
            (number, link, key, (waits, waits_key) if waits else None, reason)
            for number, link, key, waits, waits_key, reason in rows
        ]

    def paused(self) -> set[str]:
        return {link for (link,) in self._writer.query(_sql("paused"), (self._flow,))}

    def pause(self, pause: Pause) -> bool:
        return bool(self._writer.query(statement("pause", "drift.sql"), values_of(self._flow, pause)))

    def stale(self, link: str) -> None:
        self._writer.execute(_sql("stale"), (self._flow, link))

    def retries(self) -> list[int]:
        return [row[0] for row in self._writer.query(_sql("retries"), (self._flow, self._flow, RETRIED))]

    def discard(self) -> list[tuple[int, str, str]]:
        return [(number, link, by) for number, link, by in self._writer.query(_sql("discard"), (self._flow,))]

    def pace(self, pace: Mapping[str, Any]) -> None:
        self._writer.execute(_sql("pace"), (json.dumps(pace), self._flow))

    def halted(self, message: str) -> None:
        self._writer.execute(_sql("halted"), (message, self._flow))

    def send_back(self, flow: str, rows: Iterable[tuple[str, dict[str, Any]]]) -> list[int]:
        payloads = _arrays({"link": link, "payload": payload} for link, payload in rows)
        return [number for some in payloads for (number,) in self._writer.query(_sql("send_back"), (flow, some))]

    def outbox(self, flow: str, after: int) -> list[tuple[int, str, dict[str, Any]]]:
        return [(number, link, payload) for number, link, payload in self._writer.query(_sql("outbox"), (flow, after))]

    def clear_outbox(self, flow: str, upto: int) -> None:
        self._writer.execute(_sql("clear_outbox"), (flow, upto))

    def stopped(
        self, link: str, field: str, keys: tuple[str, str], values: tuple[str | None, str | None], stamp: int, place: str
    ) -> None:
        self._writer.execute(_sql("stopped"), (self._flow, link, field, *keys, *values, stamp, place))

    def clashed(self, rows: Sequence[Parked], stamps: Sequence[int], places: Sequence[str]) -> None:
        for row, stamp, place in zip(rows, stamps, places, strict=True):
            values = (self._flow, row.link, row.conflict, ",".join(row.key), row.message, stamp, place)
            self._writer.execute(_sql("clashed"), values)

    def wanted(self) -> list[Wanted]:
        rows = self._writer.query(_sql("wanted"), (self._flow,))
        return [
            Wanted(number, link, field, key, stamp, position.number(at) if at else 0)
            for number, link, field, key, stamp, at in rows
        ]

    def unwanted(self, number: int) -> None:
        self._writer.execute(_sql("unwanted"), (number,))

    def jobs(self) -> list[Job]:
        return [Job(*row) for row in self._writer.query(_backfill("open"), (self._flow,))]

    def listed(self, job: int, limit: int) -> list[tuple[list[str], str | None]]:
        return [(key, fields) for key, fields in self._writer.query(_backfill("listed"), (job, limit))]

    def left_behind(self, flow: str) -> list[tuple[int, str, str, list[tuple[list[str], str | None]]]]:
        return [(*job, records or []) for *job, records in self._writer.query(_backfill("left_behind"), (flow,))]

    def ask_again(self, link: str, why: str, records: Sequence[tuple[list[str], str | None]]) -> None:
        self._writer.execute(_backfill("ask_again"), (self._flow, link, why, json.dumps(records)))

    def taken(self, job: int) -> None:
        self._writer.execute(_backfill("taken"), (job,))

    def reading(self, source: Writer) -> tuple[str, str]:
        snapshot, at, _ = source.query(_sql("reading"))[0]
        return snapshot, at

    def progress(self, progress: Progress) -> None:
        counts = (progress.records, progress.created, progress.changed, progress.parked)
        self._writer.execute(_backfill("progress"), (progress.after, *counts, progress.done, progress.id))
        if progress.listed:
            self._writer.execute(_backfill("listed_done"), (progress.id, json.dumps(progress.listed)))

    def gave_up(self, job: int, problem: str) -> None:
        self._writer.execute(_backfill("failed"), (problem, job))

    def step_clock(self, greatest: int) -> None:
        # The writer's session has an origin, and servers keep its messages from those who asked for users' changes only.
        self._plain().query(_sql("step_clock"), (STEP_PREFIX, str(greatest)))

    def tidy(self, keep_days: int) -> None:
        for old in ("tidy_conflicts", "tidy_discarded", "tidy_edits"):
            self._writer.execute(_sql(old), (keep_days,))
        self._writer.execute(_backfill("tidy"), (self._flow, keep_days))
        for table in self._tombstones:
            self._writer.execute(f"DELETE FROM {table} WHERE at < now() - make_interval(days => %s)", (keep_days,))

"""A flow's bookkeeping on PostgreSQL: `sql/flow.sql` in the writer's session."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from replicator.engines.postgres.sql import statement
from replicator.engines.postgres.writer import PostgresWriter
from replicator.errors import ConfigurationError
from replicator.model import position
from replicator.ports.state import Checkpoint, Parked


def _sql(name: str) -> str:
    return statement(name, "flow.sql")


class PostgresFlowState:
    """`tombstones`: this flow's links' tombstone tables, for retention."""

    def __init__(self, writer: PostgresWriter, flow: str, tombstones: Sequence[str] = ()) -> None:
        self._writer = writer
        self._flow = flow
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
        here, clock = self._writer.query(_sql("advance"), (at, stamp, returned, self._flow))[0]
        return position.number(here), clock

    def mirrored(self, seq: int) -> None:
        self._writer.execute(_sql("mirrored"), (seq, self._flow))

    def park(self, rows: Sequence[Parked]) -> list[int]:
        ids = []
        for row in rows:
            waits = row.waits or (None, None)
            values = (
                self._flow,
                row.link,
                row.key,
                row.reason,
                row.sqlstate,
                row.message,
                *waits,
                json.dumps(row.payload),
            )
            ids.append(self._writer.query(_sql("park"), values)[0][0])
        return ids

    def unpark(self, ids: Sequence[int]) -> None:
        self._writer.execute(_sql("unpark"), (list(ids),))

    def parked(self, ids: Sequence[int]) -> list[Parked]:
        found = self._writer.query(_sql("parked"), (list(ids),))
        return [
            Parked(link, key, reason, sqlstate, message, (waits, waits_key) if waits else None, payload, number)
            for number, link, key, reason, sqlstate, message, waits, waits_key, payload in found
        ]

    def parked_keys(self) -> list[tuple[int, str, list[str], tuple[str, str] | None]]:
        rows = self._writer.query(_sql("parked_keys"), (self._flow,))
        return [(number, link, key, (waits, waits_key) if waits else None) for number, link, key, waits, waits_key in rows]

    def retries(self) -> list[int]:
        return [row[0] for row in self._writer.query(_sql("retries"), (self._flow,))]

    def send_back(self, flow: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> list[int]:
        return [self._writer.query(_sql("send_back"), (flow, link, json.dumps(payload)))[0][0] for link, payload in rows]

    def outbox(self, flow: str, after: int) -> list[tuple[int, str, dict[str, Any]]]:
        return [(number, link, payload) for number, link, payload in self._writer.query(_sql("outbox"), (flow, after))]

    def clear_outbox(self, flow: str, upto: int) -> None:
        self._writer.execute(_sql("clear_outbox"), (flow, upto))

    def step_clock(self, lsn: int, stamp: int) -> None:
        self._writer.execute(_sql("step_clock"), (self._flow, position.text(lsn), stamp))

    def clock_steps(self, after: int) -> list[tuple[int, int]]:
        rows = self._writer.query(_sql("clock_steps"), (self._flow, position.text(after)))
        return [(position.number(at), stamp) for at, stamp in rows]

    def tidy(self, keep_days: int, steps_before: int) -> None:
        self._writer.execute(_sql("tidy_steps"), (self._flow, position.text(steps_before)))
        self._writer.execute(_sql("tidy_conflicts"), (keep_days,))
        for table in self._tombstones:
            self._writer.execute(f"DELETE FROM {table} WHERE at < now() - make_interval(days => %s)", (keep_days,))

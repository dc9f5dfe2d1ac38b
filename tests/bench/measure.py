"""The measurements: a backlog drained, and how long single updates take to be seen.

Promises: time counts from when the slot is being read (start-up is not part of it) until the last transaction
is visible on the target; both are looked at in the same way for everybody, and what arrived is compared with
what was sent.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime

import psycopg

from .schema import AT_SOURCE, Size, Work, query, run
from .systems import BenchError, System, wait_until

START_PAUSE = 0.001
END_PAUSE = 0.003
WINDOW = 64  # updates looked for at once
LATENCY_PAUSE = 0.001
PATIENCE = 60.0
UPDATE = "UPDATE app.customer SET note = 'latency', changes = -1 WHERE id = %s"


@dataclass(frozen=True, slots=True)
class Drained:
    seconds: float
    rows_per_s: float
    peak_rss_mb: float | None


def generate(system: System, work: Work) -> None:
    """Makes the backlog while nobody reads, then gives both servers a rest, so that none of it falls into the drain."""
    run(system.source, "SET synchronous_commit = off")  # as durable as ever by the CHECKPOINT below, and sooner made
    run(system.source, work.sql)
    system.mark()
    run(system.source, "RESET synchronous_commit")
    rest(system)


def rest(system: System) -> None:
    for connection in (system.source, system.target):
        run(connection, "VACUUM (ANALYZE)")
        run(connection, "CHECKPOINT")


def drain(system: System, rows: int) -> Drained:
    """Starts it, and leaves it running."""
    if system.reading() or system.arrived():
        raise BenchError(f"{system.kind}: somebody drains already")
    system.start()
    wait_until(system.reading, system.check, START_PAUSE)
    begun = time.perf_counter()
    wait_until(system.arrived, system.check, END_PAUSE)
    seconds = time.perf_counter() - begun
    peak = system.peak_rss_mb()
    system.verify()
    return Drained(seconds, rows / seconds, peak)


def latencies(system: System, size: Size) -> list[float]:
    """Milliseconds from the source's commit until a reader on the target sees it, of single updates of different rows.
    The system must be running.

    The commit time is the source's own. When an update is visible is found by asking the target all the time;
    the target's commit timestamps would not do: under a subscription they are the source's.
    """
    count = min(round(size.latency_seconds * size.latency_rate), size.inserts)
    keys = system.keys(count)
    rest(system)
    system.mark()
    wait_until(system.arrived, system.check, END_PAUSE)  # it has nothing left to do
    user = _User(system.dsns[0], count, size.latency_rate)
    user.start()
    seen = _watch(system, keys, user)
    user.join()
    committed = _commit_times(system, count)
    system.verify()
    return [(seen[key] - committed[number]).total_seconds() * 1000 for number, key in enumerate(keys, 1)]


def _watch(system: System, keys: list[int], user: _User) -> dict[int, datetime]:
    at = system.at_target
    text = f"SELECT array_agg({at.key}), clock_timestamp() FROM {at.table} WHERE {at.key} = ANY(%s) AND {at.changes} = -1"
    seen: dict[int, datetime] = {}
    waiting, window = deque(keys), list[int]()
    progress = time.monotonic()
    while waiting or window:
        while waiting and len(window) < WINDOW:
            window.append(waiting.popleft())
        found, now = query(system.target, text, (window,))[0]
        if found:
            seen.update(dict.fromkeys(found, now))
            window = [key for key in window if key not in seen]
            progress = time.monotonic()
        elif time.monotonic() - progress > PATIENCE or user.failed:
            raise BenchError(f"{system.kind}: an update did not arrive within {PATIENCE:.0f} s") from user.failed
        else:
            system.check()
        time.sleep(LATENCY_PAUSE)
    return seen


def _commit_times(system: System, count: int) -> dict[int, datetime]:
    """When the source committed, by its rows; none of them may have been written again by anybody."""
    rows = query(
        system.source,
        f"SELECT id, c.timestamp, c.roident FROM {AT_SOURCE.table}, pg_xact_commit_timestamp_origin(xmin) c"
        " WHERE id BETWEEN 1 AND %s",
        (count,),
    )
    if any(origin for _, _, origin in rows):
        raise BenchError(f"{system.kind}: rows of the source were written by the replicator")
    return {number: committed for number, committed, _ in rows}


class _User(threading.Thread):
    """Commits one update after the other at a steady rate, whether or not they arrive."""

    def __init__(self, dsn: str, count: int, rate: int) -> None:
        super().__init__(name="bench user")
        self._dsn, self._count, self._rate = dsn, count, rate
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                begun = time.monotonic()
                for number in range(self._count):
                    time.sleep(max(0.0, begun + number / self._rate - time.monotonic()))
                    run(connection, UPDATE, (number + 1,))
        except psycopg.Error as error:
            self.failed = error

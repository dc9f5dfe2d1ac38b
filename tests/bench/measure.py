"""The measurements: a backlog drained, and how long single updates take to be seen.

Promises: time counts from when the slot is being read (start-up is not part of it) until the last transaction
is visible on the target; both are looked at in the same way for everybody, and what arrived is compared with
what was sent. What the processors did for it meanwhile is told too: that is much steadier than time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

import psycopg

from .schema import Work, query, run
from .systems import BenchError, System, wait_until

START_PAUSE = 0.001
END_PAUSE = 0.003
WINDOW = 64  # updates looked for at once
LATENCY_PAUSE = 0.001
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Drained:
    """`cpu_us`: of the processors, for a row, by all who took part: the daemon and the servers' processes for it."""

    seconds: float
    rows_per_s: float
    cpu_us: float
    peak_rss_mb: float | None


@dataclass(frozen=True, slots=True)
class Delays:
    """`ms`: of each update. `rate`: updates a second, as they came to be."""

    ms: list[float]
    rate: float


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


def drain(system: System, rows: int, whole: bool = True, look: Callable[[], None] = lambda: None) -> Drained:
    """Starts it, and leaves it running. `whole`: afterwards the target has all that the source has. `look`: done all the time."""
    if system.reading() or system.arrived():
        raise BenchError(f"{system.kind}: somebody drains already")
    system.start()
    wait_until(system.reading, system.check, START_PAUSE)

    def check() -> None:
        look()
        system.check()

    begun, before = time.perf_counter(), system.cpu_to_start()
    wait_until(system.arrived, check, END_PAUSE)
    seconds = time.perf_counter() - begun
    cpu = sum(at - before.get(pid, 0.0) for pid, at in system.cpu_seconds().items())
    peak = system.peak_rss_mb()
    if whole:
        system.verify()
    return Drained(seconds, rows / seconds, cpu / rows * 1e6, peak)


def settle(system: System) -> None:
    """It is running, and has nothing left to do."""
    rest(system)
    system.mark()
    wait_until(system.arrived, system.check, END_PAUSE)


def latencies(
    system: System,
    count: int,
    rate: int,
    number: int = -1,
    beside: AbstractContextManager[Callable[[], bool]] = nullcontext(lambda: True),  # noqa: B008 - it has no state
) -> Delays:
    """From the source's commit until a reader on the target sees it, of single updates of the rows with the keys 1, 2, 3 ...
    The system must be running.

    The commit time is the source's own. When an update is visible is found by asking the target all the time; the target's
    commit timestamps would not do: under a subscription they are the source's.

    number: what the updates write, another one each time. beside: what is to go on beside the updates; it gives what says
    whether it still does, for they end with it, at the latest with the `count`th. They begin when it has begun.
    """
    keys = system.keys(count)
    settle(system)
    with beside as goes_on:
        user = _User(system, count, rate, number, goes_on)
        user.start()
        seen = _watch(system, keys, number, user)
        user.join()
    committed = _commit_times(system, user.sent)
    system.verify()
    ms = [(seen[key] - committed[at]).total_seconds() * 1000 for at, key in enumerate(keys[: user.sent], 1)]
    return Delays(ms, user.sent / user.seconds)


def _watch(system: System, keys: list[int], number: int, user: _User) -> dict[int, datetime]:
    at = system.at_target[0]
    text = f"SELECT array_agg({at.key}), clock_timestamp() FROM {at.table} WHERE {at.key} = ANY(%s) AND {at.number} = %s"
    seen: dict[int, datetime] = {}
    window, taken = list[int](), 0
    progress = time.monotonic()
    while user.is_alive() or len(seen) < user.sent:
        more = min(WINDOW - len(window), len(keys) - taken)
        window += keys[taken : taken + more]
        taken += more
        found, now = query(system.target, text, (window, number))[0]
        if found:
            seen.update(dict.fromkeys(found, now))
            window = [key for key in window if key not in seen]
            progress = time.monotonic()
        elif user.failed or (time.monotonic() - progress > PATIENCE and len(seen) < user.sent):
            raise BenchError(f"{system.kind}: an update did not arrive within {PATIENCE:.0f} s") from user.failed
        else:
            system.check()
        time.sleep(LATENCY_PAUSE)
    return seen


def _commit_times(system: System, count: int) -> dict[int, datetime]:
    """When the source committed, by its rows; none of them may have been written again by anybody."""
    at = system.tables.at_source[0]
    rows = query(
        system.source,
        f"SELECT {at.key}, c.timestamp, c.roident FROM {at.table}, pg_xact_commit_timestamp_origin(xmin) c"
        f" WHERE {at.key} BETWEEN 1 AND %s",
        (count,),
    )
    if any(origin for _, _, origin in rows):
        raise BenchError(f"{system.kind}: rows of the source were written by the replicator")
    return {key: committed for key, committed, _ in rows}


class _User(threading.Thread):
    """Commits one update after the other at a steady rate, whether or not they arrive, as long as `goes_on` says so."""

    def __init__(self, system: System, count: int, rate: int, number: int, goes_on: Callable[[], bool]) -> None:
        super().__init__(name="bench user")
        at = system.tables.at_source[0]
        self._update = f"UPDATE {at.table} SET {at.number} = %s WHERE {at.key} = %s"
        self._dsn, self._count, self._rate, self._number, self._goes_on = system.dsns[0], count, rate, number, goes_on
        self.sent = 0
        self.seconds = 0.0
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                begun = time.monotonic()
                while self.sent < self._count and self._goes_on():
                    time.sleep(max(0.0, begun + self.sent / self._rate - time.monotonic()))
                    run(connection, self._update, (self._number, self.sent + 1))
                    self.sent += 1
                self.seconds = time.monotonic() - begun
        except psycopg.Error as error:
            self.failed = error

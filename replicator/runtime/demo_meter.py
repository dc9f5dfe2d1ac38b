"""What the demo measures while it runs: per flow how much and how late, and each conflict once.

Latency is the target's clock when a transaction was written there minus the source's clock when its user
committed it; both servers run on one machine. A batch tells it of its oldest and of its newest
transaction; those between are taken to lie evenly between the two.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from replicator.apply.outcome import Step
from replicator.engines.postgres.status import LoggedConflict, new_conflicts, parked_counts
from replicator.model import stamp

RATE_SECONDS = 2.0
RECENT = 400  # latencies of which the running display tells
SAMPLES_OF_A_BATCH = 1_000
SHOWN_CONFLICTS = 8


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Of sorted values; None if there are none."""
    return values[min(len(values) - 1, int(len(values) * percent / 100))] if values else None


def percentiles(values: Iterable[float]) -> dict[str, float | None]:
    found = sorted(values)
    return {f"p{p}": None if (v := percentile(found, p)) is None else round(v, 2) for p in (50, 95, 99)}


@dataclass
class FlowMeter:
    """`latencies` in milliseconds, of the traffic alone."""

    changes: int = 0
    transactions: int = 0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    _lately: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, step: Step, measure: bool) -> None:
        batch = step.batch
        self.changes += batch.rows
        self.transactions += batch.transactions
        self._lately.append((time.monotonic(), batch.rows))
        if measure and batch.oldest_commit and step.applied_at:  # else nobody's edit is in it, only what we have caused
            oldest, newest = ((step.applied_at - at) / 1000 for at in (batch.oldest_commit, batch.commit_time))
            count = min(batch.transactions, SAMPLES_OF_A_BATCH)
            samples = [newest] if count == 1 else [oldest + (newest - oldest) * i / (count - 1) for i in range(count)]
            self.latencies.extend(samples)
            self.recent.extend(samples)

    def rate(self) -> float:
        """Changes a second, lately."""
        since = time.monotonic() - RATE_SECONDS
        while self._lately and self._lately[0][0] < since:
            self._lately.popleft()
        return sum(rows for _, rows in self._lately) / RATE_SECONDS


class Meter:
    """`watch` is the daemon's; the rest is for whoever shows or reports it, in another thread."""

    def __init__(self) -> None:
        self.flows: dict[str, FlowMeter] = {}
        self.rows_written: dict[str, Counter[str]] = {}  # link -> insert, update, delete
        self.measuring = False  # latencies count from when this is set: while people work
        self.last_step = time.monotonic()
        self._lock = threading.Lock()

    def expect(self, flows: Iterable[str]) -> None:
        """These are all there are."""
        self.flows = {name: FlowMeter() for name in flows}

    def watch(self, step: Step) -> None:
        with self._lock:
            self.last_step = time.monotonic()
            self.flows[step.flow].add(step, self.measuring)
            for link, counts in step.outcome.written.items():
                self.rows_written.setdefault(link, Counter()).update(counts)

    def rates(self) -> dict[str, float]:
        with self._lock:
            return {name: flow.rate() for name, flow in self.flows.items()}

    def lately(self) -> dict[str, dict[str, float | None]]:
        with self._lock:
            return {name: percentiles(flow.recent) for name, flow in self.flows.items()}

    def latency(self) -> dict[str, float | None]:
        """Of all flows together."""
        with self._lock:
            return percentiles(value for flow in self.flows.values() for value in flow.latencies)

    def written(self) -> dict[str, dict[str, int]]:
        with self._lock:
            return {link: dict(counts) for link, counts in sorted(self.rows_written.items())}


@dataclass
class Conflicts:
    """Reads what both nodes logged. One conflict may be logged by both: the same field of a link at the same two
    stamps is one."""

    connections: Mapping[str, psycopg.Connection]
    kinds: Counter[str] = field(default_factory=Counter)
    latest: deque[LoggedConflict] = field(default_factory=lambda: deque(maxlen=SHOWN_CONFLICTS))
    parked: dict[str, int] = field(default_factory=dict)
    _read: dict[str, int] = field(default_factory=dict)
    _known: set[tuple[object, ...]] = field(default_factory=set)

    def poll(self) -> None:
        parked: Counter[str] = Counter()
        for node, connection in self.connections.items():
            for conflict in new_conflicts(connection, self._read.get(node, 0)):
                self._read[node] = conflict.id
                self._take(conflict)
            for _, reason, count, _ in parked_counts(connection):
                parked[reason] += count
        self.parked = dict(parked)

    @property
    def total(self) -> int:
        return self.kinds.total()

    def _take(self, conflict: LoggedConflict) -> None:
        stamps = sorted(s for s in (conflict.incoming_stamp, conflict.existing_stamp) if s is not None)
        identity = (conflict.link, conflict.field, conflict.kind, *stamps)
        if identity in self._known:
            return
        self._known.add(identity)
        self.kinds[conflict.kind] += 1
        self.latest.append(conflict)


def happened_at(conflict: LoggedConflict) -> datetime:
    return stamp.time_of(max(conflict.incoming_stamp or 0, conflict.existing_stamp or 0))


def short_place(conflict: LoggedConflict) -> str:
    """`customer.yaml:16`."""
    return ":".join(conflict.place.replace("\\", "/").rsplit("/", 1)[-1].split(":")[:2])

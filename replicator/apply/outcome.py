"""What one write did, and what a flow has done since it started: memory follows it only after the commit."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from replicator.capture.batch import Batch, RowChange
from replicator.capture.payload import key_texts
from replicator.errors import TooManyParked
from replicator.ports.state import Parked

# Keys of both sides as text, seq, and for a dead pair its position on the source, on the target, and its stamp;
# for a pair whose record is a stub on the target the position 0/0 alone.
MirrorRow = tuple[Sequence[str], int, str | None, str | None, str | None]


@dataclass(slots=True)
class Outcome:
    """
    written    link -> {"insert": rows, "update": rows, "delete": rows}
    pairs      link -> pairs made and buried, to be made known on the source
    returned   (link, change of the target's) for values that flow back
    remembered whether the ledger may have new entries
    kept       (link, reason, SQLSTATE) of what was parked in earlier parts of a transaction larger than a batch
    """

    written: dict[str, dict[str, int]] = field(default_factory=dict)  # link -> {"insert": n, ...}
    pairs: dict[str, list[MirrorRow]] = field(default_factory=dict)
    returned: list[tuple[str, RowChange]] = field(default_factory=list)
    conflicts: int = 0
    remembered: bool = False
    parked: list[Parked] = field(default_factory=list)
    unparked: list[int] = field(default_factory=list)
    kept: Counter[tuple[str, str, str | None]] = field(default_factory=Counter)

    @property
    def told(self) -> Counter[tuple[str, str, str | None]]:
        """How many were parked, by link, reason and SQLSTATE."""
        return self.kept + Counter((parked.link, parked.reason, parked.sqlstate) for parked in self.parked)

    def add(self, other: Outcome) -> None:
        """`other` came after this one."""
        self._forget_dead(other)
        for link, counts in other.written.items():
            mine = self.written.setdefault(link, {})
            for what, count in counts.items():
                mine[what] = mine.get(what, 0) + count
        for link, rows in other.pairs.items():
            self.pairs.setdefault(link, []).extend(rows)
        self.returned += other.returned
        self.conflicts += other.conflicts
        self.remembered |= other.remembered
        self.parked += other.parked
        self.unparked += other.unparked

    def _forget_dead(self, later: Outcome) -> None:
        """What is to flow back of records that have died since would find nobody there, and be taken for a new record's."""
        if not self.returned or not later.pairs:
            return
        width = {link: len(row.key) for link, row in self.returned}
        dead = {
            (link, *keys[-width[link] :])
            for link, rows in later.pairs.items()
            if link in width
            for keys, _, _, died, _ in rows
            if died is not None
        }
        if dead:
            self.returned = [(link, row) for link, row in self.returned if (link, *key_texts(row.key)) not in dead]

    def count(self, link: str, what: str, rows: int) -> None:
        if rows > 0:
            counts = self.written.setdefault(link, {})
            counts[what] = counts.get(what, 0) + rows


@dataclass(frozen=True, slots=True)
class Step:
    """What one turn of a flow did; handed to whoever watches."""

    flow: str
    batch: Batch
    outcome: Outcome
    seconds: float
    applied_at: int  # the target's clock, microseconds since 2000


# Where a flow's time goes: waiting for the next batch and decoding it; what precedes the writing (gather, derive, heal);
# COPY into the stage; from projecting to the last row; what is parked or sent back, checkpoint, commit; pairs made known on the
# source.
STEPS = ("read", "prepare", "copy", "write", "commit", "mirror")
SIZES = (1, 10, 100, 1_000, 10_000, 100_000)  # batches of at most so many changes are counted together


@dataclass(slots=True)
class Totals:
    """Since the flow started. `seconds`: by step. `sizes`: batches by number of changes, the last are those above all SIZES."""

    transactions: int = 0
    changes: int = 0
    written: dict[str, int] = field(default_factory=dict)
    conflicts: int = 0
    parked: int = 0
    batches: int = 0
    behind_ms: float = 0.0  # from the last transaction's commit on the source to its commit on the target
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    sizes: list[int] = field(default_factory=lambda: [0] * (len(SIZES) + 1))
    paused: list[str] = field(default_factory=list)  # links that stand still
    waiting: str = ""  # why the flow stands still just now
    halted: TooManyParked | None = None  # and that this is for a person to see to

    def add(self, changes: int, transactions: int, outcome: Outcome, parked: int) -> None:
        self.changes += changes
        self.transactions += transactions
        self.conflicts += outcome.conflicts
        self.batches += 1
        self.sizes[bisect_left(SIZES, changes)] += 1
        for counts in outcome.written.values():
            for what, rows in counts.items():
                self.written[what] = self.written.get(what, 0) + rows
        self.parked = parked

    def spent(self, step: str, since: float) -> float:
        """Counts the time since then for a step. Gives the time now (time.perf_counter)."""
        now = time.perf_counter()
        self.seconds[step] += now - since
        return now

"""Stamps for a node's user transactions, as a hybrid logical clock.

A transaction's stamp is its commit time, unless the node had by then received something
stamped later (its clock is behind): then it is one above that, because its user may have
seen it. What was received stands in the node's own WAL, as a message: so every flow that
reads the node gives a transaction the same stamp. Promises: stamps never go back in the
order of commits; a change is never stamped above something that arrived only after it.
CONVERGENCE.md, rule 1, with one step per apply instead of one per field: coarser only
while clocks stand apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from replicator.model import stamp

STEP_PREFIX = "replicator.clock"  # of messages that hold the greatest stamp received


@dataclass
class Clock:
    node: int
    last: int = 0

    def received(self, greatest: int) -> None:
        """Stamps up to `greatest` were applied to this node, ahead of the node's own clock."""
        self.last = max(self.last, stamp.above(greatest, self.node))

    def stamp(self, commit_time: int) -> int:
        """The stamp of the user transaction that committed at `commit_time` (microseconds since 2000)."""
        self.last = self.reading(commit_time)
        return self.last

    def reading(self, time: int) -> int:
        """What the clock says at that moment; it does not move."""
        return max(stamp.make(time, self.node), self.last)

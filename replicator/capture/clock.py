"""Stamps for a node's user transactions, as a hybrid logical clock.

A transaction's stamp is its commit time, unless the node had by then received something
stamped later (its clock is behind): then it is one above that, because its user may have
seen it. Promises: stamps never go back in the order of commits; a change is never stamped
above something that arrived only after it. CONVERGENCE.md, rule 1, with one step per
apply instead of one per field: coarser only while clocks stand apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from replicator.model import stamp


@dataclass
class Clock:
    """`steps`: (position on this node, greatest stamp applied there by then), both rising."""

    node: int
    last: int = 0
    steps: list[tuple[int, int]] = field(default_factory=list)

    def received(self, lsn: int, greatest: int) -> None:
        """Stamps up to `greatest` were applied to this node at position `lsn`, ahead of the node's own clock."""
        if not self.steps or greatest > self.steps[-1][1]:
            self.steps.append((lsn, greatest))

    def stamp(self, commit_time: int, lsn: int) -> int:
        """The stamp of the user transaction that committed at `commit_time` (microseconds since 2000) and `lsn`."""
        made = stamp.make(commit_time, self.node)
        while self.steps and self.steps[0][0] < lsn:
            self.last = max(self.last, stamp.above(self.steps.pop(0)[1], self.node))
        self.last = max(made, self.last)
        return self.last

"""Users' edits of one node that were read and are not yet forgotten: what a merge must know beside the target's ledger.

An edit stays until the other node has it and everything that was written there before it
had it has come back (CONVERGENCE.md, rule 5). Memory is bounded by the lag of the way back; those of a transaction that
comes in parts are kept packed, a few bytes each.
"""

from __future__ import annotations

import pickle
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from replicator.capture.batch import DELETE, INSERT, Key, RowChange
from replicator.capture.block import Block

# The record's key on its own node, the mask of fields, the stamp, whether it is the node's own answer.
Edit = tuple[Key, int, int, bool]
Some = list[Edit] | bytes  # packed


def edits_of(rows: Iterable[RowChange], inserts: bool) -> list[Edit]:
    """`inserts`: whether new records count (only where the other side may have the same record already)."""
    return [
        (tuple(row.values[: len(row.first_key)]), touch.fields, touch.stamp, touch.answer)
        for row in rows
        if row.op != DELETE and (inserts or not row.created_here)
        for touch in row.touches
    ]


def edits_of_block(block: Block, inserts: bool) -> list[Edit]:
    """The same, of changes that are held by column."""
    edits: list[Edit] = []
    fields, keys, single = block.fields or [], block.keys, block.feed.keys == 1
    for start, end, stamp, _ in block.spans():
        for place in range(start, end):
            if fields[place] and (inserts or block.ops[place] != INSERT):
                key = keys[place]
                edits.append(((key,) if single else key, fields[place], stamp, False))  # type: ignore[arg-type]
    return edits


def each(parts: Iterable[Some]) -> Iterator[Edit]:
    for part in parts:
        yield from pickle.loads(zlib.decompress(part)) if isinstance(part, bytes) else part


def _packed(part: Some) -> bytes:
    return part if isinstance(part, bytes) else zlib.compress(pickle.dumps(part), 1)


@dataclass(slots=True)
class Edits:
    """Edits of one link's records on one node.

    known     (until, edits): `until` is the position of the other node from which on its changes were made knowing them
    flying    edits of a batch that is read and not yet written on the other side
    forgotten whether that table has entries that should go
    kept      edits of changes that are parked and go on now, by their ids: the other side's are to be weighed against them
    staged    how many entries of `known` the session that needs them has in its temporary table
    """

    known: deque[tuple[int, list[Some]]] = field(default_factory=deque)
    flying: list[Some] = field(default_factory=list)
    kept: dict[int, list[Edit]] = field(default_factory=dict)
    staged: int = 0
    forgotten: bool = False
    drained: int = 0

    def __bool__(self) -> bool:
        return bool(self.known or self.flying or self.kept or self.forgotten)

    @property
    def on_their_way(self) -> list[Some]:
        """What the other side does not have yet."""
        return [*self.flying, *self.kept.values()]

    def tried(self, ids: Iterable[int]) -> None:
        """These changes have gone through, or were refused for good."""
        for number in ids:
            self.kept.pop(number, None)

    def fly(self, found: list[Edit], in_parts: bool = False) -> None:
        """A batch is read. `in_parts`: it is more of the transaction before."""
        self.flying = [_packed(part) for part in self.flying] if in_parts else []
        if found:
            self.flying.append(found)

    def landed(self, until: int) -> None:
        """The batch in flight is durable on the other node, which knew it from `until` on."""
        if self.flying:
            self.known.append((until, self.flying))
            self.flying = []

    def forget(self, drained: int) -> None:
        """Everything the other node wrote up to `drained` has come back."""
        self.drained = drained
        while self.known and self.known[0][0] <= drained:
            self.known.popleft()
            if self.staged:
                self.staged -= 1
                self.forgotten = True

    def unstaged(self) -> list[tuple[int, list[Some]]]:
        return list(self.known)[self.staged :]

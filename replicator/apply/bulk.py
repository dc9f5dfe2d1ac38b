"""A block's rows as text for COPY without looking at any value: the messages hold them as COPY wants them, but for what
stands between. So the stage is filled by leaving bytes out.

COPY's CSV format, whose quote nobody writes (`staging.QUOTE`): there nothing at all is NULL, so the one byte that a message has
for it makes room for the separator. Promises: what COPY makes of it is, row for row, what it makes of `lines.block_lines`; where
a value holds a byte that would have to be quoted (a tab, the end of a line), there is no such text, and None is given.

Source: PostgreSQL documentation, "COPY", CSV Format; "Logical Replication Message Formats", TupleData.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from replicator.apply.lines import leading_cells, stays_cells
from replicator.capture.block import Block
from replicator.capture.tuples import NULL, SIZE
from replicator.program.program import Program
from replicator.program.sql import PARAMETER
from replicator.program.staging import QUOTE

TAB, END = b"\t", b"\n"
CONTROLS = 14  # bytes below are what separates and quotes, the end of a line, and what hardly any value holds


def bulk_lines(program: Program, block: Block) -> tuple[bytes, ...] | None:
    """The lines, in pieces, with the columns in the order of `Program.load_bulk`, those of the feed as they come on the wire."""
    import numpy as np

    tuples = block.tuples
    if tuples is None or program.enrichments or any(b"" in keys for keys in _keys(block)):
        return None
    leading = [*leading_cells(program, block), *stays_cells(program, block), *_keys(block)]
    before = [END + cells for cells in map(TAB.join, zip(*leading, strict=True))]
    messages = block.messages
    data = bytearray().join(chain.from_iterable(zip(before, messages, strict=True)))
    buffer = np.frombuffer(data, dtype=np.uint8)
    own = np.fromiter(map(len, before), dtype=np.int64, count=len(before))
    ends = np.cumsum(own + np.fromiter(map(len, messages), dtype=np.int64, count=len(messages)))
    behind = np.concatenate(([0], ends[:-1])) + own  # what was kept last
    moved = behind - tuples.starts
    # Bytes that stay and bytes that are left out, by turns; so many of each.
    order = wire_order(block)
    runs = np.empty((len(before), 2 * len(order) + 2), dtype=np.int64)
    runs[:, 0] = own
    empties = 0
    for turn, place in enumerate(order):
        at, length = tuples.heads[place] + moved, tuples.lengths[place]
        # The separator is the last byte before the value, or the only one; of an empty value two are left to quote it.
        first = at + np.where(length == NULL, 0, np.where(length == 0, SIZE - 3, SIZE - 1))
        buffer[first] = ord(TAB)
        empty = at[length == 0]
        empties += len(empty)
        for quote in (SIZE - 2, SIZE - 1):
            buffer[empty + quote] = ord(QUOTE)
        runs[:, 2 * turn + 1] = first - behind
        behind = np.where(length == NULL, at + 1, at + SIZE + length)
        runs[:, 2 * turn + 2] = behind - first
    runs[:, -1] = ends - behind
    stays = np.tile(np.array([True, False]), runs.size // 2)
    lines = buffer[np.repeat(stays, runs.ravel())]
    del data, buffer
    # A tab before each cell but the first, and an end.
    if np.count_nonzero(lines < CONTROLS) != (len(leading) + len(order)) * len(before) + 2 * empties:
        return None
    return lines[1:].tobytes(), END


def wire_order(block: Block) -> list[int]:
    """The columns of the feed as they come on the wire."""
    return sorted(range(len(block.positions)), key=block.positions.__getitem__)


def load_bulk(program: Program, block: Block) -> str:
    """The COPY statement."""
    return program.load_bulk.replace(PARAMETER, ", ".join(program.staged[place] for place in wire_order(block)))


def _keys(block: Block) -> list[Sequence[bytes]]:
    return [block.keys] if block.feed.keys == 1 else [*zip(*block.keys, strict=True)]  # type: ignore[list-item]

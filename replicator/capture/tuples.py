"""Where the values of many row messages stand: numpy walks the length-prefixed tuples, one column a step over all rows.

Source: PostgreSQL documentation, "Logical Replication Message Formats" (TupleData), protocol version 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replicator.capture.messages import Value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Bytes = npt.NDArray[np.uint8]
    Bools = npt.NDArray[np.bool_]

Column = list[Value]
SIZE = 5  # bytes before a value: `t` and how long it is
NULL = -1


@dataclass(frozen=True, slots=True)
class Tuples:
    """One tuple of each of these messages, which lie one behind the other in `data`.

    data     the messages
    starts   where each message begins
    heads    by column of the feed: where the byte stands that says what the value is; if it is one, it begins SIZE later
    lengths  by column of the feed: of each row the value's length in bytes; NULL where it has none
    """

    data: bytes
    starts: Ints
    heads: Sequence[Ints]
    lengths: Sequence[Ints]

    def column(self, number: int) -> Column:
        starts, lengths = self.heads[number] + SIZE, self.lengths[number]
        data = self.data
        found: Column = [data[a:b] for a, b in zip(starts.tolist(), (starts + lengths).tolist(), strict=True)]
        absent = lengths == NULL
        if absent.any():
            found = [None if none else value for none, value in zip(absent.tolist(), found, strict=True)]
        return found

    def only(self, kept: Bools) -> Tuples:
        """Of some of the messages; `data` is still of all."""
        return Tuples(
            self.data, self.starts[kept], [head[kept] for head in self.heads], [length[kept] for length in self.lengths]
        )


def walk(data: bytes, starts: Ints, at: Ints, positions: Sequence[int]) -> tuple[Tuples, Ints] | None:
    """The tuples that begin at `at`, and where they end. `positions`: of the columns that are wanted, in the order of the feed.
    None if they do not have the same columns, or want to be looked at one by one."""
    import numpy as np

    buffer = np.frombuffer(data + bytes(8), dtype=np.uint8)  # whoever reads past the end reads nothing
    counts = buffer[at].astype(np.int64) << 8 | buffer[at + 1]
    count = int(counts[0])
    if not (counts == count).all() or count <= max(positions):
        return None  # a malformed message, to be explained by whoever decodes it
    wanted = set(positions)
    heads: dict[int, Ints] = {}
    sizes: dict[int, Ints] = {}
    at = at + 2
    last = len(buffer) - 1
    for number in range(count):
        kinds = buffer[at]
        sized = kinds == ord("t")
        length = np.zeros(len(at), dtype=np.int64)
        for place in (1, 2, 3, 4):
            length = length << 8 | buffer[np.minimum(at + place, last)]
        length[~sized] = NULL
        if number in wanted:
            heads[number], sizes[number] = at, length
        at = at + np.where(sized, SIZE + length, 1)
        if (at > last).any():
            return None
        absent = ~sized
        if absent.any() and not (kinds[absent] == ord("n")).all() and (number in wanted or not _known(kinds[absent])):
            return None  # an unchanged TOAST value that the link reads
    return Tuples(data, starts, [heads[position] for position in positions], [sizes[position] for position in positions]), at


def _known(kinds: Bytes) -> bool:
    return bool(((kinds == ord("n")) | (kinds == ord("u"))).all())

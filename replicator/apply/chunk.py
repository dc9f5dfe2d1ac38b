"""A chunk of existing records: the lines that the source wrote for the target's stage, each a change when one is asked for.

Promises: lines go on as they came; only what must be looked at is taken apart (keys, where something
else concerns the same records; a record that is refused, or waits). A record that has changed since
the chunk was read leaves it, field by field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import overload

from replicator.capture.batch import INSERT, Key, RowChange
from replicator.capture.messages import Value
from replicator.program.program import Program
from replicator.program.sql import bit_text

EXISTS = b"S"  # the operation of a record as it is: staging.EXISTING
PLAIN = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class Chunk(Sequence[RowChange]):
    """`lines`: COPY's text format, as `program.pages` asks for them; None where a record has left.
    `at`: the source's position when they were read."""

    def __init__(self, program: Program, lines: list[bytes | None], at: int, stamp: int) -> None:
        self.link, self.lines, self.at = program.link.name, lines, at
        self._pages, self._keys, self._width, self._stamp = program.pages, program.feed.keys, len(program.link.fields), stamp

    def __len__(self) -> int:
        return len(self.lines)

    @overload
    def __getitem__(self, place: int) -> RowChange: ...
    @overload
    def __getitem__(self, place: slice) -> list[RowChange]: ...
    def __getitem__(self, place: int | slice) -> RowChange | list[RowChange]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        line = self.lines[place]
        if line is None:
            raise IndexError(place)
        start = self._pages.leading
        cells = [_value(cell) for cell in line.rstrip(b"\n").split(b"\t")]
        key, values = tuple(cells[start : start + self._keys]), cells[start + self._keys :][: self._pages.columns]
        fields = cells[2]
        assert isinstance(fields, bytes)
        op = EXISTS if self._pages.dated else INSERT
        return RowChange(op, key, values, {}, int(fields[::-1], 2), [], self._stamp, self.at, order=place)

    def __iter__(self) -> Iterator[RowChange]:
        return (self[place] for place, line in enumerate(self.lines) if line is not None)

    @property
    def last_key(self) -> list[str]:
        """Of the last record that was read."""
        for line in reversed(self.lines):
            if line is not None:
                return [part.decode() for part in self._key(line) if isinstance(part, bytes)]
        return []

    def left(self) -> Iterator[bytes]:
        """The lines that are to be staged."""
        return (line for line in self.lines if line is not None)

    def meet(self, changed: Mapping[Key, int], parked: Callable[[str, Key], bool]) -> None:
        """`changed`: records that have changed since, with the mask of fields that have; -1: the record as such.
        A parked change of a record is newer, or holds all that is there: its record leaves too."""
        for place, line in enumerate(self.lines):
            if line is None:
                continue
            key = self._key(line)
            fields = -1 if parked(self.link, key) else changed.get(key, 0)
            if fields == 0:
                continue
            cells = line.split(b"\t", 3)
            kept = int(cells[2][::-1], 2) & ~fields if fields != -1 and self._pages.dated else 0
            if kept:
                cells[2] = bit_text(kept, self._width).encode()
                self.lines[place] = b"\t".join(cells)
            else:
                self.lines[place] = None

    def _key(self, line: bytes) -> Key:
        start = self._pages.leading
        cells = line.split(b"\t", start + self._keys)[start : start + self._keys]
        return tuple(_value(cell.rstrip(b"\n")) for cell in cells)


def _value(cell: bytes) -> Value:
    if cell == b"\\N":
        return None
    if b"\\" not in cell:
        return cell
    return ESCAPED.sub(lambda match: PLAIN.get(match[1], match[1]), cell)

"""Many plain changes of one table, column by column: what makes a backlog cheap.

Most of what is read in bulk are inserts and updates that need no second look, one a row. An object for each would cost
ten times what reading it does. A block knows where each value stands (tuples.py), and merges several changes of a row by
the last. Promises: it is worth a `LinkChanges` of the same messages, row for row, which it makes itself when somebody asks for
its rows; what it cannot hold (deletes, changed keys, unchanged TOAST values, counters, fields that are weighed, several edits
of one row that have to be told apart) it refuses as a whole.

Source: PostgreSQL documentation, "Logical Replication Message Formats" (Insert, Update, TupleData), protocol version 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from operator import ne
from typing import TYPE_CHECKING, overload

from replicator.capture.batch import INSERT, UPDATE, LinkChanges, RowChange
from replicator.capture.decode import Decoder
from replicator.capture.feed import BoundFeed, Feed, check_row
from replicator.capture.messages import Insert, Update, Value
from replicator.capture.tuples import Column, Tuples, walk

if TYPE_CHECKING:
    from replicator.capture.tuples import Ints

HEADER = 25  # of an XLogData message, before the payload: `w` and three Int64
LETTER, MARK, TUPLE = HEADER, HEADER + 5, HEADER + 6  # offsets of a row message: its kind, which tuple follows, the tuple
LEAST = 64  # rows from which on a block is worth its while


@dataclass(slots=True)
class Raw:
    """Row messages of one table as they came, header included. `marks`: (from which message on, stamp, position, place in
    the batch) of each transaction."""

    bound: BoundFeed
    messages: list[bytes] = field(default_factory=list)
    marks: list[tuple[int, int, int, int]] = field(default_factory=list)
    lsn: int = -1

    def add(self, message: bytes, stamp: int, lsn: int, order: int) -> None:
        if lsn != self.lsn:
            self.marks.append((len(self.messages), stamp, lsn, order))
            self.lsn = lsn
        self.messages.append(message)

    def replay(self, changes: LinkChanges, last: bool = False) -> None:
        """One by one. `last`: nobody needs the messages again; large ones are not kept beside their values."""
        decoder, ends = Decoder(), [start for start, *_ in self.marks[1:]]
        for (start, stamp, lsn, order), end in zip(self.marks, [*ends, len(self.messages)], strict=True):
            for place in range(start, end):
                payload = self.messages[place][HEADER:]
                if last:
                    self.messages[place] = b""
                message = decoder.decode(payload)
                at = order + place - start
                check_row(message, self.bound.width)
                if isinstance(message, Insert):
                    changes.insert(self.bound, message.new, stamp, lsn, at)
                elif isinstance(message, Update):
                    changes.update(self.bound, message.old, message.old_kind == "O", message.new, stamp, lsn, at)
                else:
                    changes.delete(self.bound, message.old, message.old_kind == "O", stamp, lsn, at)  # type: ignore[union-attr]


def is_plain(feed: Feed) -> bool:
    """Whether a block can hold this feed's changes at all."""
    return not (feed.counted or feed.weighed or feed.derived or feed.parts)


class Block(Sequence[RowChange]):
    """tuples   where the values stand, row for row; None where a row has several changes, of which the last counts
    columns  by place in the feed: a value for each row
    keys     of each row
    ops      of each row
    fields   of each row the mask of fields to write; None: all of every row
    marks    (from which row on, stamp, position): of the row's last change
    stays    of each row `RowChange.stays`; empty where that is not asked for
    """

    def __init__(
        self,
        raw: Raw,
        tuples: Tuples | None,
        numbers: Ints,
        columns: list[Column] | None,
        keys: list[Value] | list[tuple[Value, ...]],
        ops: list[bytes],
        fields: list[int] | None,
        marks: list[tuple[int, int, int]],
        stays: list[bool],
    ) -> None:
        self.feed, self._raw = raw.bound.feed, raw
        self.tuples, self._numbers, self._columns = tuples, numbers, columns
        self.keys, self.ops, self.fields, self.marks, self.stays = keys, ops, fields, marks, stays

    @property
    def positions(self) -> tuple[int, ...]:
        """By place in the feed, the column's place on the wire."""
        return self._raw.bound.positions

    @property
    def messages(self) -> Sequence[bytes]:
        """Of each row, as it came, where there are `tuples`."""
        messages = self._raw.messages
        return messages if len(self._numbers) == len(messages) else [messages[number] for number in self._numbers.tolist()]

    @cached_property
    def columns(self) -> list[Column]:
        if self._columns is not None:
            return self._columns
        assert self.tuples is not None
        return [self.tuples.column(number) for number in range(len(self.tuples.heads))]

    def replay(self, changes: LinkChanges) -> None:
        """One by one, before what follows in the same batch."""
        self._raw.replay(changes)

    @cached_property
    def rows(self) -> list[RowChange]:
        changes = LinkChanges(self.feed)
        self._raw.replay(changes)
        assert len(changes.rows) == len(self.ops)
        return changes.rows

    @property
    def newest(self) -> int:
        return max((lsn for _, _, lsn in self.marks), default=0)

    @property
    def oldest(self) -> int:
        return min((lsn for _, _, lsn in self.marks), default=0)

    @property
    def greatest_stamp(self) -> int:
        return max((stamp for _, stamp, _ in self.marks), default=0)

    def has_any(self, keys: Iterable[tuple[Value, ...]]) -> bool:
        own = set(self.keys)
        return any((key if self.feed.keys > 1 else key[0]) in own for key in keys)

    def spans(self) -> Iterator[tuple[int, int, int, int]]:
        """(first row, behind the last, stamp, position)"""
        ends = [start for start, *_ in self.marks[1:]]
        for (start, stamp, lsn), end in zip(self.marks, [*ends, len(self.ops)], strict=True):
            yield start, end, stamp, lsn

    def __len__(self) -> int:
        return len(self.ops)

    @overload
    def __getitem__(self, place: int) -> RowChange: ...
    @overload
    def __getitem__(self, place: slice) -> list[RowChange]: ...
    def __getitem__(self, place: int | slice) -> RowChange | list[RowChange]:
        return self.rows[place]

    def __iter__(self) -> Iterator[RowChange]:
        return iter(self.rows)


def block_of(raw: Raw) -> Block | None:
    """None if these changes have to be looked at one by one."""
    import numpy as np  # takes a while, and most commands never come here

    feed, positions = raw.bound.feed, raw.bound.positions
    data = b"".join(raw.messages)
    buffer = np.frombuffer(data + bytes(8), dtype=np.uint8)
    lengths = np.fromiter(map(len, raw.messages), dtype=np.int64, count=len(raw.messages))
    ends = np.cumsum(lengths)
    starts = ends - lengths
    letters, marks = buffer[starts + LETTER], buffer[starts + MARK]
    old = marks == ord("O")
    if not (((letters == ord("I")) | (letters == ord("U"))) & ((marks == ord("N")) | (old & (letters == ord("U"))))).all():
        return None
    at = starts + TUPLE
    tells = bool(old.any())
    if tells:
        places = np.flatnonzero(old)
        walked = walk(data, starts[places], at[places], positions)
        if walked is None:
            return None
        was, behind = walked
        if not (buffer[behind] == ord("N")).all():
            return None
        at[places] = behind + 1
    walked = walk(data, starts, at, positions)
    if walked is None or not (walked[1] == ends).all():
        return None
    tuples = walked[0]
    ops = [INSERT if letter else UPDATE for letter in (letters == ord("I")).tolist()]
    numbers = np.arange(len(ops))
    fields: list[int] | None = [feed.every_field] * len(ops) if feed.tracked else None
    stays = [op == INSERT for op in ops] if feed.deciding else []
    if tells:
        changed = _changed(tuples, was, places)
        if changed is None or (changed & ((1 << feed.keys) - 1)).any():
            return None
        if fields is not None:
            masks = {mask: _fields(raw.bound, mask) for mask in np.unique(changed).tolist()}
            for place, mask in zip(places.tolist(), changed.tolist(), strict=True):
                fields[place] = masks[mask]
        if stays:
            for place, stay in zip(places.tolist(), ((changed & feed.deciding) == 0).tolist(), strict=True):
                stays[place] = stay
        if not changed.all():
            kept = np.ones(len(ops), dtype=bool)
            kept[places[changed == 0]] = False
            tuples, ops = tuples.only(kept), list(compress(ops, kept))
            fields = list(compress(fields, kept)) if fields is not None else None
            stays = list(compress(stays, kept))
            numbers = np.flatnonzero(kept)
    return _merged(raw, tuples, ops, fields, numbers, stays)


def _changed(now: Tuples, was: Tuples, places: Ints) -> Ints | None:
    """For each row that tells what was there before: the mask of the columns that have another value now."""
    import numpy as np

    mask = np.zeros(len(places), dtype=np.int64)
    if len(was.heads) > 62:
        return None
    whole = len(places) == len(now.starts)
    numbers = places.tolist()
    for number in range(len(was.heads)):
        column = now.column(number)
        new = column if whole else [column[place] for place in numbers]
        mask |= np.fromiter(map(ne, new, was.column(number)), dtype=np.int64, count=len(places)) << number
    return mask


def _fields(bound: BoundFeed, changed: int) -> int:
    return bound.fields_of(bound.together(changed) if bound.feed.groups else changed)


def _merged(
    raw: Raw, tuples: Tuples, ops: list[bytes], fields: list[int] | None, numbers: Ints, stays: list[bool]
) -> Block | None:
    """Of several changes of one row the last; in the order in which the rows were first touched."""
    import numpy as np

    feed, found, columns = raw.bound.feed, tuples.column(0), None
    keys: list[Value] | list[tuple[Value, ...]] = found
    if feed.keys > 1:
        keys = list(zip(found, *map(tuples.column, range(1, feed.keys)), strict=True))
    last = dict(zip(keys, range(len(keys)), strict=True))
    if len(last) < len(keys):
        if feed.tracked:
            return None  # of each field the last edit counts, and when that was
        first = dict(zip(reversed(keys), reversed(ops), strict=True))
        places = list(last.values())
        ops = [first[key] for key in last]
        if stays:
            moved = set(compress(keys, [not stay for stay in stays]))
            stays = [key not in moved for key in last]
        columns = [[column[place] for place in places] for column in map(tuples.column, range(len(tuples.heads)))]
        keys, numbers = list(last), numbers[places]  # type: ignore[assignment]
    starts = np.array([start for start, *_ in raw.marks], dtype=np.int64)
    owner = np.searchsorted(starts, numbers, side="right") - 1
    cuts = np.flatnonzero(np.diff(owner, prepend=-1)).tolist()
    marks = [(cut, *raw.marks[int(owner[cut])][1:3]) for cut in cuts]
    return Block(raw, tuples if columns is None else None, numbers, columns, keys, ops, fields, marks, stays)

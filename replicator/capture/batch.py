"""Whole source transactions, gathered into one change per row.

Promises: several changes of a row become one that keeps the first key, the first before
image and the last after image; for each field it remembers which transaction changed it
last (a stamp and a position), because that, and not the row's last commit, decides
conflicts. Values stay the bytes that came from the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import TYPE_CHECKING

from replicator.capture.feed import BoundFeed, Feed
from replicator.capture.messages import UNCHANGED, Value
from replicator.capture.satellites import BoundSatellite, Satellite, SatelliteRows

if TYPE_CHECKING:
    from replicator.capture.block import Block

INSERT, UPDATE, DELETE = b"I", b"U", b"D"
Key = tuple[Value, ...]

EXACT = Context(prec=2000, traps=[])  # more digits than numeric with all its decimals is ever added up with


Delta = tuple[int, int, Decimal]


@dataclass(slots=True)
class Touch:
    """Fields whose last change, so far, is this user transaction's; or this node's own `answer`."""

    fields: int
    stamp: int
    lsn: int
    answer: bool = False


@dataclass(slots=True)
class RowChange:
    """One row's net change. `values` are in the order of the feed's columns (for a delete: the key alone counts).

    `first_key` is the key before the batch.
    `fields` has a bit for each field to write; `touches` the same bits by transaction (tracked feeds only).
    `parked` is the id of the parked row this change was, if it waited before.
    `base`     position in the feed's columns -> for weighed fields, what stood there before each edit: (position of the
               transaction, value), the first first; UNCHANGED where the record was new. Something else that was written
               in between begins it anew.
    `expected` field -> the value that must stand on the target for this one to be written there (answers only)
    `deltas`   (position of the transaction, field, amount) for counters
    `hops`     how often this value has come back changed from the side it was written on, no user having a part in it;
               0: a user's edit
    """

    op: bytes
    first_key: Key
    values: list[Value]
    base: dict[int, list[tuple[int, Value]]]
    fields: int
    touches: list[Touch]
    stamp: int
    lsn: int
    created_here: bool = False
    parked: int | None = None
    order: int = 0  # place in the batch, by first touch, over all links
    fresh: bool = False  # at a key that another row has left in this batch: no pair is its own yet
    deltas: list[Delta] = field(default_factory=list)
    expected: dict[int, Value] = field(default_factory=dict)
    hops: int = 0
    again: bool = False  # an answer for a record that has to be made again
    stays: bool = False  # it has not moved: if it takes no part now, it took none before
    absent: int = 0  # mask of columns that its table did not have: what they hold is read on the source

    @property
    def is_answer(self) -> bool:
        """Whether no user had a part in it."""
        return self.op == UPDATE and bool(self.touches) and all(touch.answer for touch in self.touches)

    @property
    def key(self) -> Key:
        """The key the row has now (for a delete: had last)."""
        return tuple(self.values[: len(self.first_key)])

    def followed_by(self, later: RowChange, tracked: bool) -> RowChange:
        """This change, which had to wait, and a later one of the same row, as one."""
        if self.op == INSERT and later.op == UPDATE:
            later.op, later.fields = INSERT, self.fields
        elif self.op == DELETE and later.op == INSERT:
            later.op = UPDATE
        if later.op in (INSERT, UPDATE):
            later.base = self._chained(later)
            later.values = [was if now is UNCHANGED else now for now, was in zip(later.values, self.values, strict=True)]
            if tracked:
                kept = [Touch(t.fields & ~later.fields, t.stamp, t.lsn, t.answer) for t in self.touches]
                later.touches = [t for t in kept if t.fields] + later.touches
            later.fields |= self.fields
            later.absent |= self.absent
            later.deltas = self.deltas + later.deltas
            later.expected = {**self.expected, **later.expected}
        later.first_key, later.parked = self.first_key, self.parked
        later.stays = self.stays and later.stays
        return later

    def _chained(self, later: RowChange) -> dict[int, list[tuple[int, Value]]]:
        """What stood before both, unless something else was written in between: then what stood before the later one."""
        base = dict(later.base)
        for position, chain in self.base.items():
            after = base.get(position)
            if after is None:
                base[position] = chain
            elif after[0][1] == self.values[position]:
                base[position] = chain + after
        return base

    def met_by(self, answer: RowChange, feed: Feed) -> None:
        """Takes in an answer of this node's own (a value it made, a decision) that was given at `answer.lsn`:
        of each field the later word stands."""
        older, kept = [], 0
        for touch in self.touches:
            if touch.lsn > answer.lsn:
                kept |= touch.fields & answer.fields
                older.append(touch)
            elif touch.fields & ~answer.fields:
                older.append(Touch(touch.fields & ~answer.fields, touch.stamp, touch.lsn, touch.answer))
        taken = answer.fields & ~kept
        self.touches = older + [Touch(t.fields & taken, t.stamp, t.lsn, t.answer) for t in answer.touches if t.fields & taken]
        columns = feed.columns_of(taken)
        for position, value in enumerate(answer.values):
            if columns >> position & 1:
                if self.values[position] != value:
                    self.base.pop(position, None)  # something was written in between
                self.values[position] = value
                if position in answer.base:
                    self.base[position] = answer.base[position]
        for number in feed.weighed:
            if not answer.fields >> number & 1:
                continue
            if taken >> number & 1:
                if number in answer.expected:
                    self.expected[number] = answer.expected[number]
                continue
            knowing = True
            for position in feed.reads[number]:
                since = [(lsn, was) for lsn, was in self.base.get(position, ()) if lsn > answer.lsn]
                if since:
                    self.base[position] = since
                    knowing = knowing and since[0][1] == answer.values[position]
            if knowing and number in answer.expected:
                self.expected[number] = answer.expected[number]  # decided, and then edited knowing it
        if answer.deltas:
            self.deltas = [d for d in self.deltas if d[0] > answer.lsn] + answer.deltas
        self.fields |= taken
        # Met by users' edits time and again, answers do not end; but nothing goes to and fro by itself.
        self.hops = max(self.hops, answer.hops) if self.hops else 0
        self.stamp = max(self.stamp, answer.stamp)


def amount(value: Value) -> Decimal:
    """A counter's value; NULL counts as nothing."""
    return Decimal(value.decode()) if isinstance(value, bytes) else Decimal(0)


@dataclass(slots=True)
class LinkChanges:
    """The changes of one link in a batch, in the order in which their rows were first touched."""

    feed: Feed
    rows: list[RowChange] = field(default_factory=list)
    index: dict[Key, RowChange] = field(default_factory=dict)
    left: set[Key] = field(default_factory=set)

    def insert(self, bound: BoundFeed, new: list[Value], stamp: int, lsn: int, order: int) -> None:
        values = bound.pick(new)
        key = tuple(values[: self.feed.keys])
        fields = self.feed.every_field
        before = self.index.get(key)
        if before is not None and bound.partial and before.op != DELETE:
            before.values = [was if now is UNCHANGED else now for now, was in zip(values, before.values, strict=True)]
            before.absent |= bound.absent
            self._touch(before, fields, stamp, lsn)
            return
        if before is not None and before.op == INSERT:
            # The table was truncated in between, which is never applied: the record is still on its way, with its last values.
            before.values, before.stamp, before.lsn, before.touches = values, stamp, lsn, []
            before.absent = bound.absent
            before.deltas = [(lsn, number, amount(values[p])) for number, p in self.feed.counted if values[p] is not UNCHANGED]
            self._touch(before, fields, stamp, lsn)
            return
        if before is not None:
            before.op, before.values, before.stays, before.absent = UPDATE, values, False, bound.absent
            self._touch(before, fields, stamp, lsn)
            before.deltas += [(lsn, number, amount(values[p])) for number, p in self.feed.counted if values[p] is not UNCHANGED]
            return
        row = RowChange(
            INSERT, key, values, {}, fields, [], stamp, lsn, created_here=True, order=order, stays=True, absent=bound.absent
        )
        if self.feed.counted:
            row.deltas = [(lsn, number, amount(values[p])) for number, p in self.feed.counted if values[p] is not UNCHANGED]
        row.fresh = key in self.left
        if self.feed.weighed:
            row.base = {p: [(lsn, UNCHANGED)] for p in self.feed.weighed_columns}
        self._touch(row, fields, stamp, lsn)
        self.rows.append(row)
        self.index[key] = row

    def update(
        self,
        bound: BoundFeed,
        old: list[Value] | None,
        full: bool,
        new: list[Value],
        stamp: int,
        lsn: int,
        order: int,
        heard: int | None = None,
    ) -> None:
        """`heard`: fields outside of this mask have not changed, whatever the row says."""
        feed, positions = self.feed, bound.positions
        values = bound.pick(new)
        base: list[Value] = []
        key_was = None
        changed, stays = -1, False  # every column, as far as we know
        if full and old is not None:
            base = bound.pick(old)
            if values == base:
                return  # nothing this link reads has changed
            changed = 0
            for place, value in enumerate(values):
                if value is UNCHANGED:
                    values[place] = base[place]
                elif value != base[place]:
                    changed |= 1 << place
            stays = not (changed | bound.absent) & feed.deciding
            if feed.groups:
                changed = bound.together(changed)
            # Which fields a user really changed matters where the other side may have changed others.
            fields = bound.fields_of(changed) if feed.tracked else feed.every_field & ~bound.fields_of(bound.absent)
            if changed & ((1 << feed.keys) - 1):
                key_was = tuple(base[: feed.keys])
        else:
            fields = feed.every_field
            if UNCHANGED in values:
                fields &= ~bound.fields_of(sum(1 << i for i, v in enumerate(values) if v is UNCHANGED))
            if old is not None:
                key_was = tuple(old[p] for p in positions[: feed.keys])
                # A key kept in TOAST comes with the old image only.
                for place, was in enumerate(key_was):
                    if values[place] is UNCHANGED:
                        values[place] = was
        key = tuple(values[: feed.keys])
        if heard is not None:
            fields &= heard
            entered = max(changed, 0) & feed.entry
            if not fields and not entered:
                return
            changed, key_was = changed & (feed.columns_of(fields) | entered), None
        if key_was is not None and key_was != key:
            row = self.index.pop(key_was, None)
            self.left.add(key_was)
        else:
            key_was = key
            row = self.index.get(key)
        if row is None or row.op == DELETE:
            row = RowChange(UPDATE, key_was, values, {}, fields, [], stamp, lsn, order=order, stays=stays, absent=bound.absent)
            if base:
                row.base = {p: [(lsn, base[p])] for p in feed.weighed_columns if changed >> p & 1}
            self.rows.append(row)
        else:
            row.stays = row.stays and stays
            for p in feed.weighed_columns if base else ():
                if changed >> p & 1:
                    before = row.base.get(p) if row.values[p] == base[p] else None
                    row.base[p] = [*(before or ()), (lsn, base[p])]
            # Only what this update changed: between two updates of users the row may have taken values that we applied
            # (they are not in this stream), and those are not the users' edits.
            row.values = [
                now if changed >> place & 1 and now is not UNCHANGED else was
                for place, (now, was) in enumerate(zip(values, row.values, strict=True))
            ]
            row.fields |= fields
            row.absent |= bound.absent
        self.index[key] = row
        self._touch(row, fields, stamp, lsn)
        for number, p in feed.counted if base else ():
            if changed >> p & 1:
                row.deltas.append((lsn, number, EXACT.subtract(amount(values[p]), amount(base[p]))))

    def delete(self, bound: BoundFeed, old: list[Value], full: bool, stamp: int, lsn: int, order: int) -> None:
        feed, keys = self.feed, self.feed.keys
        key = tuple(old[p] for p in bound.positions[:keys])
        # Also what was born in this batch: the other side may have taken it up already (adoption by match keys).
        row = self.index.get(key)
        if row is None:
            blank: list[Value] = [None] * len(feed.columns)
            row = RowChange(DELETE, key, blank, {}, 0, [], stamp, lsn, order=order)
            self.rows.append(row)
            self.index[key] = row
        # Should the record be made anew, what changes is the difference.
        for p in feed.weighed_columns if full else ():
            if bound.positions[p] >= 0:
                row.base.setdefault(p, [(lsn, old[bound.positions[p]])])
        if full and feed.counted:
            row.deltas += [
                (lsn, number, -amount(old[bound.positions[p]])) for number, p in feed.counted if bound.positions[p] >= 0
            ]
        row.op, row.fields, row.touches, row.stays, row.absent = DELETE, 0, [], False, 0
        row.values = [*key, *([None] * (len(feed.columns) - keys))]
        row.stamp, row.lsn = stamp, lsn

    def _touch(self, row: RowChange, fields: int, stamp: int, lsn: int) -> None:
        row.stamp, row.lsn = stamp, lsn
        row.fields |= fields
        if not self.feed.tracked or not fields:
            return
        touches = row.touches
        if touches and touches[-1].lsn == lsn:
            touches[-1].fields |= fields
            rest = touches[:-1]
        else:
            touches.append(Touch(fields, stamp, lsn))
            rest = touches[:-1]
        for earlier in rest:
            earlier.fields &= ~fields
        if rest:
            row.touches = [t for t in touches if t.fields]


@dataclass(slots=True)
class Batch:
    """`end` is the end position of the last whole transaction in it; `rows` counts captured changes, not net ones.
    A link's changes are in `links` or, where they are many and plain, in `blocks` (capture/block.py)."""

    links: dict[str, LinkChanges] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)
    satellites: dict[Satellite, SatelliteRows] = field(default_factory=dict)
    start: int = 0
    end: int = 0
    rows: int = 0
    bytes: int = 0
    transactions: int = 0
    stamp: int = 0  # the greatest in it
    clock: int = 0  # what the source's clock says at `end`
    commit_time: int = 0  # of the last transaction, microseconds since 2000
    oldest_commit: int = 0
    complete: bool = True
    truncated: list[str] = field(default_factory=list)
    restructured: bool = False  # a table is not what it was when its rows were last read
    unread: dict[str, str] = field(default_factory=dict)  # links that had no use for a change that concerns them, and why
    begun: set[int] = field(default_factory=set)  # numbers of the transactions that begin in it

    def __bool__(self) -> bool:
        return self.transactions > 0 or bool(self.links or self.blocks)

    def beside(self, bound: BoundSatellite, old: list[Value] | None, new: list[Value] | None, stamp: int, lsn: int) -> None:
        """A change of a table that a link reads beside its record."""
        images = bound.images(old, new)
        if images:
            rows = self.satellites.setdefault(bound.satellite, SatelliteRows())
            rows.rows += images
            rows.stamp, rows.lsn = stamp, lsn

    def changes(self, feed: Feed) -> LinkChanges:
        found = self.links.get(feed.link)
        if found is None:
            found = self.links[feed.link] = LinkChanges(feed)
        return found

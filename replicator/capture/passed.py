"""Reads a node that hands on what it received: foreign transactions come with the stamps their edits were made with.

Those who write on such a node say so in its log before each row (program/passing.py). Promises:
a column they were given has the stamp it came with; one that the node's own triggers changed, or
that was written whatever stood there, has the node's own, as if its users had done it. Stamps of
foreign edits do not rise with positions, so of several changes of a field the greatest stamp
stays, not the last: the others are put right on the node by whoever wrote them (program/heal.py).
Transactions of origins that are neither ours nor asked for leave nothing; of the target's own what the flow hears
(assemble.py). What another node says of a field that it owns
beside our target is no edit to the target: that would put it back, to have it put back again, for ever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replicator.capture.assemble import Assembler
from replicator.capture.batch import DELETE, UPDATE, LinkChanges, RowChange, Touch
from replicator.capture.clock import Clock
from replicator.capture.feed import BoundFeed, Feed, Renamed
from replicator.capture.messages import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Origin,
    Update,
    Value,
)
from replicator.capture.satellites import Satellite
from replicator.model import stamp as stamps
from replicator.model.table import TableName

PREFIX = "replicator"
HEALED = b'{"h"'
BPCHAR = 1042
Given = list[tuple[int, int]]  # (fields, stamp), greatest stamp first, no field twice


@dataclass(slots=True)
class Entry:
    """What is said of one row: its stamp, and (columns as a bit string over `Announced.columns`, stamp)."""

    stamp: int
    parts: Sequence[tuple[str, int]]
    born: bool


@dataclass(slots=True)
class Announced:
    """What one link says of one table, up to the next time that it writes there."""

    link: str
    table: TableName
    at: int
    keys: Sequence[str]
    columns: Sequence[str | None]
    rows: dict[tuple[str, ...], Entry] = field(default_factory=dict)


@dataclass(slots=True)
class PassedChanges(LinkChanges):
    """Of the change that is captured next: `given`, what is known of its stamps; `others`, fields that another owner wrote."""

    given: Given = field(default_factory=list)
    others: int = 0
    _lost: int = 0
    _touched: bool = False

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
        known = self.index.get(_key(bound, old if full and old is not None else new))
        was = known.values if known is not None and known.op != DELETE else None
        theirs = self.others & ~known.fields if known is not None else self.others
        self._lost, self._touched = 0, False
        # Explicitly: a dataclass with slots is another class than the one whose body this is.
        LinkChanges.update(self, bound, old, full, new, stamp, lsn, order, heard)
        row = self.index.get(_key(bound, new)) if theirs else None
        if row is not None and row.op == UPDATE:
            row.fields &= ~theirs
        if self.given and self.feed.tracked and not self._touched:
            self._equal(bound, new, stamp, lsn, order)
        if known is not None and was is not None and (self.given or self._lost):
            self._settle(bound, known, was, old, new, lsn)

    def _equal(self, bound: BoundFeed, new: list[Value], stamp: int, lsn: int, order: int) -> None:
        """The values were there already; that they were given is news."""
        values = bound.pick(new)
        key = tuple(values[: self.feed.keys])
        row = self.index.get(key)
        if row is None or row.op == DELETE:
            row = RowChange(UPDATE, key, values, {}, 0, [], stamp, lsn, order=order, absent=bound.absent)
            self.rows.append(row)
            self.index[key] = row
        self._touch(row, 0, stamp, lsn)

    def _settle(
        self, bound: BoundFeed, row: RowChange, was: list[Value], old: list[Value] | None, new: list[Value], lsn: int
    ) -> None:
        """A column keeps what the greatest stamp gave it: not what came last, nor what merely differs."""
        won = 0
        for touch in row.touches:
            won |= touch.fields if touch.lsn == lsn else 0
        kept, written = self.feed.columns_of(self._lost), self.feed.columns_of(won)
        for place, position in enumerate(bound.positions):
            if position < 0:
                continue
            if written >> place & 1:
                value = new[position]
                if value is UNCHANGED and old is not None:
                    value = old[position]
                if value is not UNCHANGED:
                    row.values[place] = value
            elif kept >> place & 1:
                row.values[place] = was[place]

    def _touch(self, row: RowChange, fields: int, stamp: int, lsn: int) -> None:
        self._touched = True
        if row.op == UPDATE:
            fields &= ~self.others
        parts, rest = list(self.given), fields
        for mask, _ in self.given:
            rest &= ~mask
        if rest:
            parts.append((rest, stamp))
        row.lsn = lsn
        row.stamp = max(made for _, made in [*parts, (0, row.stamp)])
        for mask, made in parts:
            row.fields |= mask
            if self.feed.tracked:
                self._take(row, mask, made, lsn)

    def _take(self, row: RowChange, fields: int, stamp: int, lsn: int) -> None:
        for earlier in row.touches:
            if earlier.stamp > stamp:
                self._lost |= earlier.fields & fields
                fields &= ~earlier.fields
        if not fields:
            return
        for earlier in row.touches:
            earlier.fields &= ~fields
        row.touches = [t for t in row.touches if t.fields]
        for same in row.touches:
            if same.lsn == lsn and same.stamp == stamp:
                same.fields |= fields
                return
        row.touches.append(Touch(fields, stamp, lsn))


class RelayAssembler(Assembler):
    """`passed`: origins whose transactions go on to the target of this flow. `owners`: origin -> link -> mask of fields that
    the node of that origin owns, as the target does."""

    _in_bulk = False  # each row may have been announced

    def __init__(
        self,
        feeds: Mapping[TableName, Sequence[Feed]],
        clock: Clock,
        own_origins: frozenset[str],
        skip_to: int,
        satellites: Mapping[TableName, Sequence[Satellite]] | None,
        listening: bool,
        passed: frozenset[str],
        owners: Mapping[str, Mapping[str, int]],
        renamed: Renamed | None = None,
    ) -> None:
        super().__init__(feeds, clock, own_origins, skip_to, satellites, listening, renamed)
        self._passed, self._owners = passed, owners
        self._others: Mapping[str, int] = {}
        self._foreign = False
        self._own = False  # from the target of this flow
        self._greatest = 0
        self._announced: dict[TableName, dict[str, Announced]] = {}
        self._masks: dict[tuple[str, str, TableName, str], int] = {}

    def _begin(self, message: Begin) -> None:
        super()._begin(message)
        self._foreign = self._own = False
        self._greatest = 0
        self._announced = {}
        self._others = {}

    def _origin(self, message: Origin) -> None:
        if self._skipping:
            return
        self._clock.last = self._before
        self._foreign, self._own = True, message.name in self._own_origins
        self._caused = self._own and self._listening
        self._skipping = message.name not in self._passed and not self._caused
        if not self._caused:
            self._stamp = self._before
        self._others = self._owners.get(message.name, {})

    def _commit(self, message: Commit) -> None:
        super()._commit(message)
        self._batch.stamp = max(self._batch.stamp, self._greatest)
        self._announced = {}

    def _message(self, message: LogicalMessage) -> None:
        if message.prefix != PREFIX:
            super()._message(message)
            return
        if self._own and message.content.startswith(HEALED):
            # What was written back may lie over what a third node's flow had written in between, and that goes to the target.
            self._skipping = self._caused = False
        if self._foreign and not self._skipping and not self._caused:
            said: dict[str, Any] = json.loads(message.content)
            self.commit_time = said["at"]
            self._stamp = self._clock.reading(said["at"])
            if "t" in said:
                self._listen(said)

    def _listen(self, said: dict[str, Any]) -> None:
        table = TableName(*said["t"])
        of_table = self._announced.setdefault(table, {})
        known = of_table.get(said["l"])
        if known is None or known.at != said["at"]:  # else: one more chunk
            known = of_table[said["l"]] = Announced(said["l"], table, said["at"], said["k"], said["c"])
        for key, stamp, parts, born in said["r"]:
            known.rows[tuple(map(str, key))] = Entry(stamp, parts or (), bool(born))

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _insert(self, message: Insert, size: int) -> None:
        if self._skipping:
            return
        self._note_unread(message.relation_id)
        entries = self._entries(message.relation_id, message.new, None)
        for bound in self._bound[message.relation_id]:
            if self._caused and bound.feed.heard is not None:
                continue  # its own word
            changes, order = self._changes(bound, size, entries)
            # What the node made of it by itself is stamped as it is when it goes back (`returned`).
            born = [stamps.above(e.stamp, self._clock.node) for _, e in entries if e.born]
            changes.insert(bound, message.new, max(born, default=self._stamp), self._lsn, order)
        if message.relation_id in self._beside:
            self._note(message.relation_id, None, message.new, size)

    def _update(self, message: Update, size: int) -> None:
        if self._skipping:
            return
        self._note_unread(message.relation_id)
        full = message.old_kind == "O"
        entries = self._entries(message.relation_id, message.new, message.old)
        for bound in self._bound[message.relation_id]:
            heard = bound.feed.heard if self._caused else None
            if self._caused and bound.feed.deaf:
                continue
            changes, order = self._changes(bound, size, entries)
            # What a trigger made of other columns came after what it was told, and after all that stood there.
            beside = max([self._stamp, *(stamps.above(e.stamp, self._clock.node) for _, e in entries)])
            changes.update(bound, message.old, full, message.new, beside, self._lsn, order, heard)
        if message.relation_id in self._beside:
            self._note(message.relation_id, message.old if full else None, message.new, size)

    def _delete(self, message: Delete, size: int) -> None:
        if self._skipping:
            return
        self._note_unread(message.relation_id)
        entries = self._entries(message.relation_id, message.old, None)
        for bound in self._bound[message.relation_id]:
            if self._caused and bound.feed.heard is not None:
                continue
            changes, order = self._changes(bound, size, ())
            made = max((e.stamp for _, e in entries), default=self._stamp)
            changes.delete(bound, message.old, message.old_kind == "O", made, self._lsn, order)
        if message.relation_id in self._beside:
            self._note(message.relation_id, message.old, None, size)

    def _changes(self, bound: BoundFeed, size: int, entries: Sequence[tuple[Announced, Entry]]) -> tuple[PassedChanges, int]:
        batch = self._batch
        batch.rows += 1
        batch.bytes += size
        found = batch.links.get(bound.feed.link)
        if not isinstance(found, PassedChanges):
            found = batch.links[bound.feed.link] = PassedChanges(bound.feed)
        found.given = self._given(bound, entries) if entries else []
        found.others = self._others.get(bound.feed.link, 0)
        for _, entry in entries:
            self._greatest = max(self._greatest, entry.stamp)
        return found, batch.rows

    def _given(self, bound: BoundFeed, entries: Sequence[tuple[Announced, Entry]]) -> Given:
        """The fields of this link that read a column for which a stamp was given."""
        parts = [(self._fields(bound, announced, bits), made) for announced, entry in entries for bits, made in entry.parts]
        if len(parts) > 1:
            parts.sort(key=lambda part: -part[1])
        taken, given = 0, []
        for fields, made in parts:
            if fields & ~taken:
                given.append((fields & ~taken, made))
                taken |= fields
        return given

    def _fields(self, bound: BoundFeed, announced: Announced, bits: str) -> int:
        key = (bound.feed.link, announced.link, announced.table, bits)
        known = self._masks.get(key)
        if known is None:
            named = {c for c, bit in zip(announced.columns, bits, strict=True) if bit == "1"}
            known = bound.fields_of(sum(1 << place for place, name in enumerate(bound.feed.columns) if name in named))
            self._masks[key] = known
        return known

    def _entries(self, relation: int, new: Sequence[Value], old: Sequence[Value] | None) -> Sequence[tuple[Announced, Entry]]:
        """What was said of the row, under the key it had, or has now."""
        said = self._announced.get(self._names[relation]) if self._announced else None
        if not said:
            return ()
        places = {c.name: (i, c.type_oid) for i, c in enumerate(self._relations[relation].columns)}
        found = []
        for announced in said.values():
            if not places.keys() >= set(announced.keys):
                continue  # the table has lost its key since
            for values in (old, new):
                entry = announced.rows.get(_texts(values, [places[k] for k in announced.keys])) if values else None
                if entry is not None:
                    found.append((announced, entry))
                    break
        return found


def _key(bound: BoundFeed, values: Sequence[Value]) -> tuple[Value, ...]:
    return tuple(values[p] for p in bound.positions[: bound.feed.keys])


def _texts(values: Sequence[Value], places: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    texts = []
    for place, kind in places:
        value = values[place]
        text = value.decode() if isinstance(value, bytes) else ""
        texts.append(text.rstrip(" ") if kind == BPCHAR else text)
    return tuple(texts)

"""A feed: what a flow must know of a link to turn captured rows into staged lines.

The program compiles it; `bind` fits it to the column order a Relation message announces.
Nothing here knows SQL or a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from replicator.capture.messages import UNCHANGED, Delete, Insert, Message, Relation, Update, Value
from replicator.errors import ProtocolError
from replicator.model.table import TableName


@dataclass(frozen=True)
class FeedPart:
    """One of the tables a record is made of. `columns`: for each of the feed's, what it is called there (None: not there)."""

    table: TableName
    columns: tuple[str | None, ...]


@dataclass(frozen=True)
class Feed:
    """columns  names of the source columns that are staged, keys first
    keys     how many of them are the key
    reads    per field of the link, the positions in `columns` that its value depends on
    tracked  whether edits are stamped field by field (a two-way link)
    groups   masks of fields that count as changed together
    counted  (field, position in `columns`) of counters: what an edit adds to them is kept
    weighed  fields whose edits are compared with what stood there before: what that was is kept
    derived  positions in `columns` that are not on the wire: they are read on the source (apply/derive.py)
    parts    the tables, if a record is made of several: each brings its columns, the others are read
    heard    what counts of a change that this flow's target itself has written here, or caused: all of it (None), or these
             fields only, for the others are its own words (program/effects.py)
    deciding the mask of columns that decide whether a record takes part
    entry    the mask of columns that decide whether a record takes part or is made, where others write them: of what the
             target has caused their changes count as well
    """

    link: str
    table: TableName
    columns: tuple[str, ...]
    keys: int
    reads: tuple[frozenset[int], ...]
    tracked: bool
    groups: tuple[int, ...] = ()
    counted: tuple[tuple[int, int], ...] = ()
    weighed: tuple[int, ...] = ()
    derived: frozenset[int] = frozenset()
    parts: tuple[FeedPart, ...] = ()
    heard: int | None = 0
    deciding: int = 0
    entry: int = 0

    @property
    def deaf(self) -> bool:
        """Whether nothing counts that the target has caused."""
        return self.heard == 0 and not self.entry

    @property
    def tables(self) -> tuple[TableName, ...]:
        """Every table whose rows are rows of this feed's records."""
        return tuple(part.table for part in self.parts) or (self.table,)

    @cached_property
    def weighed_columns(self) -> tuple[int, ...]:
        """Positions in `columns` that a weighed field reads."""
        return tuple(sorted({position for number in self.weighed for position in self.reads[number]}))

    def fields_of(self, columns: int) -> int:
        """The mask of fields that read any of the columns in the mask `columns` (bit i: column i of the feed)."""
        mask = 0
        for number, reads in enumerate(self.reads):
            if any(columns >> position & 1 for position in reads):
                mask |= 1 << number
        for group in self.groups:
            if mask & group:
                mask |= group
        return mask

    def columns_of(self, fields: int) -> int:
        """The mask of columns that the fields in the mask `fields` read."""
        mask = 0
        for number, reads in enumerate(self.reads):
            if fields >> number & 1:
                for position in reads:
                    mask |= 1 << position
        return mask

    @property
    def every_field(self) -> int:
        """The mask with a bit for each field."""
        return (1 << len(self.reads)) - 1


@dataclass(slots=True)
class BoundFeed:
    """A feed fitted to one Relation message. `positions[i]` is where column i of the feed stands in its tuples
    (-1: in no place, for this is another part of the record, or its table has no such column). `width`: how many columns these
    have. `absent`: the mask of columns that the table does not have, or did not have when the row was written: they are read on
    the source when they are wanted."""

    feed: Feed
    positions: tuple[int, ...]
    width: int
    partial: bool = False
    absent: int = 0
    _fields: dict[int, int] = field(default_factory=dict)
    _together: dict[int, int] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[tuple[int, ...], int]:
        """What of a row's message it goes by."""
        return self.positions, self.width

    def pick(self, row: list[Value]) -> list[Value]:
        """The feed's columns of a tuple; UNCHANGED for those that it does not have."""
        if self.partial or self.absent:
            return [row[p] if p >= 0 else UNCHANGED for p in self.positions]
        return [row[p] for p in self.positions]

    def fields_of(self, columns: int) -> int:
        """The mask of fields that count as changed when these columns have (bit i: column i of the feed)."""
        known = self._fields.get(columns)
        if known is None:
            known = self._fields[columns] = self.feed.fields_of(columns)
        return known

    def together(self, columns: int) -> int:
        """These columns, and those of fields that win or lose together with theirs."""
        known = self._together.get(columns)
        if known is None:
            touched = [group for group in self.feed.groups if group & self.fields_of(columns)]
            known = self._together[columns] = columns | self.feed.columns_of(mask_of_all(touched))
        return known


def mask_of_all(masks: Iterable[int]) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union


@dataclass(frozen=True, slots=True)
class Renamed:
    """Tables and columns that links know by another name than they have by now. `tables`: identifier -> the links' name, of every
    table that they read; `columns`: the links' name -> today's. What is on the wire may be older or newer than that.
    `generated`: columns that the server computes, and may never send."""

    tables: Mapping[int, TableName] = field(default_factory=dict)
    columns: Mapping[TableName, Mapping[str, str]] = field(default_factory=dict)
    generated: Mapping[TableName, frozenset[str]] = field(default_factory=dict)

    def table(self, relation: Relation) -> TableName:
        return self.tables.get(relation.id) or TableName(relation.namespace, relation.name)


KEYLESS = "changes came without the columns that tell of which record they are"
UNSENT = (
    "changes came without {columns}: generated columns are sent by PostgreSQL 18 and later, if the publication says so;"
    " `derived` computes it anywhere"
)


def bind(feed: Feed, relation: Relation, renamed: Renamed) -> BoundFeed | str:
    """Or why the rows are of no use to the link: there is no key in them, or what is not there never comes. Any other column may
    be absent."""
    table = renamed.table(relation)
    today = renamed.columns.get(table, {})
    places = {column.name: place for place, column in enumerate(relation.columns)}
    columns: tuple[str | None, ...] = feed.columns
    for part in feed.parts:
        if part.table == table:
            columns = part.columns
    # Until it is read, a derived column has the key's value: it changes when that does.
    wired = [columns[0] if position in feed.derived else name for position, name in enumerate(columns)]
    found = [None if name is None else places.get(name, places.get(today.get(name, ""))) for name in wired]
    absent = mask_of_all(1 << i for i, name in enumerate(wired) if name is not None and found[i] is None)
    if absent & ((1 << feed.keys) - 1):
        return KEYLESS
    unsent = [name for name in wired if name in renamed.generated.get(table, ()) and name not in places]
    if unsent:
        return UNSENT.format(columns=", ".join(map(str, unsent)))
    positions = tuple(-1 if place is None else place for place in found)
    return BoundFeed(feed, positions, len(relation.columns), bool(feed.parts), absent)


def check_row(message: Message, width: int | None) -> None:
    """Raises ProtocolError for a row message that does not go with what was said of its table. `width`: columns; None: nothing
    was said of it."""
    assert isinstance(message, Insert | Update | Delete)
    if width is None:
        raise ProtocolError(f"a row of relation {message.relation_id}, which was not described before")
    images = (message.old,) if isinstance(message, Delete) else (message.new,) if isinstance(message, Insert) else message[3:]
    for image in images:
        if image is not None and len(image) != width:
            raise ProtocolError(f"a row of relation {message.relation_id} has {len(image)} columns, and the relation {width}")

"""A feed: what a flow must know of a link to turn captured rows into staged lines.

The program compiles it; `bind` fits it to the column order a Relation message announces.
Nothing here knows SQL or a server.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from replicator.capture.messages import Relation
from replicator.errors import StructureChanged
from replicator.model.table import TableName


@dataclass(frozen=True, slots=True)
class Feed:
    """columns  names of the source columns that are staged, keys first
    keys     how many of them are the key
    reads    per field of the link, the positions in `columns` that its value depends on
    tracked  whether edits are stamped field by field (a two-way link)
    """

    link: str
    table: TableName
    columns: tuple[str, ...]
    keys: int
    reads: tuple[frozenset[int], ...]
    tracked: bool

    @property
    def every_field(self) -> int:
        """The mask with a bit for each field."""
        return (1 << len(self.reads)) - 1


@dataclass(slots=True)
class BoundFeed:
    """A feed fitted to one Relation message. `positions[i]` is where column i of the feed stands in its tuples."""

    feed: Feed
    positions: tuple[int, ...]
    _fields: dict[int, int] = field(default_factory=dict)

    def fields_of(self, columns: int) -> int:
        """The mask of fields that read any of the columns in the mask `columns` (bit i: column i of the feed)."""
        known = self._fields.get(columns)
        if known is None:
            known = 0
            for number, reads in enumerate(self.feed.reads):
                if any(columns >> position & 1 for position in reads):
                    known |= 1 << number
            self._fields[columns] = known
        return known


def bind(feed: Feed, relation: Relation) -> BoundFeed:
    """Raises StructureChanged when a column that the link reads is no longer there."""
    places = {column.name: place for place, column in enumerate(relation.columns)}
    gone = [name for name in feed.columns if name not in places]
    if gone:
        raise StructureChanged(
            f"link {feed.link}: table {feed.table} no longer has column {', '.join(gone)}",
            "change the link file to the table as it is now, run `replicator lint`, then start again",
        )
    return BoundFeed(feed, tuple(places[name] for name in feed.columns))

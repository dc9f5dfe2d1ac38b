"""Changed rows of tables that a link reads beside its own record: kept as they are, old and new.

What they mean for the link's records only the source can tell (program/affected.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from replicator.capture.feed import Renamed
from replicator.capture.messages import UNCHANGED, Relation, Value
from replicator.model.table import TableName


@dataclass(frozen=True, slots=True)
class Satellite:
    """`columns`: those of the table that the link reads."""

    link: str
    table: TableName
    columns: tuple[str, ...]


@dataclass(slots=True)
class SatelliteRows:
    """`rows`: images before and after, in the order of the satellite's columns; stamp and lsn are the last transaction's."""

    rows: list[list[Value]] = field(default_factory=list)
    stamp: int = 0
    lsn: int = 0


@dataclass(slots=True)
class BoundSatellite:
    """A satellite fitted to one Relation message."""

    satellite: Satellite
    positions: tuple[int, ...]

    def images(self, old: list[Value] | None, new: list[Value] | None) -> list[list[Value]]:
        """What is worth keeping of a change: nothing if no column that is read has changed."""
        before = [old[p] for p in self.positions] if old is not None else None
        after = [new[p] for p in self.positions] if new is not None else None
        if before is not None and after is not None:
            after = [was if now is UNCHANGED else now for now, was in zip(after, before, strict=True)]
            if after == before:
                return []
        return [image for image in (before, after) if image is not None]


def bind_satellite(satellite: Satellite, relation: Relation, renamed: Renamed) -> BoundSatellite | None:
    """None: the table lacks a column that the link reads."""
    today = renamed.columns.get(satellite.table, {})
    places = {column.name: place for place, column in enumerate(relation.columns)}
    found = [places.get(name, places.get(today.get(name, ""))) for name in satellite.columns]
    positions = tuple(place for place in found if place is not None)
    return BoundSatellite(satellite, positions) if len(positions) == len(found) else None

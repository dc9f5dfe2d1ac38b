"""What links need of the node they are read from: tables to capture, and whole before images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from replicator.engines.postgres.setup import SourceWork, flow_name, slot_name
from replicator.model.link import Link
from replicator.model.table import Table, TableName


def source_work(links: Sequence[Link], tables: Mapping[tuple[str, TableName], Table], source: str, target: str) -> SourceWork:
    flow = flow_name(source, target)
    feeding = [link for link in links if (source, target) in link.flows]
    read = sorted({table for link in feeding for table in link.side(source).tables})
    whole = [link.side(source) for link in feeding if needs_full_identity(link, tables, source, target)]
    full = {name for side in whole for name in (side.table, *(part.table for part in side.extends))}
    # Which records a row concerned before it changed is seen from its old values.
    full |= {table for link in feeding for query in link.side(source).queries for table in query.tables}
    readers = {name: [link.name for link in feeding if name in link.side(source).tables] for name in read}
    whole_images = tuple(tables[source, name] for name in sorted(full))
    return SourceWork(flow, slot_name(flow), slot_name(flow), tuple(read), whole_images, readers)


def needs_full_identity(link: Link, tables: Mapping[tuple[str, TableName], Table], source: str, target: str) -> bool:
    """Whether the wire must carry whole before images: to tell what a user really changed (two ways), for a key that is not
    the primary key, and for conditions and expressions over values that TOAST would keep off the wire."""
    side, found = link.side(source), tables[source, link.side(source).table]
    if side.query is not None:
        return False
    if link.two_way or side.extends or set(side.key) != set(found.primary_key):
        return True
    conditions = [e for e in (side.where, link.create.get(target)) if e is not None]
    if conditions:  # a row that begins to take part is created whole
        return any(column.toastable for column in found.columns)
    read = {name for f in link.fields if target in f.convert for name in f.convert[target].reads}
    return any(found.by_name[name].toastable for name in read if name in found.by_name)

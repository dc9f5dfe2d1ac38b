"""A side's record as one table: its own columns, those of the tables it extends, and what it derives.

The one place that says which columns a record has. What the catalog knows comes in as `tables`: by
node and name, a side's derived columns under `Side.described`, a query's under `Side.table`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from replicator.model.link import Side
from replicator.model.table import Column, Table, TableName


def record(side: Side, tables: Mapping[tuple[str, TableName], Table | None]) -> Table | None:
    """None if the database lacks one of its tables."""
    own = tables.get((side.node, side.table))
    if own is None:
        return None
    for part in side.extends:
        parent = tables.get((side.node, part.table))
        if parent is None:
            return None
        own = _joined(own, side.key, parent, part.key)
    if side.derived:
        described = tables.get((side.node, side.described))
        if described is None:
            return None
        own = own.with_columns(described.columns)
    return own


def _joined(own: Table, key: tuple[str, ...], parent: Table, parent_key: tuple[str, ...]) -> Table:
    """The key is made by the parent, whose columns the record has as well; of two of one name it is the own one's."""
    made = dict(zip(key, parent_key, strict=False))
    columns: list[Column] = []
    for column in own.columns:
        maker = parent.by_name.get(made.get(column.name, ""))
        if maker is not None and column.default is None:
            column = replace(column, default=maker.default, identity=maker.identity)
        columns.append(column)
    columns += [c for c in parent.columns if c.name not in own.by_name and c.name not in parent_key]
    own_names = set(own.by_name) | set(parent_key)
    uniques = [u for u in parent.unique_keys if not own_names & set(u)]
    return replace(
        own,
        columns=tuple(replace(c, identity_always=False) for c in columns),
        unique_keys=(*own.unique_keys, *uniques),
        has_triggers=own.has_triggers or parent.has_triggers,
        refers_to=(own.refers_to | parent.refers_to) - {parent.name},
    )


def columns_by_table(side: Side, tables: Mapping[tuple[str, TableName], Table | None]) -> dict[TableName, tuple[str, ...]]:
    """Which of its tables each column is written to; a table's own name comes before those it extends."""
    found: dict[TableName, tuple[str, ...]] = {}
    taken: set[str] = set()
    for name in (side.table, *(part.table for part in side.extends)):
        table = tables.get((side.node, name))
        columns = tuple(c.name for c in table.columns if c.name not in taken) if table else ()
        taken |= set(columns)
        found[name] = columns
    return found

"""Changes that a slot still holds from before their table had the columns that links read now.

They come with the columns of their time, and a flow cannot go on past them (capture/feed.py, `bind`). Promises: the slot
does not move; where all columns are older than what it holds, nothing of that is looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping

import psycopg

from replicator.capture.decode import Decoder
from replicator.capture.messages import Begin, Relation
from replicator.engines.postgres.sql import statement
from replicator.model.table import TableName
from replicator.program.sql import quote

Columns = Mapping[TableName, Collection[str]]


def changes_without(
    connection: psycopg.Connection, slot: str, publication: str, position: int, wanted: Columns
) -> dict[TableName, list[str]]:
    """Table -> columns that unread changes of it lack. `position`: of the flow's checkpoint; what committed before is read.
    Nobody may be reading the slot."""
    young = _young(connection, slot, wanted)
    if not young:
        return {}
    lacking: dict[int, tuple[TableName, list[str]]] = {}
    found: dict[TableName, list[str]] = {}
    decoder, skipping = Decoder(), False
    with connection.transaction(), connection.cursor("unread") as cursor:
        cursor.execute(statement("unread", "plan.sql"), (slot, quote(publication)))
        for (data,) in cursor:
            if data[:1] in b"BR":
                message = decoder.decode(data)
                if isinstance(message, Begin):
                    skipping = message.final_lsn < position
                elif isinstance(message, Relation):
                    name = TableName(message.namespace, message.name)
                    there = {column.name for column in message.columns}
                    lacking[message.id] = name, sorted(young.get(name, set()) - there)
            elif not skipping:
                name, columns = lacking[struct.unpack_from("!I", data, 1)[0]]
                if columns:
                    found.setdefault(name, columns)
    return found


def _young(connection: psycopg.Connection, slot: str, wanted: Columns) -> dict[TableName, set[str]]:
    rows = [(name.schema, name.name, column) for name, columns in wanted.items() for column in columns]
    arrays = [[row[i] for row in rows] for i in range(3)]
    found: dict[TableName, set[str]] = {}
    for schema, name, column in connection.execute(statement("young_columns", "plan.sql"), (*arrays, slot)).fetchall():
        found.setdefault(TableName(schema, name), set()).add(column)
    return found

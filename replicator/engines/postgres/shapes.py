"""What tables look like, to tell that they have changed: their columns by number, for a column keeps its number under another
name, as a table keeps its identifier.

Promises: `look` and `seen` change nothing; `see` notes a shape for the next time, and columns that were renamed since.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import psycopg

from replicator.engines.postgres.sql import statement
from replicator.model.table import TableName


def _sql(name: str) -> str:
    return statement(name, "drift.sql")


@dataclass(frozen=True, slots=True)
class Shape:
    """`columns`: number -> name and type. `formerly`: names that columns have had -> their number."""

    id: int
    columns: Mapping[int, tuple[str, str]]
    formerly: Mapping[str, int] = field(default_factory=dict, compare=False)

    @property
    def names(self) -> dict[str, int]:
        return {name: number for number, (name, _) in self.columns.items()}

    @property
    def renamed(self) -> dict[str, str]:
        """Names that are not there any more -> what the column is called now."""
        return {old: self.columns[number][0] for old, number in self.formerly.items() if number in self.columns}


def look(connection: psycopg.Connection, names: Collection[TableName]) -> dict[TableName, Shape]:
    """Those that are there."""
    wanted = sorted(names)
    rows = connection.execute(_sql("shapes"), ([n.schema for n in wanted], [n.name for n in wanted])).fetchall()
    return {TableName(schema, name): Shape(number, _columns(columns)) for schema, name, number, columns in rows}


def seen(connection: psycopg.Connection, peer: str) -> dict[TableName, Shape]:
    """As they were when they were last looked at, for links to that node."""
    rows = connection.execute(_sql("seen"), (peer,)).fetchall()
    return {
        TableName(schema, name): Shape(number, _columns(columns), formerly) for schema, name, number, columns, formerly in rows
    }


def see(connection: psycopg.Connection, peer: str, shapes: Mapping[TableName, Shape]) -> None:
    for name, shape in shapes.items():
        columns = json.dumps([[number, *column] for number, column in shape.columns.items()])
        formerly = json.dumps(dict(shape.formerly))
        connection.execute(_sql("see"), (peer, name.schema, name.name, shape.id, columns, formerly))


def named_now(connection: psycopg.Connection, ids: Iterable[int]) -> dict[int, TableName]:
    """Tables by their identifiers; those that are gone are not among them."""
    rows = connection.execute(_sql("named_now"), (list(ids),)).fetchall()
    return {number: TableName(schema, name) for number, schema, name in rows}


def _columns(listed: Iterable[tuple[int, str, str]]) -> dict[int, tuple[str, str]]:
    return {number: (name, kind) for number, name, kind in listed}

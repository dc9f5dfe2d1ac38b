"""Tests of links as their YAML declares them: rows in, edits, rows out. mapping/cases.py builds these from files.

Every part keeps its place in the file, so that whatever fails can be shown to the line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from replicator.model.config import Node
from replicator.model.finding import Mark
from replicator.model.link import Link
from replicator.model.table import TableName


@dataclass(frozen=True, slots=True)
class Cell:
    """`key` (a column, or a word of a conflict) and what is given or expected. `text` is a value (None: NULL), for `sql` an
    expression; `not` expects anything but the value."""

    key: str
    kind: Literal["value", "sql", "not"]
    text: str | None
    mark: Mark
    key_mark: Mark

    def __str__(self) -> str:
        text = "null" if self.text is None else self.text
        return text if self.kind == "value" else f"{{{self.kind}: {text}}}"


@dataclass(frozen=True, slots=True)
class Row:
    cells: tuple[Cell, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Rows:
    """What is expected of a table or a log: these rows and no other, in any order. `more`: there may be others.
    `count`: how many, whatever is in them."""

    rows: tuple[Row, ...]
    mark: Mark
    more: bool = False
    count: int | None = None


@dataclass(frozen=True, slots=True)
class TableRows:
    node: str
    table: TableName
    expected: Rows
    mark: Mark

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.expected.rows


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction on one node: SQL, or rows to insert. No node: the replicator runs until it has nothing left to do.
    `place` gives the place in the file of a character of `sql`."""

    node: str | None
    mark: Mark
    sql: str | None = None
    rows: tuple[TableRows, ...] = ()
    place: Callable[[int], Mark] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Expected:
    tables: tuple[TableRows, ...]
    conflicts: Rows
    parked: Rows


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    mark: Mark
    given: tuple[TableRows, ...]
    steps: tuple[Step, ...]
    expected: Expected


@dataclass(frozen=True, slots=True)
class Suite:
    """One file of tests. `nodes`: node -> files with the SQL that makes its tables; `members`: the same nodes, as a
    configuration would declare them, in this order. `links`: those under test and those they refer to."""

    path: str
    mark: Mark
    nodes: dict[str, tuple[str, ...]]
    members: tuple[Node, ...]
    links: tuple[Link, ...]
    given: tuple[TableRows, ...]
    before: tuple[Step, ...]
    cases: tuple[Case, ...]

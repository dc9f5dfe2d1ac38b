"""Many rows at once, in transactions of a size that people's work has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, LiteralString, TypeVar

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]
Rows = Sequence[Sequence[object]]
Item = TypeVar("Item")

BATCH = 250  # rows of a transaction


def batches(items: Sequence[Item], size: int = BATCH) -> Iterator[Sequence[Item]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def copy(connection: Connection, statement: LiteralString, rows: Rows) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as writer:
        for row in rows:
            writer.write_row(row)


def copy_in_batches(connection: Connection, statement: LiteralString, rows: Rows) -> int:
    """The number of rows copied, each batch in a transaction of its own."""
    for batch in batches(rows):
        with connection.transaction():
            copy(connection, statement, batch)
    return len(rows)


def insert(connection: Connection, statement: LiteralString, rows: Rows) -> list[Any]:
    """What an INSERT of one row RETURNING a column gives, for each row; each batch in a transaction of its own."""
    made: list[Any] = []
    for batch in batches(rows):
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(statement, batch, returning=True)
            made += [row[0] for result in cursor.results() for row in result]
    return made


def column(connection: Connection, question: LiteralString, parameters: Sequence[object] = ()) -> list[Any]:
    return [row[0] for row in connection.execute(question, parameters)]

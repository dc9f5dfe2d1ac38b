"""Somebody's screen: one connection, and the few ways in which tests speak through it."""

from __future__ import annotations

from typing import Any

import psycopg

Row = tuple[Any, ...]


class Desk:
    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def do(self, sql: str, *params: Any) -> int:
        """The number of rows."""
        return self.connection.execute(sql, params or None).rowcount

    def rows(self, sql: str, *params: Any) -> list[Row]:
        return self.connection.execute(sql, params or None).fetchall()

    def values(self, sql: str, *params: Any) -> list[Any]:
        """The first column."""
        return [row[0] for row in self.rows(sql, *params)]

    def row(self, sql: str, *params: Any) -> Row | None:
        """The only one, or None; two are an error."""
        found = self.rows(sql, *params)
        assert len(found) < 2, found
        return found[0] if found else None

    def value(self, sql: str, *params: Any) -> Any:
        """Of the only row; None without one."""
        found = self.row(sql, *params)
        return found[0] if found else None

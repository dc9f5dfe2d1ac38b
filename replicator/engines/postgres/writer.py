"""A session that writes: COPY and SQL in a transaction that carries the replication origin of where it came from.

Source: PostgreSQL documentation, "Replication Progress Tracking" (origins) and "COPY" (text format).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import pq

from replicator.capture.messages import UNCHANGED, Value
from replicator.engines.postgres.connect import connect
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.sql import statement
from replicator.engines.postgres.together import Statement, Together
from replicator.errors import RunsElsewhere

CHUNK = 1 << 18  # bytes handed to COPY at once
LARGE = 4 * CHUNK  # bytes of a row that goes in pieces


class PostgresWriter:
    def __init__(self, node: str, dsn: str, origin: str | None, lock_timeout_ms: int, purpose: str) -> None:
        self.node = node
        self._connection = connect(node, dsn, purpose)
        self._together = Together(self._connection)
        self._ahead: list[Statement] = []  # what runs with the next statement
        with translated(node):
            self._connection.execute(f"SET lock_timeout = {lock_timeout_ms:d}")
            # What is staged is few beside what is there, and nobody has counted either: tables are asked by their indexes.
            # (`enable_seqscan = off` would do that, and before 18 drown all other differences between plans.)
            self._connection.execute("SET seq_page_cost = 20")
            self._connection.execute("SET random_page_cost = 1.1")
            # A large batch fits in memory, staged and projected; nothing of it is taken before it is needed.
            self._connection.execute("SET temp_buffers = '32MB'")
            self._connection.execute("SET work_mem = '16MB'")
            if origin is not None:
                self._take(origin)

    def _take(self, origin: str) -> None:
        """An origin is one session's at a time, and every writer between two nodes needs its own: so of several replicators
        one alone writes. It is free again when that session ends, however it ends."""
        with suppress(psycopg.errors.InvalidParameterValue):  # not every system can look
            # Killed in the middle of a long statement, we must not hold the origin until its end.
            self._connection.execute("SET client_connection_check_interval = '1s'")
        try:
            self._connection.execute("SELECT pg_replication_origin_session_setup(%s)", (origin,))
        except psycopg.errors.ObjectInUse as error:
            holder = self._holder(error.diag.message_primary or "")
            self._connection.close()
            raise RunsElsewhere(
                f"{self.node}: {holder}, has {origin}", "one replicator at a time runs a flow", node=self.node
            ) from error

    def _holder(self, message: str) -> str:
        pid = re.search(r"(\d+)\D*$", message)
        row = self._connection.execute(statement("holder", "status.sql"), (int(pid[1]) if pid else 0,)).fetchone()
        return row[0] if row else "another session"

    def begin(self, later: bool = False) -> None:
        (self.later if later else self.execute)("BEGIN")

    def commit(self, durable: bool = True) -> None:
        if not durable:
            self.later("SET LOCAL synchronous_commit = off")
        self.execute("COMMIT")

    def rollback(self) -> None:
        begun = all(statement.sql != "BEGIN" for statement in self._ahead)
        self._ahead.clear()
        if begun and not self._connection.closed:
            self.execute("ROLLBACK")

    def later(self, sql: str, params: Sequence[Value | str | int] = (), prepared: bool = False) -> None:
        self._ahead.append(Statement(sql, params, prepared))

    def _with_what_is_ahead(self, *last: Statement) -> pq.abc.PGresult:
        ahead, self._ahead = self._ahead, []
        return self._together.run([*ahead, *last])

    def _send_ahead(self) -> None:
        if self._ahead:
            with translated(self.node):
                self._with_what_is_ahead()

    def execute(self, sql: str, params: Sequence[Any] = (), prepared: bool = False) -> int:
        with translated(self.node):
            if prepared or self._ahead:
                return self._with_what_is_ahead(Statement(sql, params, prepared)).command_tuples or 0
            return self._connection.execute(sql, params or None, prepare=False).rowcount

    def query(self, sql: str, params: Sequence[Any] = (), prepared: bool = False) -> list[tuple[Any, ...]]:
        with translated(self.node):
            if prepared or self._ahead:
                return self._together.rows(self._with_what_is_ahead(Statement(sql, params, prepared)))
            return self._connection.execute(sql, params or None, prepare=False).fetchall()

    def load(self, sql: str, rows: Iterable[Sequence[Value | str | int]]) -> None:
        self.load_lines(sql, copy_pieces(rows))

    def unload(self, sql: str) -> Iterator[bytes]:
        self._send_ahead()
        with translated(self.node), self._connection.cursor() as cursor, cursor.copy(sql) as copy:
            while data := copy.read():
                yield bytes(data)

    def load_lines(self, sql: str, lines: Iterable[bytes]) -> None:
        self._send_ahead()
        with translated(self.node), self._connection.cursor() as cursor, cursor.copy(sql) as copy:
            buffer: list[bytes] = []
            size = 0
            for line in lines:
                buffer.append(line)
                size += len(line)
                if size > CHUNK:
                    copy.write(b"".join(buffer))
                    buffer.clear()
                    size = 0
            if buffer:
                copy.write(b"".join(buffer))

    def snapshot(self) -> str:
        return str(self.query("SELECT pg_current_snapshot()::text", prepared=True)[0][0])

    def close(self) -> None:
        self._connection.close()

    @property
    def connection(self) -> psycopg.Connection:
        self._send_ahead()
        return self._connection


def copy_pieces(rows: Iterable[Sequence[Value | str | int]]) -> Iterator[bytes]:
    """The lines of these rows; those of large rows in pieces, for they would be in memory several times."""
    for row in rows:
        if sum([len(v) for v in row if type(v) is bytes]) < LARGE:
            yield copy_line(row)
            continue
        for place, raw in enumerate(row):
            cell = _cell(raw)
            yield b"\t" if place else b""
            for start in range(0, len(cell), CHUNK):
                yield _escaped(cell[start : start + CHUNK], raw)
        yield b"\n"


def copy_line(row: Sequence[Value | str | int]) -> bytes:
    """One line of COPY's text format. NULL is \\N; an unchanged TOAST value is loaded as NULL, its field's bit is off."""
    cells = [v if type(v) is bytes else _cell(v) for v in row]
    line = b"\t".join(cells)
    # Escaping is rare: only where the joined line holds more special bytes than the separators and NULLs put there.
    if b"\n" in line or b"\r" in line or line.count(b"\t") != len(cells) - 1 or line.count(b"\\") != line.count(b"\\N") \
            or line.count(b"\\N") != sum(1 for c in row if c is None or c is UNCHANGED):  # fmt: skip
        line = b"\t".join(_escaped(cell, raw) for cell, raw in zip(cells, row, strict=True))
    return line + b"\n"


def _cell(value: Value | str | int) -> bytes:
    if value is None or value is UNCHANGED:
        return b"\\N"
    return value if isinstance(value, bytes) else str(value).encode()


def _escaped(cell: bytes, raw: Value | str | int) -> bytes:
    if raw is None or raw is UNCHANGED:
        return cell
    return cell.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")

"""A session that moves whole tables by COPY without looking into the lines.

Source: libpq, "Functions Associated with the COPY Command": PQgetCopyData gives one line a call.
"""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator
from contextlib import suppress

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.writer import CHUNK, PostgresWriter


class PostgresSession(PostgresWriter):
    def stream(self, sql: str) -> Iterator[bytes]:
        self._send_ahead()
        pgconn = self._connection.pgconn
        over = False
        try:
            with translated(self.node):
                _expect(pgconn, pgconn.exec_(sql.encode()), pq.ExecStatus.COPY_OUT)
                lines: list[bytes | memoryview] = []
                size = 0
                while True:
                    length, line = pgconn.get_copy_data(1)
                    if length > 0:
                        lines.append(line)
                        size += length
                        if size < CHUNK:
                            continue
                    elif length == 0:
                        select.select([pgconn.socket], [], [], 1.0)
                        pgconn.consume_input()
                        continue
                    if lines:
                        yield b"".join(lines)
                        lines, size = [], 0
                    if length < 0:
                        break
                over = True
                while (result := pgconn.get_result()) is not None:
                    _expect(pgconn, result, pq.ExecStatus.COMMAND_OK)
        finally:
            if not over and pgconn.status == pq.ConnStatus.OK:
                self._stop()

    def _stop(self) -> None:
        """What was being sent is cancelled, and read to its end."""
        pgconn = self._connection.pgconn
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=5.0)
            while pgconn.get_copy_data(0)[0] > 0:
                pass
        while pgconn.status == pq.ConnStatus.OK and pgconn.get_result() is not None:
            pass

    def load_blocks(self, sql: str, blocks: Iterable[bytes]) -> None:
        self._send_ahead()
        with translated(self.node), self._connection.cursor() as cursor, cursor.copy(sql.encode()) as copy:
            for block in blocks:
                copy.write(block)


def _expect(pgconn: pq.abc.PGconn, result: pq.abc.PGresult, status: pq.ExecStatus) -> None:
    if result.status != status:
        while pgconn.get_result() is not None:
            pass
        raise error_from_result(result)

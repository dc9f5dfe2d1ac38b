"""Several statements in one round trip (libpq's pipeline mode), for what is done over and over in small transactions.

Promises: they run in order, each only if those before it did; the first that fails is the one that is told of. Plans are kept
where that is asked for. A round trip costs several times what a small statement does, most of all on busy machines.

Source: libpq, "Pipeline Mode". psycopg's own pipeline saves the round trips, but not the time that its cursors take.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Any, NamedTuple

import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result

from replicator.capture.messages import UNCHANGED

FAILED = pq.ExecStatus.FATAL_ERROR
SYNC = pq.ExecStatus.PIPELINE_SYNC
STALE = "0A000"  # among others: cached plan must not change result type


class Statement(NamedTuple):
    """`params`: each for one `%s`, as text of whatever type is wanted there. `prepared`: worth keeping the plan."""

    sql: str
    params: Sequence[Any] = ()
    prepared: bool = False


class Together:
    """Plans are kept as long as the session. (psycopg drops what it has prepared itself after every rollback, and what others
    have with it: it prepares nothing in such a session.)"""

    def __init__(self, connection: psycopg.Connection) -> None:
        connection.prepare_threshold = None
        self._connection = connection
        self._pgconn = connection.pgconn
        self._names: dict[str, bytes] = {}  # prepared statements
        self._numbers = count()

    def run(self, statements: Sequence[Statement]) -> pq.abc.PGresult:
        """Gives the last one's result. Raises psycopg's error of the first that fails."""
        pgconn = self._pgconn
        if pgconn.status != pq.ConnStatus.OK:
            raise psycopg.OperationalError("the connection is closed")
        texts = [[self._raw(value) for value in statement.params] for statement in statements]
        new: list[str] = []
        pgconn.enter_pipeline_mode()
        for statement, params in zip(statements, texts, strict=True):
            self._send(statement.sql, params, statement.prepared, new)
        pgconn.pipeline_sync()
        while pgconn.flush() == 1:
            select.select([pgconn.socket], [pgconn.socket], [])
            pgconn.consume_input()
        results = self._results()
        pgconn.exit_pipeline_mode()
        for result in results:
            if result.status == FAILED:
                error = error_from_result(result, encoding=self._connection.info.encoding)
                # A table has been altered since: every plan may be of before.
                for sql in list(self._names) if error.sqlstate == STALE else new:
                    del self._names[sql]
                raise error
        return results[-1]

    def rows(self, result: pq.abc.PGresult) -> list[tuple[Any, ...]]:
        transformer = Transformer(self._connection)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)

    def _send(self, sql: str, params: Sequence[Buffer | None], prepared: bool, new: list[str]) -> None:
        if not prepared:
            self._pgconn.send_query_params(_numbered(sql) if params else sql.encode(), params)
            return
        name = self._names.get(sql)
        if name is None:
            name = self._names[sql] = b"together_%d" % next(self._numbers)
            new.append(sql)
            self._pgconn.send_prepare(name, _numbered(sql) if params else sql.encode())
        self._pgconn.send_query_prepared(name, params)

    def _raw(self, value: Any) -> Buffer | None:
        if value is None or value is UNCHANGED:
            return None
        if isinstance(value, bytes):
            return value
        if isinstance(value, str | int):
            return str(value).encode()
        return Transformer(self._connection).get_dumper(value, PyFormat.TEXT).dump(value)

    def _results(self) -> list[pq.abc.PGresult]:
        pgconn, found = self._pgconn, list[pq.abc.PGresult]()
        while True:
            while pgconn.is_busy():
                select.select([pgconn.socket], [], [])
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                if pgconn.status != pq.ConnStatus.OK:
                    raise psycopg.OperationalError("the connection was lost")
                continue
            if result.status == SYNC:
                return found
            found.append(result)


@cache
def _numbered(sql: str) -> bytes:
    """With $1, $2, ... for each %s, and every doubled % as one: as drivers that count parameters write it."""
    first, *rest = sql.split("%s")
    return "".join([first, *(f"${number}{part}" for number, part in enumerate(rest, 1))]).replace("%%", "%").encode()

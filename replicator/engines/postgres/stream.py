"""Reads a logical slot over START_REPLICATION and hands out batches of whole transactions.

Source: PostgreSQL documentation, "Streaming Replication Protocol" and "Logical Streaming
Replication Parameters". Promises: keepalives are answered; an idle slot is confirmed up to
the server's end of WAL, so nothing piles up; a batch starts as soon as whole transactions
are there, but while the source is known to be sending a backlog it is first filled.
"""

from __future__ import annotations

import re
import select
import struct
import time
from collections.abc import Collection

import psycopg
from psycopg import pq

from replicator.capture.assemble import Assembler
from replicator.capture.batch import Batch
from replicator.capture.decode import Decoder
from replicator.capture.messages import Commit, LogicalMessage
from replicator.engines.postgres.connect import connect, runner
from replicator.engines.postgres.errors import translated
from replicator.errors import NodeUnavailable, ProtocolError, ReplicatorError
from replicator.model import position

DATA = struct.Struct(">xQQq")  # 'w', start, end, server's clock
KEEPALIVE = struct.Struct(">xQqB")  # 'k', end of WAL, server's clock, reply wanted
STATUS = struct.Struct(">cQQQqB")  # 'r', written, flushed, applied, our clock, reply wanted
EPOCH = 946_684_800  # 2000-01-01 in Unix seconds
REPORT_SECONDS = 5.0  # well under wal_sender_timeout (60 s)
BEHIND_MICROSECONDS = 50_000  # older than this when sent: the source is working off a backlog
LINGER_SECONDS = 0.02  # how long a backlog may take to send more before we work on what is there
GATHER_SECONDS = 0.15  # and how long a batch is gathered so at most
LONGEST_SECONDS = 1.0  # a batch is closed after this even if the source never pauses
SILENCE_SECONDS = 60.0  # in the middle of a transaction: the connection is dead
BATCH_BYTES = 16_000_000
NO_MEMORY = re.compile("^(?!.*(ERROR|FATAL):).*(out of memory|cannot allocate memory)")  # libpq, not the server
XID = 0xFFFF_FFFF
DATA_LETTER = ord("w")
ROWS = b"IUD"


class PostgresStream:
    """One slot, being read. Not thread safe, but for `interrupt`."""

    def __init__(
        self, node: str, dsn: str, slot: str, publication: str, start: int, assembler: Assembler, relay: bool = False
    ) -> None:
        """`relay`: what came to the node from elsewhere is wanted too; the assembler knows from where."""
        self._node = node
        self._assembler = assembler
        self._decoder = Decoder()
        self._position = start
        self._confirmed = start
        self._reported = time.monotonic()
        self._behind = False
        self._in_parts = False
        self._interrupted = False
        self._wal_end = start
        self._connection = connect(node, dsn, f"{runner()} reads {slot}", replication=True)
        options = ["proto_version '1'", f"publication_names '\"{publication}\"'", "messages 'true'"]
        if self._connection.info.server_version >= 160000 and not relay:
            options.append("origin 'none'")
        command = f'START_REPLICATION SLOT "{slot}" LOGICAL {position.text(start)} ({", ".join(options)})'
        with translated(node):
            self._connection.execute(command)
        self._pgconn = self._connection.pgconn

    @property
    def position(self) -> int:
        return self._position

    def handed(self) -> frozenset[int]:
        return frozenset(self._assembler.recent)

    def hidden(self, snapshot: str, handed: Collection[int]) -> bool:
        _, end, running = snapshot.split(":")
        limit = int(end) & XID
        hidden = {int(xid) & XID for xid in running.split(",") if xid}
        # Transaction numbers go round: whichever lies less than half way behind the limit came before it.
        return any(xid in hidden or (limit - xid - 1) & XID > XID >> 1 for xid in handed)

    def fileno(self) -> int:
        return self._pgconn.socket

    def read(self, limit: int) -> Batch | None:
        assembler = self._assembler
        started = last_data = time.monotonic()
        while not self._enough(limit):
            if self._interrupted:
                return None
            if self._take_in(limit):
                if assembler.ready and time.monotonic() - started > LONGEST_SECONDS:
                    break  # users who never pause must not make those before them wait
                last_data = 0.0
                continue
            now = time.monotonic()
            last_data = last_data or now
            if assembler.in_transaction:
                if now - last_data > SILENCE_SECONDS:
                    message = f"{self._node}: the server stopped in the middle of a transaction"
                    raise NodeUnavailable(message, "reconnecting", node=self._node)
            elif not (self._behind and assembler.rows and now - last_data < LINGER_SECONDS and now - started < GATHER_SECONDS):
                break
            # The server is in the middle of sending: it costs less to wait than to apply a few rows.
            select.select([self.fileno()], [], [], 0.01)
            self._report_if_due()
        self._report_if_due()
        if assembler.ready or self._large(limit):
            return self._taken()
        if not assembler.in_transaction:
            self._position = max(self._position, self._wal_end)
        return None

    def confirm(self, upto: int) -> None:
        if upto > self._confirmed:
            self._confirmed = upto
            self._report()

    def alive(self) -> None:
        self._report_if_due()

    def ask(self) -> None:
        self._report(wanted=True)

    def interrupt(self) -> None:
        """`read`, in whichever thread, comes back soon with nothing."""
        self._interrupted = True

    def close(self) -> None:
        self._connection.close()

    def _enough(self, limit: int) -> bool:
        """A batch ends with a transaction; only one that is several batches large is handed out in parts, and its last
        part ends with it."""
        assembler = self._assembler
        if assembler.in_transaction:
            return self._large(limit)
        return assembler.ready and (self._in_parts or assembler.rows >= limit or assembler.bytes >= BATCH_BYTES)

    def _large(self, limit: int) -> bool:
        return self._assembler.rows >= 2 * limit or self._assembler.bytes >= 2 * BATCH_BYTES

    def _taken(self) -> Batch:
        try:
            batch = self._assembler.take()
        except MemoryError:
            raise self._too_large() from None
        self._in_parts = not batch.complete
        if batch.complete:
            self._position = max(self._position, batch.end)
        return batch

    def _take_in(self, limit: int) -> bool:
        """What has come, up to a batch. False when nothing is there right now."""
        payload = self._next()
        if payload is None:
            return False
        self._receive(payload)
        assembler, get, take_row = self._assembler, self._pgconn.get_copy_data, self._assembler.take_row
        if assembler.ready and self._enough(limit):
            return True  # that was its commit
        room = 2 * limit - assembler.rows
        while room > 0:
            try:
                size, data = get(1)
            except psycopg.Error:
                break  # it is said when it is asked for the next time
            if size <= 0:
                break
            try:
                payload = bytes(data)
            except MemoryError:
                raise self._too_large(data) from None
            del data  # large rows are not held twice
            room -= 1
            if payload[0] == DATA_LETTER and payload[25] in ROWS and take_row(int.from_bytes(payload[26:30]), payload):
                continue
            self._receive(payload)
            if assembler.ready and (room & 63 == 0 or self._enough(limit)):
                break  # now and then whoever reads looks at the clock
        return True

    def _next(self) -> bytes | None:
        """One CopyData message, or None when nothing is there right now."""
        size, data = self._copy_data()
        if size == 0:
            with translated(self._node):
                self._consume()
            size, data = self._copy_data()
        if size > 0:
            try:
                return bytes(data)
            except MemoryError:
                raise self._too_large(data) from None
        if size == -1:
            raise NodeUnavailable(f"{self._node}: the server ended the replication stream", "reconnecting", node=self._node)
        return None

    def _copy_data(self) -> tuple[int, memoryview]:
        try:
            return self._pgconn.get_copy_data(1)
        except psycopg.Error as error:
            said = _first_line(self._pgconn)
            if NO_MEMORY.search(said):
                raise self._too_large() from error
            message = f"{self._node}: replication stream broke: {said}"
            raise NodeUnavailable(message, "reconnecting", node=self._node) from error

    def _too_large(self, row: memoryview | None = None) -> ReplicatorError:
        table = self._assembler.table(int.from_bytes(row[26:30])) if row is not None and row[25] in ROWS else None
        what = f"a row of {table}, {len(row) / 1e6:,.0f} MB as it is sent," if row is not None and table else "a row"
        where = f"in the transaction that commits at {position.text(self._assembler.commits_at)}"
        hint = (
            "let it have more (three times the row, beside 200 MB), or make the value shorter or leave its column out of the link"
        )
        return ReplicatorError(f"{self._node}: {what} {where} is more than this process has memory for", hint, node=self._node)

    def _consume(self) -> None:
        try:
            self._pgconn.consume_input()
        except psycopg.Error as error:
            if NO_MEMORY.search(str(error)):
                raise self._too_large() from error
            raise

    def _receive(self, payload: bytes) -> None:
        kind = payload[:1]
        if kind == b"w":
            if payload[25] in ROWS and self._assembler.take_row(int.from_bytes(payload[26:30]), payload):
                return
            message = self._decoder.decode(payload[25:])
            self._assembler.receive(message, len(payload))
            if type(message) is Commit:
                sent = DATA.unpack_from(payload)[2]
                self._behind = sent - self._assembler.commit_time > BEHIND_MICROSECONDS
            elif type(message) is LogicalMessage and not message.transactional:
                self._wal_end = max(self._wal_end, message.lsn)  # what it says belongs to this position
        elif kind == b"k":
            end, _, wanted = KEEPALIVE.unpack(payload)
            self._wal_end = max(self._wal_end, end)
            if not self._assembler.in_transaction and not self._assembler.rows and not self._assembler.ready:
                self._position = max(self._position, end)
            if wanted:
                self._report()
        else:
            raise ProtocolError(f"{self._node}: unknown replication message {kind!r}")

    def _report_if_due(self) -> None:
        if time.monotonic() - self._reported > REPORT_SECONDS:
            self._report()

    def _report(self, wanted: bool = False) -> None:
        self._reported = time.monotonic()
        now = int((time.time() - EPOCH) * 1_000_000)
        confirmed = self._confirmed
        with translated(self._node):
            self._pgconn.put_copy_data(STATUS.pack(b"r", max(self._position, confirmed), confirmed, confirmed, now, wanted))
            while self._pgconn.flush() == 1:
                select.select([], [self.fileno()], [], 1.0)


def _first_line(pgconn: pq.abc.PGconn) -> str:
    text = pgconn.error_message.decode(errors="replace").strip()
    return text.splitlines()[0] if text else "connection lost"

"""Bytes of pgoutput to messages, without any input or output of its own.

Any input yields a message or one ProtocolError; nothing else escapes.

The grammar, after the PostgreSQL documentation, chapter "Logical Replication Message Formats",
protocol versions 1 to 4. A payload is the body of one XLogData message, past its 25-byte header
(`w` and three Int64). Numbers are big-endian; uN unsigned, iN signed, N bits; `str` is UTF-8 ended
by a zero byte (the connection's client_encoding must be UTF8); `[xid]` is a u32 that is there
only in a streamed block, between StreamStart and StreamStop.

    B  Begin           final_lsn u64, commit_time i64, xid u32
    C  Commit          flags u8 = 0, commit_lsn u64, end_lsn u64, commit_time i64
    O  Origin          commit_lsn u64, name str
    R  Relation        [xid], id u32, namespace str, name str, identity u8 in d n f i, count i16,
                       count times: flags u8 (1 = key), name str, type_oid u32, type_modifier i32
    Y  Type            [xid], id u32, namespace str, name str
    I  Insert          [xid], relation_id u32, N new
    U  Update          [xid], relation_id u32, (K old | O old)?, N new
    D  Delete          [xid], relation_id u32, (K old | O old)
    T  Truncate        [xid], count i32, options u8 (1 = cascade, 2 = restart identity), count times u32
    M  LogicalMessage  [xid], flags u8 (1 = transactional), lsn u64, prefix str, length i32, content
    S  StreamStart     xid u32, first_segment u8 (0 or 1)
    E  StreamStop
    c  StreamCommit    xid u32, flags u8 = 0, commit_lsn u64, end_lsn u64, commit_time i64
    A  StreamAbort     xid u32, subxid u32, (abort_lsn u64, abort_time i64)?
    b P K r p          two-phase decoding, which is never asked for: refused

    new, old           count i16, count times a status byte:
                       n NULL | u unchanged TOAST | t, b length i32, bytes in text, binary format

B, C, S, c and A come only outside a streamed block, E only inside one. StreamAbort carries its last
two fields at version >= 4 with `streaming 'parallel'`; the payload does not say so, hence the
remaining length decides (0 or 16 bytes). Flag bits with no meaning above are refused rather than
ignored: dropping what a future server says about a change would be silent loss.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from replicator.capture.messages import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    OldKind,
    Origin,
    Relation,
    RelationColumn,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
    Type,
    Update,
    Value,
)
from replicator.errors import ProtocolError

_HINT = (
    "reconnect: the stream resumes at the last confirmed position. If the same message fails again, "
    "the server speaks a protocol this release does not know; report its version"
)
_TWO_PHASE_HINT = "drop the slot's two_phase option: recreate the slot with two_phase = false"

_U8 = struct.Struct(">B")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_I16 = struct.Struct(">h")
_I32 = struct.Struct(">i")
_I64 = struct.Struct(">q")
_begun = struct.Struct(">BQqI")
_committed = struct.Struct(">BBQQq")


class Decoder:
    """Turns payloads of one replication connection into messages, in the order they came.

    The only state is `streaming`: whether the last StreamStart is still open. It is for reading.
    A payload that is refused leaves it as it was. A new connection needs a new Decoder.
    """

    __slots__ = ("streaming",)

    def __init__(self) -> None:
        self.streaming = False

    def decode(self, payload: bytes) -> Message:
        """The message in `payload`, the body of one XLogData message past its 25-byte header.

        Raises ProtocolError, which names message, field and offset but never a value.
        """
        letter = payload[:1]
        if letter in _ROW_NAMES:
            try:
                return _row(payload, self.streaming)
            except (_Malformed, IndexError, struct.error):
                raise _row_fault(payload, self.streaming) from None

        # Every transaction has these two.
        if letter == b"B" and len(payload) == _begun.size and not self.streaming:
            return Begin(*_begun.unpack(payload)[1:])
        if letter == b"C" and len(payload) == _committed.size and not self.streaming and not payload[1]:
            return Commit(*_committed.unpack(payload)[2:])
        entry = _READERS.get(letter)
        if entry is None:
            raise _unknown(payload)
        name, read, inside = entry
        if inside is not None and inside is not self.streaming:
            raise ProtocolError(f"{name} came {'outside' if inside else 'inside'} a streamed block", _HINT)
        reader = _Reader(payload, name, self.streaming)
        message = read(reader)
        reader.finish()
        if letter == b"S":
            self.streaming = True
        elif letter == b"E":
            self.streaming = False
        return message


# Rows: nearly all of a stream, hence read by code that only asks whether all is well. If it is
# not, `_row_fault` walks the same bytes again, slowly, to say where.

_ROW_NAMES = {b"I": "Insert", b"U": "Update", b"D": "Delete"}
_INSERT, _UPDATE, _DELETE = b"IUD"
_NEW, _KEY, _OLD = b"NKO"
_NULL, _UNCHANGED = b"nu"
_SIZED = b"tb"

_row_head = struct.Struct(">BIB").unpack_from
_streamed_row_head = struct.Struct(">BIIB").unpack_from
_u16_at = struct.Struct(">H").unpack_from
_u32_at = _U32.unpack_from


class _Malformed(Exception):
    """A row change that is not one, for `_row_fault` to explain."""


def _row(payload: bytes, streamed: bool) -> Insert | Update | Delete:
    """The row change in `payload`; _Malformed, IndexError or struct.error if it is not exactly one."""
    xid: int | None
    if streamed:
        letter, xid, relation_id, mark = _streamed_row_head(payload)
        at = 10
    else:
        letter, relation_id, mark = _row_head(payload)
        xid = None
        at = 6

    old_kind: OldKind | None = None
    old: list[Value] | None = None
    if mark != _NEW and letter != _INSERT:
        if mark == _KEY:
            old_kind = "K"
        elif mark == _OLD:
            old_kind = "O"
        else:
            raise _Malformed
        old, at = _tuple(payload, at)
        if letter == _DELETE:
            if at != len(payload):
                raise _Malformed
            return Delete(xid, relation_id, old_kind, old)
        mark = payload[at]
        at += 1
    if mark != _NEW or letter == _DELETE:
        raise _Malformed
    new, at = _tuple(payload, at)
    if at != len(payload):
        raise _Malformed
    if letter == _INSERT:
        return Insert(xid, relation_id, new)
    return Update(xid, relation_id, old_kind, old, new)


def _tuple(payload: bytes, at: int) -> tuple[list[Value], int]:
    """The tuple at offset `at` and the offset past it, which is past the payload if the tuple is cut.

    A slice past the end is silently short. That is sound here: `at` only grows, so once it is past the end
    the next read raises or the caller's comparison with len(payload) fails. Lengths are read unsigned: a
    negative one is a length over 2 GiB, which no payload has (CopyData counts its bytes in an i32).
    """
    (count,) = _u16_at(payload, at)
    if count > 0x7FFF:
        raise _Malformed
    at += 2
    values: list[Value] = []
    append = values.append
    for _ in range(count):
        status = payload[at]
        at += 1
        if status in _SIZED:
            (length,) = _u32_at(payload, at)
            at += 4
            append(payload[at : at + length])
            at += length
        elif status == _NULL:
            append(None)
        elif status == _UNCHANGED:
            append(UNCHANGED)
        else:
            raise _Malformed
    return values, at


def _row_fault(payload: bytes, streamed: bool) -> ProtocolError:
    """Says what is wrong with a row change that `_row` refused."""
    name = _ROW_NAMES[payload[:1]]
    reader = _Reader(payload, name, streamed)
    try:
        reader.xid()
        reader.number(_U32, "relation_id")
        marks = {"Insert": b"N", "Update": b"NKO", "Delete": b"KO"}[name]
        mark = reader.one_of(marks, "mark")
        if mark != _NEW:
            reader.skip_tuple("old")
            if name == "Update":
                mark = reader.one_of(b"N", "mark")
        if mark == _NEW:
            reader.skip_tuple("new")
        reader.finish()
    except ProtocolError as fault:
        return fault
    return ProtocolError(f"{name} cannot be read", _HINT)


class _Reader:
    """A position in a payload that moves on by one checked field at a time."""

    __slots__ = ("_at", "_message", "_payload", "_streamed")

    def __init__(self, payload: bytes, message: str, streamed: bool) -> None:
        self._payload = payload
        self._message = message
        self._streamed = streamed
        self._at = 1

    def fault(self, field: str, what: str) -> ProtocolError:
        return ProtocolError(f"{self._message}.{field} at offset {self._at}: {what}", _HINT)

    def left(self) -> int:
        return len(self._payload) - self._at

    def finish(self) -> None:
        if self.left():
            raise ProtocolError(f"{self._message} ends at offset {self._at}, yet {self.left()} bytes follow", _HINT)

    def number(self, layout: struct.Struct, field: str) -> int:
        if self.left() < layout.size:
            raise self.fault(field, f"{layout.size} bytes expected, {self.left()} left")
        value: int
        (value,) = layout.unpack_from(self._payload, self._at)
        self._at += layout.size
        return value

    def xid(self) -> int | None:
        return self.number(_U32, "xid") if self._streamed else None

    def count(self, layout: struct.Struct, field: str) -> int:
        """A number of things or bytes."""
        value = self.number(layout, field)
        if value < 0:
            self._at -= layout.size
            raise self.fault(field, "negative")
        return value

    def one_of(self, allowed: bytes, field: str) -> int:
        """A byte that must be one of `allowed`."""
        value = self.number(_U8, field)
        if value not in allowed:
            self._at -= 1
            raise self.fault(field, "a byte with no meaning here")
        return value

    def string(self, field: str) -> str:
        end = self._payload.find(0, self._at)
        if end < 0:
            raise self.fault(field, "string without end")
        try:
            text = self._payload[self._at : end].decode()
        except UnicodeDecodeError:
            # `from None`: a printed cause would show bytes.
            raise self.fault(field, "not UTF-8; the connection's client_encoding must be UTF8") from None
        self._at = end + 1
        return text

    def namespace(self) -> str:
        return self.string("namespace") or "pg_catalog"

    def data(self, length: int, field: str) -> bytes:
        if self.left() < length:
            raise self.fault(field, f"longer than the {self.left()} bytes left")
        start = self._at
        self._at += length
        return self._payload[start : self._at]

    def skip_tuple(self, field: str) -> None:
        for index in range(self.count(_I16, f"{field}.count")):
            column = f"{field}[{index}]"
            if self.one_of(b"nutb", f"{column}.status") in b"tb":
                self.data(self.count(_I32, f"{column}.length"), column)


def _begin(reader: _Reader) -> Begin:
    return Begin(reader.number(_U64, "final_lsn"), reader.number(_I64, "commit_time"), reader.number(_U32, "xid"))


def _commit(reader: _Reader) -> Commit:
    reader.one_of(b"\0", "flags")
    return Commit(reader.number(_U64, "commit_lsn"), reader.number(_U64, "end_lsn"), reader.number(_I64, "commit_time"))


def _origin(reader: _Reader) -> Origin:
    return Origin(reader.number(_U64, "commit_lsn"), reader.string("name"))


def _relation(reader: _Reader) -> Relation:
    xid = reader.xid()
    oid = reader.number(_U32, "id")
    namespace = reader.namespace()
    name = reader.string("name")
    identity = chr(reader.one_of(b"dnfi", "identity"))
    columns = []
    for index in range(reader.count(_I16, "columns.count")):
        field = f"columns[{index}]"
        key = reader.one_of(b"\0\1", f"{field}.flags") == 1
        columns.append(
            RelationColumn(
                reader.string(f"{field}.name"),
                key,
                reader.number(_U32, f"{field}.type_oid"),
                reader.number(_I32, f"{field}.type_modifier"),
            )
        )
    return Relation(xid, oid, namespace, name, identity, tuple(columns))


def _type(reader: _Reader) -> Type:
    return Type(reader.xid(), reader.number(_U32, "id"), reader.namespace(), reader.string("name"))


def _truncate(reader: _Reader) -> Truncate:
    xid = reader.xid()
    count = reader.count(_I32, "relation_ids.count")
    options = reader.one_of(b"\0\1\2\3", "options")
    oids = reader.data(4 * count, "relation_ids")
    return Truncate(xid, struct.unpack(f">{count}I", oids), bool(options & 1), bool(options & 2))


def _logical_message(reader: _Reader) -> LogicalMessage:
    return LogicalMessage(
        reader.xid(),
        reader.one_of(b"\0\1", "flags") == 1,
        reader.number(_U64, "lsn"),
        reader.string("prefix"),
        reader.data(reader.count(_I32, "content.length"), "content"),
    )


def _stream_start(reader: _Reader) -> StreamStart:
    return StreamStart(reader.number(_U32, "xid"), reader.one_of(b"\0\1", "first_segment") == 1)


def _stream_stop(_: _Reader) -> StreamStop:
    return StreamStop()


def _stream_commit(reader: _Reader) -> StreamCommit:
    xid = reader.number(_U32, "xid")
    return StreamCommit(xid, *_commit(reader))


def _stream_abort(reader: _Reader) -> StreamAbort:
    xid = reader.number(_U32, "xid")
    subxid = reader.number(_U32, "subxid")
    if not reader.left():
        return StreamAbort(xid, subxid, None, None)
    return StreamAbort(xid, subxid, reader.number(_U64, "abort_lsn"), reader.number(_I64, "abort_time"))


# Letter: the message's name, what reads it, and whether it must come inside (True) or
# outside (False) a streamed block, None meaning both.
_READERS: dict[bytes, tuple[str, Callable[[_Reader], Message], bool | None]] = {
    b"B": ("Begin", _begin, False),
    b"C": ("Commit", _commit, False),
    b"O": ("Origin", _origin, None),
    b"R": ("Relation", _relation, None),
    b"Y": ("Type", _type, None),
    b"T": ("Truncate", _truncate, None),
    b"M": ("LogicalMessage", _logical_message, None),
    b"S": ("StreamStart", _stream_start, False),
    b"E": ("StreamStop", _stream_stop, True),
    b"c": ("StreamCommit", _stream_commit, False),
    b"A": ("StreamAbort", _stream_abort, False),
}

_TWO_PHASE = {
    b"b": "BeginPrepare",
    b"P": "Prepare",
    b"K": "CommitPrepared",
    b"r": "RollbackPrepared",
    b"p": "StreamPrepare",
}


def _unknown(payload: bytes) -> ProtocolError:
    """Says why a payload whose first byte opens no message of ours is refused."""
    if not payload:
        return ProtocolError("message letter at offset 0: the payload is empty", _HINT)
    name = _TWO_PHASE.get(payload[:1])
    if name is None:
        return ProtocolError(f"message letter at offset 0: 0x{payload[0]:02x} opens no known message", _HINT)
    return ProtocolError(f"{name} is of two-phase decoding, which was not asked for", _TWO_PHASE_HINT)

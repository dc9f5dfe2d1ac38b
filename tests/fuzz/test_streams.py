"""A replication stream that is damaged anywhere gives batches or a ReplicatorError that says what it is; never anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.capture import assemble
from replicator.capture.assemble import Assembler
from replicator.capture.clock import STEP_PREFIX, Clock
from replicator.capture.decode import Decoder
from replicator.capture.feed import Feed
from replicator.capture.messages import LogicalMessage, Relation
from replicator.engines.postgres.stream import ROWS
from replicator.errors import ProtocolError, StructureChanged
from replicator.model.table import TableName
from tests.capture.test_decode import SCENARIOS, STREAMED
from tests.fuzz.examples import examples

HEADER = b"w" + bytes(24)  # of a CopyData message: the decoder's payload follows
STREAMS = [
    [payload for payload, _ in scenario.lines] for scenario in SCENARIOS if scenario not in STREAMED
]  # we never ask for those


def feeds_of(stream: list[bytes]) -> dict[TableName, list[Feed]]:
    """A link for each table, and a second one that compares before and after where there is a before."""
    found: dict[TableName, list[Feed]] = {}
    decoder = Decoder()
    for payload in stream:
        message = decoder.decode(payload)
        if isinstance(message, Relation):
            table, full = TableName(message.namespace, message.name), message.identity == "f"
            keys = [column.name for column in message.columns if column.key][: 1 if full else None]
            columns = (*keys, *(column.name for column in message.columns[::-1] if column.name not in keys))
            if not keys:
                continue  # no link can have it
            reads = tuple(frozenset({place}) for place in range(len(columns)))
            found[table] = [Feed(f"{table}", table, columns, len(keys), reads, False)]  # alone and plain: taken in bulk
            if full:
                found[table].append(Feed(f"{table} again", table, columns, len(keys), reads, True))
    return found


FEEDS = [feeds_of(stream) for stream in STREAMS]
EDITS = st.tuples(
    st.sampled_from(["drop", "double", "swap", "flip", "set", "cut", "stretch"]),
    st.integers(0, 1 << 30),
    st.integers(0, 1 << 30),
    st.integers(0, 255),
)


def damaged(stream: list[bytes], edits: list[tuple[str, int, int, int]]) -> list[bytes]:
    """Whole messages are dropped, doubled and swapped; bytes of others are changed."""
    messages = list(stream)
    for kind, where, place, byte in edits:
        if not messages:
            break
        number = where % len(messages)
        message = bytearray(messages[number])
        at = place % len(message) if message else 0
        if kind == "drop":
            del messages[number]
        elif kind == "double":
            messages.insert(place % len(messages), messages[number])
        elif kind == "swap":
            other = place % len(messages)
            messages[number], messages[other] = messages[other], messages[number]
        elif message:
            if kind == "flip":
                message[at] ^= 1 << byte % 8
            elif kind == "set":
                message[at] = byte
            elif kind == "cut":
                del message[at : at + byte]
            else:
                message[at:at] = bytes([byte]) * (place % 9)
            messages[number] = bytes(message)
    return messages


@examples(400)
@given(st.integers(0, len(STREAMS) - 1), st.lists(EDITS, max_size=6), st.integers(1, 50))
def test_a_damaged_stream_gives_batches_or_a_fault(
    monkeypatch: pytest.MonkeyPatch, number: int, edits: list[tuple[str, int, int, int]], limit: int
) -> None:
    assembler, decoder = Assembler(FEEDS[number], Clock(1), frozenset({"ours"}), 0), Decoder()
    monkeypatch.setattr(assemble, "LEAST", 2)  # blocks of as few rows as there are
    try:
        for payload in damaged(STREAMS[number], edits):
            message = HEADER + payload
            if payload and payload[0] in ROWS and assembler.take_row(int.from_bytes(message[26:30]), message):
                continue
            assembler.receive(decoder.decode(payload), len(payload))
            if assembler.ready and assembler.rows >= limit:
                take(assembler)
        if assembler.ready:
            take(assembler)
    except (ProtocolError, StructureChanged) as fault:
        assert fault.message
        assert edits, f"what a server sent is not damaged: {fault}"


def take(assembler: Assembler) -> None:
    batch = assembler.take()
    for changes in (*batch.links.values(), *batch.blocks.values()):
        rows = changes.rows if hasattr(changes, "rows") else changes
        assert all(row.key is not None for row in rows)


@pytest.mark.parametrize("content", [b"", b"abc", b"-1", b"1.5", b"\xff", b"12"])
def test_anybody_may_say_anything_under_our_prefix(content: bytes) -> None:
    """pg_logical_emit_message is open to all users: a word of theirs must not end the flow."""
    assembler = Assembler({}, Clock(1), frozenset(), 0)
    assembler.receive(LogicalMessage(None, False, 1, STEP_PREFIX, content), 0)

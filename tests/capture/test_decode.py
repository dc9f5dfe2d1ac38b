"""The pgoutput decoder against bytes of real servers, cut bytes, bent bytes and made-up bytes.

golden/*.jsonl hold payloads captured by make_golden.py (which documents the format) together with
facts that SQL, not the decoder, gave about the same transactions.
"""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.capture.decode import Decoder
from replicator.capture.messages import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
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

IN_STREAM = (Insert, Update, Delete, Truncate, Relation, Type, LogicalMessage)


@dataclass
class Scenario:
    """One captured stream: `lines` are (payload, recorded repr) in order."""

    name: str
    options: dict[str, str]
    facts: dict[str, Any]
    lines: list[tuple[bytes, str]] = field(default_factory=list)

    def messages(self) -> list[Message]:
        decoder = Decoder()
        return [decoder.decode(payload) for payload, _ in self.lines]


def load() -> list[Scenario]:
    found: list[Scenario] = []
    for path in sorted((Path(__file__).parent / "golden").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if "facts" in entry:
                name = f"{path.stem} {entry['scenario']}"
                found.append(Scenario(name, entry["options"], entry["facts"]))
            else:
                found[-1].lines.append((bytes.fromhex(entry["hex"]), entry["repr"]))
    return found


SCENARIOS = load()
STREAMED = [each for each in SCENARIOS if "streamed" in each.name]


def of(*words: str) -> list[Scenario]:
    return [each for each in SCENARIOS if any(word in each.name for word in words)]


def scenarios(chosen: list[Scenario]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("scenario", chosen, ids=[each.name for each in chosen])


def fresh(streaming: bool) -> Decoder:
    """A decoder outside or inside a streamed block."""
    decoder = Decoder()
    if streaming:
        decoder.decode(b"S\0\0\0\7\1")
    return decoder


def payloads() -> list[tuple[bool, bytes]]:
    """Every golden payload once, with whether it came inside a streamed block."""
    found: dict[tuple[bool, bytes], None] = {}
    for scenario in SCENARIOS:
        decoder = Decoder()
        for payload, _ in scenario.lines:
            found[decoder.streaming, payload] = None
            decoder.decode(payload)
    return list(found)


PAYLOADS = payloads()


# --- What the servers sent, against what SQL said ---------------------------------------------


def test_the_golden_files_cover_every_message_of_every_version() -> None:
    assert {each.name.split()[0] for each in SCENARIOS} == {"pg15", "pg18"}
    for server, versions in (("pg15", "123"), ("pg18", "1234")):
        mine = [each for each in SCENARIOS if each.name.startswith(server)]
        assert {each.options["proto_version"] for each in mine} == set(versions)
        seen = {type(message) for each in mine for message in each.messages()}
        assert seen == set(get_args(Message))
    assert {each.options.get("streaming") for each in STREAMED} == {"on", "parallel"}


@scenarios(SCENARIOS)
def test_payloads_decode_as_recorded(scenario: Scenario) -> None:
    assert [repr(each) for each in scenario.messages()] == [recorded for _, recorded in scenario.lines]


@scenarios(SCENARIOS)
def test_relations_and_types_are_those_of_the_catalog(scenario: Scenario) -> None:
    first: dict[str, Relation] = {}
    types: dict[str, list[str]] = {}
    for message in scenario.messages():
        if isinstance(message, Relation):
            first.setdefault(f"{message.namespace}.{message.name}", message)
        elif isinstance(message, Type):
            types[str(message.id)] = [message.namespace, message.name]
    assert {
        name: {"oid": each.id, "identity": each.identity, "columns": [list(column) for column in each.columns]}
        for name, each in first.items()
    } == scenario.facts["relations"]
    assert types == scenario.facts["types"]


def story(messages: list[Message]) -> list[str]:
    """The changes in the words of make_golden.py."""
    names: dict[int, str] = {}
    told = []
    for message in messages:
        match message:
            case Relation(id=oid, name=name):
                names[oid] = name
            case Insert(relation_id=oid):
                told.append(f"insert {names[oid]}")
            case Update(relation_id=oid, old_kind=kind, new=new):
                told.append(f"update {names[oid]} {kind or '-'}" + (" unchanged" if UNCHANGED in new else ""))
            case Delete(relation_id=oid, old_kind=kind):
                told.append(f"delete {names[oid]} {kind}")
            case Truncate(relation_ids=oids, cascade=cascade, restart_identity=restart):
                flags = f"{'cascade' if cascade else '-'} {'restart' if restart else '-'}"
                told.append(f"truncate {flags} {' '.join(sorted(names[oid] for oid in oids))}")
            case LogicalMessage(prefix=prefix):
                told.append(f"message {prefix}")
    return told


@scenarios([each for each in SCENARIOS if each not in STREAMED])
def test_the_changes_are_those_the_sql_made(scenario: Scenario) -> None:
    assert story(scenario.messages()) == scenario.facts["story"]


class Replay:
    """Applies messages to tables of its own, as a subscriber would. `committed` grows by one per commit."""

    def __init__(self, names: list[str], binary: bool) -> None:
        self.binary = binary
        self.relations: dict[int, Relation] = {}
        self.rows: dict[str, list[list[Value]]] = {name: [] for name in names}
        self.streams: dict[int, list[Insert | Update | Delete | Truncate]] = defaultdict(list)
        self.block: int | None = None
        self.committed: list[tuple[Begin | StreamCommit, Commit | StreamCommit, dict[str, list[Any]]]] = []
        self.begin: Begin | None = None

    def feed(self, message: Message) -> None:
        match message:
            case Relation(id=oid):
                self.relations[oid] = message
            case Begin():
                self.begin = message
            case Commit():
                assert self.begin is not None
                self.commit(self.begin, message)
            case StreamStart(xid=xid):
                self.block = xid
            case StreamStop():
                self.block = None
            case StreamAbort(xid=xid, subxid=subxid):
                self.streams[xid] = [each for each in self.streams[xid] if subxid not in (xid, each.xid)]
            case StreamCommit(xid=xid):
                for change in self.streams.pop(xid):
                    self.apply(change)
                self.commit(message, message)
            case Insert() | Update() | Delete() | Truncate():
                assert (message.xid is None) == (self.block is None)
                if self.block is None:
                    self.apply(message)
                else:
                    self.streams[self.block].append(message)

    def apply(self, change: Insert | Update | Delete | Truncate) -> None:
        if isinstance(change, Truncate):
            for oid in change.relation_ids:
                self.table(oid).clear()
            return
        table = self.table(change.relation_id)
        if isinstance(change, Insert):
            table.append(change.new)
            return
        keys = [column.key for column in self.relations[change.relation_id].columns]
        old = change.old
        if old is None:
            assert isinstance(change, Update)
            old = change.new
        elif change.old_kind == "K":
            assert all(key or value is None for key, value in zip(keys, old, strict=True))
        else:
            assert all(keys)
        (found,) = (row for row in table if all(mine == theirs for mine, theirs, key in zip(row, old, keys, strict=True) if key))
        table.remove(found)
        if isinstance(change, Update):
            pairs = zip(change.new, found, strict=True)
            table.append([before if value is UNCHANGED else value for value, before in pairs])

    def table(self, oid: int) -> list[list[Value]]:
        relation = self.relations[oid]
        return self.rows[f"{relation.namespace}.{relation.name}"]

    def commit(self, start: Begin | StreamCommit, end: Commit | StreamCommit) -> None:
        tables = {name: sorted([self.readable(row) for row in rows], key=repr) for name, rows in self.rows.items()}
        self.committed.append((start, end, tables))

    def readable(self, row: list[Value]) -> list[str | None]:
        """A row as the facts spell it."""
        assert UNCHANGED not in row
        return [None if value is None else value.hex() if self.binary else value.decode() for value in row]


@scenarios(SCENARIOS)
def test_replaying_gives_after_each_commit_what_select_gave(scenario: Scenario) -> None:
    replay = Replay(list(scenario.facts["relations"]), "binary" in scenario.options)
    for message in scenario.messages():
        replay.feed(message)
    expected = [{name: sorted(rows, key=repr) for name, rows in state["rows"].items()} for state in scenario.facts["states"]]
    assert [tables for _, _, tables in replay.committed] == expected


@scenarios(SCENARIOS)
def test_transactions_carry_the_xid_time_and_position_the_server_told(scenario: Scenario) -> None:
    replay = Replay(list(scenario.facts["relations"]), False)
    replay.apply = lambda _: None  # type: ignore[method-assign]
    for message in scenario.messages():
        replay.feed(message)
    for (start, end, _), state in zip(replay.committed, scenario.facts["states"], strict=True):
        assert isinstance(end, StreamCommit) is state["streamed"]
        assert start.xid == state["xid"]
        assert start.commit_time == end.commit_time == state["commit_time"]
        assert start[0] == end.commit_lsn or state["streamed"]
        assert state["after"] <= end.commit_lsn < end.end_lsn <= state["before"]


@scenarios(of("messages", "streamed"))
def test_logical_messages_carry_what_was_emitted_and_the_position_it_returned(scenario: Scenario) -> None:
    arrived = [each for each in scenario.messages() if isinstance(each, LogicalMessage)]
    told = scenario.facts["messages"]
    key = {each["prefix"]: each for each in told}
    assert sorted(each.prefix for each in arrived) == sorted(key)
    for each in arrived:
        assert each.content.hex() == key[each.prefix]["content"]
        assert each.lsn == key[each.prefix]["before"]
        assert each.transactional is (each.prefix not in ("outside", "survives"))
        assert each.xid == (scenario.facts["states"][1]["xid"] if each.prefix == "streamed" else None)


@scenarios(of("origin"))
def test_an_origin_follows_begin_and_commit_times_are_the_origins(scenario: Scenario) -> None:
    messages = scenario.messages()
    origins = [each for each in messages if isinstance(each, Origin)]
    assert [list(each) for each in origins] == scenario.facts["origins"]
    begins = [index for index, each in enumerate(messages) if isinstance(each, Begin)]
    assert [isinstance(messages[index + 1], Origin) for index in begins] == [True, True, False]
    assert messages[begins[1]].commit_time == -500_000  # half a second before 2000


@scenarios(of("identities"))
def test_a_changed_identity_is_announced(scenario: Scenario) -> None:
    bare = [each for each in scenario.messages() if isinstance(each, Relation) and each.name == "bare"]
    assert [(each.identity, [column.key for column in each.columns]) for each in bare] == [
        ("n", [False, False]),
        ("d", [True, False]),
    ]


@scenarios(of("identities"))
def test_old_tuples_hold_the_key_or_the_row(scenario: Scenario) -> None:
    messages = scenario.messages()
    updates = [each for each in messages if isinstance(each, Update)]
    deletes = [each for each in messages if isinstance(each, Delete)]
    assert [(each.old_kind, each.old) for each in updates[:4]] == [
        (None, None),
        ("K", [b"2", *[None] * 8]),
        ("O", [b"1", b"x", None]),
        ("O", [b"2", None, b"y"]),
    ]
    assert updates[1].new[:2] == [b"3", b""]
    assert [each.old for each in deletes[:4]] == [
        [b"1", *[None] * 8],
        [None, None, None],
        [b"1", b"x", b"z"],
        [b"a", None, b"1"],
    ]


@scenarios(of("toast"))
def test_unchanged_toast_is_told_from_null(scenario: Scenario) -> None:
    plain, rekeyed, _, nulled, _, whole, _, keyed, *_ = [each for each in scenario.messages() if type(each) is Update]
    assert plain.new == [b"1", UNCHANGED, b"1"]
    assert (rekeyed.old, rekeyed.new) == ([b"1", None, None], [b"2", UNCHANGED, b"1"])
    assert nulled.new == [b"2", None, b"1"]
    # With the whole row sent as old, the value is there even though the new tuple leaves it out.
    assert whole.old == [b"1", b"whole toast " * 180, b"0"]
    assert whole.new == [b"1", UNCHANGED, b"1"]
    # A TOASTed key is sent as old though it did not change, for new cannot identify the row.
    assert (keyed.old_kind, keyed.old) == ("K", [b"keyed toast " * 20, None])
    assert keyed.new == [UNCHANGED, b"1"]


@scenarios(STREAMED)
def test_streamed_blocks_name_the_subtransaction_and_its_abort(scenario: Scenario) -> None:
    facts = scenario.facts
    messages = scenario.messages()
    decoder, block, firsts = Decoder(), None, []
    for (payload, _), message in zip(scenario.lines, messages, strict=True):
        before = decoder.streaming
        decoder.decode(payload)
        if isinstance(message, StreamStart):
            assert (before, decoder.streaming) == (False, True)
            assert message.first_segment is (message.xid not in firsts)
            block = message.xid
            firsts.append(block)
        elif isinstance(message, StreamStop):
            assert (before, decoder.streaming) == (True, False)
        elif isinstance(message, IN_STREAM):
            assert (message.xid is not None) is before

    first, void = facts["aborts"]
    committed = [state["xid"] for state in facts["states"] if state["streamed"]]
    assert [xid for index, xid in enumerate(firsts) if xid not in firsts[:index]] == [
        committed[0],
        void["xid"],
        *committed[1:],
    ]
    assert first["xid"] == committed[0]
    inserts = {each.new[0]: each.xid for each in messages if isinstance(each, Insert)}
    assert inserts[b"0"] == first["xid"]
    assert inserts[b"100"] == first["subxid"]
    assert inserts[b"200"] == facts["subxid_kept"]

    aborts = [each for each in messages if isinstance(each, StreamAbort)]
    for abort, told in zip(aborts, facts["aborts"], strict=True):
        assert (abort.xid, abort.subxid) == (told["xid"], told["subxid"])
        if scenario.options["streaming"] == "parallel":
            assert told["after"] < abort.abort_lsn <= told["before"]
            assert told["since"] <= abort.abort_time <= told["until"]
        else:
            assert (abort.abort_lsn, abort.abort_time) == (None, None)

    # One Origin for two replicated transactions: see make_golden.py, and the docstring of Origin.
    place = next(index for index, each in enumerate(messages) if isinstance(each, Origin))
    assert [list(each) for each in messages if isinstance(each, Origin)] == facts["origins"] == [[0, "far"]]
    assert messages[place - 1] == StreamStart(committed[1], True)


# --- The grammar written a second time, the other way round -----------------------------------


def string(text: str) -> bytes:
    return text.encode() + b"\0"


def row(values: list[Value], status: bytes) -> bytes:
    cells = [
        b"n" if value is None else b"u" if value is UNCHANGED else status + struct.pack(">I", len(value)) + value
        for value in values
    ]
    return struct.pack(">H", len(values)) + b"".join(cells)


def encode(message: Message, status: bytes = b"t") -> bytes:
    """The payload of `message`, every value marked `status` (text or binary)."""
    xid = b""
    if isinstance(message, IN_STREAM) and message.xid is not None:
        xid = struct.pack(">I", message.xid)
    match message:
        case Begin():
            return b"B" + struct.pack(">QqI", *message)
        case Commit():
            return b"C\0" + struct.pack(">QQq", *message)
        case Origin(lsn, name):
            return b"O" + struct.pack(">Q", lsn) + string(name)
        case Relation(_, oid, namespace, name, identity, columns):
            head = struct.pack(">I", oid) + namespace_bytes(namespace) + string(name) + identity.encode()
            parts = [
                struct.pack(">B", each.key) + string(each.name) + struct.pack(">Ii", each.type_oid, each.type_modifier)
                for each in columns
            ]
            return b"R" + xid + head + struct.pack(">H", len(columns)) + b"".join(parts)
        case Type(_, oid, namespace, name):
            return b"Y" + xid + struct.pack(">I", oid) + namespace_bytes(namespace) + string(name)
        case Insert(_, oid, new):
            return b"I" + xid + struct.pack(">I", oid) + b"N" + row(new, status)
        case Update(_, oid, kind, old, new):
            before = kind.encode() + row(old, status) if kind else b""
            return b"U" + xid + struct.pack(">I", oid) + before + b"N" + row(new, status)
        case Delete(_, oid, kind, old):
            return b"D" + xid + struct.pack(">I", oid) + kind.encode() + row(old, status)
        case Truncate(_, oids, cascade, restart):
            head = struct.pack(">IB", len(oids), cascade + 2 * restart)
            return b"T" + xid + head + b"".join(struct.pack(">I", oid) for oid in oids)
        case LogicalMessage(_, transactional, lsn, prefix, content):
            head = struct.pack(">BQ", transactional, lsn) + string(prefix)
            return b"M" + xid + head + struct.pack(">I", len(content)) + content
        case StreamStart():
            return b"S" + struct.pack(">IB", *message)
        case StreamStop():
            return b"E"
        case StreamCommit():
            return b"c" + struct.pack(">IBQQq", message.xid, 0, *message[1:])
        case StreamAbort(top, sub, None, None):
            return b"A" + struct.pack(">II", top, sub)
        case StreamAbort():
            return b"A" + struct.pack(">IIQq", *message)
    raise AssertionError(message)


def namespace_bytes(namespace: str) -> bytes:
    return string("" if namespace == "pg_catalog" else namespace)


@scenarios(SCENARIOS)
def test_messages_encode_back_to_their_payload(scenario: Scenario) -> None:
    status = b"b" if "binary" in scenario.options else b"t"
    for (payload, _), message in zip(scenario.lines, scenario.messages(), strict=True):
        assert encode(message, status) == payload


U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5)
SPACES = NAMES.filter(bool)
ROWS = st.lists(st.none() | st.just(UNCHANGED) | st.binary(max_size=5), max_size=5)
COLUMN = st.builds(RelationColumn, NAMES, st.booleans(), U32, st.integers(-(2**31), 2**31 - 1))


def changing(xid: st.SearchStrategy[int | None]) -> st.SearchStrategy[Message]:
    """Any message that may stand in a streamed block, with this xid."""
    kinds = st.sampled_from("KO")
    columns = st.lists(COLUMN, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Relation, xid, U32, SPACES, NAMES, st.sampled_from("dnfi"), columns),
        st.builds(Type, xid, U32, SPACES, NAMES),
        st.builds(Insert, xid, U32, ROWS),
        st.builds(Update, xid, U32, st.none(), st.none(), ROWS),
        st.builds(Update, xid, U32, kinds, ROWS, ROWS),
        st.builds(Delete, xid, U32, kinds, ROWS),
        st.builds(Truncate, xid, st.lists(U32, max_size=3).map(tuple), st.booleans(), st.booleans()),
        st.builds(LogicalMessage, xid, st.booleans(), U64, NAMES, st.binary(max_size=5)),
        st.builds(Origin, U64, NAMES),
    )


FRAMING = st.one_of(
    st.builds(Begin, U64, I64, U32),
    st.builds(Commit, U64, U64, I64),
    st.builds(StreamStart, U32, st.booleans()),
    st.builds(StreamCommit, U32, U64, U64, I64),
    st.builds(StreamAbort, U32, U32, U64, I64),
    st.builds(StreamAbort, U32, U32, st.none(), st.none()),
)


@settings(max_examples=300, deadline=None)
@given(st.tuples(st.just(False), changing(st.none()) | FRAMING) | st.tuples(st.just(True), changing(U32)))
def test_any_message_survives_the_wire(case: tuple[bool, Message]) -> None:
    streaming, message = case
    decoded = fresh(streaming).decode(encode(message))
    assert decoded == message
    assert type(decoded) is type(message)


# --- Bytes that are wrong -----------------------------------------------------------------------


def test_every_strict_prefix_of_every_payload_is_refused() -> None:
    """The one exception: the first 9 bytes of a 25-byte StreamAbort are the StreamAbort of versions 2 and 3."""
    shorter = 0
    for streaming, payload in PAYLOADS:
        for end in range(len(payload)):
            decoder = fresh(streaming)
            if payload[:1] == b"A" and (end, len(payload)) == (9, 25):
                assert decoder.decode(payload[:end]) == (*Decoder().decode(payload)[:2], None, None)
                shorter += 1
                continue
            with pytest.raises(ProtocolError):
                decoder.decode(payload[:end])
            assert decoder.streaming is streaming
    assert shorter == 2


def test_a_byte_too_many_is_refused() -> None:
    for streaming, payload in PAYLOADS:
        for extra in (b"\0", b"n", b"N"):
            with pytest.raises(ProtocolError):
                fresh(streaming).decode(payload + extra)


OID = b"\0\0\x40\1"
XID = b"\0\0\0\7"
LSN = b"\0\0\0\1\0\0\0\2"


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "message letter at offset 0: the payload is empty"),
        (b"z" + LSN, "message letter at offset 0: 0x7a opens no known message"),
        (b"B" + LSN + LSN, "Begin.xid at offset 17: 4 bytes expected, 0 left"),
        (b"B" + LSN + LSN + XID + b"x", "Begin ends at offset 21, yet 1 bytes follow"),
        (b"C\1" + LSN * 3, "Commit.flags at offset 1"),
        (b"O" + LSN + b"name", "Origin.name at offset 9: string without end"),
        (b"O" + LSN + b"\xff\0", "Origin.name at offset 9: not UTF-8"),
        (b"R" + OID + b"s\0t\0x\0\0", "Relation.identity at offset 9"),
        (b"R" + OID + b"s\0t\0d\xff\xff", "Relation.columns.count at offset 10: negative"),
        (b"R" + OID + b"s\0t\0d\0\1\2c\0" + OID * 2, "Relation.columns[0].flags at offset 12"),
        (b"R" + OID + b"s\0t\0d\0\1\1c\0" + OID, "Relation.columns[0].type_modifier at offset 19"),
        (b"Y" + OID + b"\0", "Type.name at offset 6: string without end"),
        (b"I" + OID, "Insert.mark at offset 5: 1 bytes expected, 0 left"),
        (b"I" + OID + b"K\0\0", "Insert.mark at offset 5"),
        (b"I" + OID + b"N\0", "Insert.new.count at offset 6: 2 bytes expected, 1 left"),
        (b"I" + OID + b"N\xff\xff", "Insert.new.count at offset 6: negative"),
        (b"I" + OID + b"N\0\2n", "Insert.new[1].status at offset 9"),
        (b"I" + OID + b"N\0\2nx", "Insert.new[1].status at offset 9"),
        (b"I" + OID + b"N\0\1t\xff\xff\xff\xff", "Insert.new[0].length at offset 9: negative"),
        (b"I" + OID + b"N\0\1t\0\0\0\3ab", "Insert.new[0] at offset 13: longer than the 2 bytes left"),
        (b"I" + OID + b"N\0\1b\0\0\0\1a!", "Insert ends at offset 14, yet 1 bytes follow"),
        (b"U" + OID + b"D\0\0", "Update.mark at offset 5"),
        (b"U" + OID + b"K\0\1nO\0\0", "Update.mark at offset 9"),
        (b"U" + OID + b"O\0\1t\0\0\0\5N\0\0", "Update.old[0] at offset 13: longer"),
        (b"D" + OID + b"N\0\0", "Delete.mark at offset 5"),
        (b"D" + OID + b"K\0\1t\0", "Delete.old[0].length at offset 9"),
        (b"T\xff\xff\xff\xff\0", "Truncate.relation_ids.count at offset 1: negative"),
        (b"T\0\0\0\2\0" + OID, "Truncate.relation_ids at offset 6: longer"),
        (b"T\0\0\0\1\4" + OID, "Truncate.options at offset 5"),
        (b"M\2" + LSN + b"p\0\0\0\0\0", "LogicalMessage.flags at offset 1"),
        (b"M\1" + LSN + b"p\0\xff\xff\xff\xfe", "LogicalMessage.content.length at offset 12: negative"),
        (b"S" + XID + b"\2", "StreamStart.first_segment at offset 5"),
        (b"E", "StreamStop came outside a streamed block"),
        (b"c" + XID + b"\1" + LSN * 3, "StreamCommit.flags at offset 5"),
        (b"A" + XID * 2 + LSN, "StreamAbort.abort_time at offset 17: 8 bytes expected, 0 left"),
    ],
)
def test_errors_name_field_and_offset(payload: bytes, says: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        Decoder().decode(payload)
    assert caught.value.message.startswith(says)
    assert caught.value.hint


def test_a_negative_count_is_refused_even_if_as_many_columns_follow() -> None:
    with pytest.raises(ProtocolError, match=r"^Insert\.new\.count at offset 6: negative"):
        Decoder().decode(b"I" + OID + b"N\x80\0" + b"n" * 0x8000)


@pytest.mark.parametrize("message", [Begin(1, 2, 3), Commit(1, 2, 3), StreamStart(8, True), StreamCommit(7, 1, 2, 3)])
def test_a_streamed_block_holds_no_transaction_bounds(message: Message) -> None:
    decoder = fresh(True)
    with pytest.raises(ProtocolError, match=f"{type(message).__name__} came inside a streamed block"):
        decoder.decode(encode(message))
    assert decoder.decode(b"E") == StreamStop()


@pytest.mark.parametrize("letter", "bPKrp")
@pytest.mark.parametrize("streaming", [False, True])
def test_two_phase_messages_are_refused_with_the_reason(letter: str, streaming: bool) -> None:
    with pytest.raises(ProtocolError, match="two-phase decoding, which was not asked for") as caught:
        fresh(streaming).decode(letter.encode() + LSN * 4)
    assert "two_phase" in caught.value.hint


def test_an_offset_counts_the_xid_of_a_streamed_block() -> None:
    with pytest.raises(ProtocolError, match=r"^Insert\.new\[0\]\.status at offset 12"):
        fresh(True).decode(b"I" + XID + OID + b"N\0\1x")
    with pytest.raises(ProtocolError, match=r"^Type\.xid at offset 1"):
        fresh(True).decode(b"Y\0")


def test_errors_never_show_a_value() -> None:
    value = b"Qx7Zw"
    whole = encode(Update(None, 16385, "O", [value, None], [value, value]))
    told = set()
    for at in range(len(whole)):
        for wrong in (whole[:at], whole[:at] + b"\xee" + whole[at + 1 :], whole[:at] + whole[at + 1 :]):
            try:
                Decoder().decode(wrong)
            except ProtocolError as fault:
                told.add(f"{fault} {fault.__cause__!r} {fault.__context__!r}")
    assert len(told) > 10
    assert not [text for text in told if "Qx" in text or "7Z" in text or "Zw" in text]


def message_or_fault(streaming: bool, payload: bytes) -> None:
    """Fails unless decoding gives a message that means these very bytes, or a ProtocolError that says where."""
    decoder = fresh(streaming)
    fault = None
    try:
        message = decoder.decode(payload)
    except ProtocolError as raised:
        fault = raised
    if fault is not None:
        assert "cannot be read" not in fault.message, "the explanation found nothing wrong"
        assert decoder.streaming is streaming
        return
    again = encode(message)
    assert len(again) == len(payload)
    # Messages do not keep whether a value was text or binary, so a `b` may have become a `t`.
    assert all(new == old or (old, new) == (ord("b"), ord("t")) for old, new in zip(payload, again, strict=True))


LETTERS = b"BCORYIUDTMSEcAbPKrp"


@settings(max_examples=1000, deadline=None)
@given(
    st.booleans(),
    st.binary(max_size=80)
    | st.builds(lambda n, rest: LETTERS[n : n + 1] + rest, st.integers(0, len(LETTERS) - 1), st.binary(max_size=80)),
)
def test_any_bytes_give_a_message_or_a_protocol_error(streaming: bool, payload: bytes) -> None:
    message_or_fault(streaming, payload)


@st.composite
def bent(draw: st.DrawFn) -> tuple[bool, bytes]:
    """A golden payload with a few bytes flipped, cut or doubled, perhaps in the wrong kind of block."""
    streaming, payload = draw(st.sampled_from(PAYLOADS))
    if draw(st.integers(0, 9)) == 0:
        streaming = not streaming
    data = bytearray(payload)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = start + draw(st.integers(1, 8))
        match draw(st.sampled_from(["flip", "set", "cut", "double"])):
            case "flip" if data:
                data[start] ^= 1 << draw(st.integers(0, 7))
            case "set" if data:
                data[start] = draw(st.sampled_from(b"\0\1\x7f\xffntubNKO"))
            case "cut":
                del data[start:end]
            case "double":
                data[start:start] = data[start:end]
    return streaming, bytes(data)


@settings(max_examples=3000, deadline=None)
@given(bent())
def test_bent_payloads_give_a_message_or_a_protocol_error(case: tuple[bool, bytes]) -> None:
    message_or_fault(*case)

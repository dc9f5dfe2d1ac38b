"""Promise: a block is worth the same as its messages one by one, line for line; what it cannot hold it refuses."""

from __future__ import annotations

import re
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from replicator.apply.bulk import bulk_lines
from replicator.apply.lines import block_lines, stage_lines
from replicator.capture.batch import LinkChanges
from replicator.capture.block import HEADER, Raw, block_of
from replicator.capture.edits import edits_of, edits_of_block
from replicator.capture.feed import BoundFeed, Feed
from replicator.engines.postgres.writer import copy_line
from replicator.model.table import TableName
from replicator.program.staging import QUOTE

PLAIN = st.sampled_from([None, b"", b"a", b"\\N", b"\\.", b'"quoted"', "größer".encode(), b"x" * 300])
WIDTH = 4  # columns of the table; the feed reads three of them, in another order
Row = list[bytes | None]
VALUES = st.one_of(
    st.none(), st.sampled_from([b"", b"a", b"\\N", b"tab\there", b"two\nlines\r", b"back\\slash"]), st.binary(max_size=12)
)


def feed(tracked: bool, keys: int = 1, groups: tuple[int, ...] = (), deciding: int = 0) -> BoundFeed:
    reads = tuple(frozenset({place}) for place in range(3))
    made = Feed("thing", TableName("public", "thing"), ("id", "b", "a"), keys, reads, tracked, groups=groups, deciding=deciding)
    return BoundFeed(made, (1, 3, 0), WIDTH)


def tuple_of(row: list[Any]) -> bytes:
    cells = [b"u" if v is Ellipsis else b"n" if v is None else b"t" + struct.pack(">i", len(v)) + v for v in row]
    return struct.pack(">h", len(row)) + b"".join(cells)


def insert(row: list[Any]) -> bytes:
    return bytes(HEADER) + b"I" + struct.pack(">I", 7) + b"N" + tuple_of(row)


def update(row: list[Any], old: list[Any] | None = None, kind: bytes = b"O") -> bytes:
    before = b"" if old is None else kind + tuple_of(old)
    return bytes(HEADER) + b"U" + struct.pack(">I", 7) + before + b"N" + tuple_of(row)


def raw_of(bound: BoundFeed, transactions: list[list[bytes]]) -> Raw:
    raw, order = Raw(bound), 0
    for number, messages in enumerate(transactions):
        for message in messages:
            order += 1
            raw.add(message, 1000 + number, 50 * (number + 1), order)
    return raw


def program_of(bound: BoundFeed, paired: bool) -> Any:
    enrichment = SimpleNamespace(position=1, field=1)
    link = SimpleNamespace(fields=[0, 1, 2])
    tells_stays = paired and bool(bound.feed.deciding)
    return SimpleNamespace(link=link, paired=paired, enrichments=[enrichment], feed=bound.feed, tells_stays=tells_stays)


def bulk_rows(lines: bytes) -> list[list[bytes | None]]:
    """As COPY reads them in CSV."""
    rows = [line.split(b"\t") for line in lines.split(b"\n")[:-1]]
    return [[None if cell == b"" else b"" if cell == QUOTE * 2 else cell for cell in row] for row in rows]


@st.composite
def histories(draw: st.DrawFn) -> tuple[BoundFeed, list[list[bytes]]]:
    tracked = draw(st.booleans())
    full = draw(st.booleans())
    values, keys = (
        (PLAIN, [b"%d" % number for number in range(40)]) if draw(st.booleans()) else (VALUES, [b"1", b"2", b"3", b"\t", b""])
    )
    bound = feed(tracked, draw(st.sampled_from([1, 2])), draw(st.sampled_from([(), (0b110,)])), draw(st.sampled_from([0, 0b010])))
    rows: dict[tuple[Any, ...], Row] = {}
    transactions: list[list[bytes]] = []
    for _ in range(draw(st.integers(1, 6))):
        messages = []
        for _ in range(draw(st.integers(1, 6))):
            row: Row = [draw(values), draw(st.sampled_from(keys)), draw(values), draw(values)]
            if bound.feed.keys == 2:
                row[3] = draw(st.sampled_from([b"x", b"y"]))
            key = tuple(row[p] for p in bound.positions[: bound.feed.keys])
            before = rows.get(key)
            anew = before is None or draw(st.integers(0, 9)) == 0  # or: the table was truncated in between
            messages.append(insert(row) if anew else update(row, before if full else None))
            rows[key] = row
        transactions.append(messages)
    return bound, transactions


@settings(deadline=None, max_examples=300)  # the first block loads numpy, and the machine may be busy
@given(histories(), st.booleans())
def test_it_is_worth_its_messages(history: tuple[BoundFeed, list[list[bytes]]], paired: bool) -> None:
    bound, transactions = history
    raw = raw_of(bound, transactions)
    changes = LinkChanges(bound.feed)
    raw.replay(changes)
    block = block_of(raw)
    if block is None:
        assert bound.feed.tracked
        assert len(changes.rows) < len(raw.messages)  # several edits of one row
        return
    assert len(block) == len(changes.rows)
    assert [row.values for row in block] == [row.values for row in changes.rows]
    program = program_of(bound, paired or bound.feed.tracked)
    looked_up = [{b"a": b"found\there", b"": None}]
    expected = [copy_line(line) for line in stage_lines(program, changes.rows, looked_up)]
    assert block_lines(program, block, looked_up).splitlines(keepends=True) == expected
    program.enrichments = []
    bulk = bulk_lines(program, block)
    if bulk is not None:
        cells = [[None if cell is None else str(cell).encode() if not isinstance(cell, bytes) else cell for cell in line]
                 for line in stage_lines(program, changes.rows, [])]  # fmt: skip
        leading, keys = (5 if program.paired else 3), bound.feed.keys
        wire = sorted(range(3), key=bound.positions.__getitem__)
        event("in bulk")
        for line, row in zip(cells, bulk_rows(b"".join(bulk)), strict=True):
            if program.paired:
                assert line.pop(leading) is None
            stays = [line.pop()] if program.tells_stays else []
            values = [line[leading + keys + place] for place in wire]
            assert row == [*line[:leading], *stays, *line[leading : leading + keys], *values]
    else:
        special = re.compile(rb"[\x00-\x0d]")
        awkward = any(value is not None and special.search(value) for row in changes.rows for value in row.values)
        assert awkward or len(changes.rows) < len(raw.messages) or any(b"" in row.key for row in changes.rows)
    assert (block.newest, block.oldest, block.greatest_stamp) == (
        max((row.lsn for row in changes.rows), default=0),
        min((row.lsn for row in changes.rows), default=0),
        max((row.stamp for row in changes.rows), default=0),
    )
    if bound.feed.tracked:
        for inserts in (True, False):
            assert edits_of_block(block, inserts) == edits_of(changes.rows, inserts)
    keys = {row.key for row in changes.rows}
    assert all(block.has_any([key]) for key in keys)
    assert not block.has_any([(b"no such",) * bound.feed.keys])


ROW: list[Any] = [b"a", b"1", None, b"b"]


@pytest.mark.parametrize(
    "message",
    [
        bytes(HEADER) + b"D" + struct.pack(">I", 7) + b"K" + tuple_of([None, b"1", None, None]),
        update([b"a", b"2", None, b"b"], ROW),
        update([b"a", b"2", None, b"b"], [None, b"1", None, None], b"K"),
        update([b"a", b"1", None, Ellipsis]),
        insert(ROW)[:-1],
        insert(ROW) + b"n",
        insert([*ROW, b"another"]),
        update(ROW, ROW)[:-30],
    ],
    ids=["delete", "key changed", "key changed, short", "unchanged TOAST", "cut", "too long", "other columns", "cut old"],
)
def test_what_it_cannot_hold(message: bytes) -> None:
    assert block_of(raw_of(feed(False), [[insert([b"x", b"9", None, None]), message]])) is None


def test_an_unchanged_value_that_nobody_reads_is_no_matter() -> None:
    block = block_of(raw_of(feed(False), [[update([b"a", b"1", Ellipsis, b"b"])]]))
    assert block is not None
    assert block.columns == [[b"1"], [b"b"], [b"a"]]


def test_an_update_that_changes_nothing_is_no_change() -> None:
    same = [b"a", b"1", b"other", b"b"]
    block = block_of(raw_of(feed(False), [[update(same, ROW), insert([b"x", b"2", None, None])]]))
    assert block is not None
    assert block.keys == [b"2"]

"""Changes as lines for the session tables: what stands before the values, in the order their DDL gives."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from replicator.apply.outcome import MirrorRow
from replicator.capture.batch import EXACT, RowChange
from replicator.capture.block import Block
from replicator.capture.edits import Some, each
from replicator.capture.feed import Feed
from replicator.capture.messages import UNCHANGED, Value
from replicator.model.position import text as position_text
from replicator.program.program import Program
from replicator.program.sql import bit_text
from replicator.program.staging import ANSWER, REMADE

Line = list[Value | str | int]
LookedUp = Mapping[bytes, bytes | None]  # raw key -> what the source holds for it


def stage_lines(program: Program, rows: Sequence[RowChange], looked_up: Sequence[LookedUp]) -> Iterator[Line]:
    """One line a row, in the order of `staging.stage_ddl`."""
    width = len(program.link.fields)
    texts: dict[int, str] = {}
    for seq, row in enumerate(rows):
        mask = row.fields
        fields = texts.get(mask)
        if fields is None:
            fields = texts[mask] = bit_text(mask, width)
        line: Line = [seq, (REMADE if row.again else ANSWER) if row.is_answer else row.op, fields]
        if program.paired:
            line += (row.stamp, position_text(row.lsn), marks(row, width))
        line += [None] * len(row.first_key) if row.fresh and program.paired else row.first_key
        line += row.values
        for enrichment, found in zip(program.enrichments, looked_up, strict=True):
            raw = row.values[enrichment.position]
            line.append(found.get(raw) if isinstance(raw, bytes) else None)
        feed = program.feed
        if feed.counted:
            line += _amounts(row, feed)
        if feed.weighed:
            line += _before(program, row, looked_up)
        if program.tells_stays:
            line.append("t" if row.stays else "f")
        yield line


NULL, END = b"\\N", b"\n"


def block_lines(program: Program, block: Block, looked_up: Sequence[LookedUp]) -> bytes:
    """The same lines of many rows at once, in COPY's text format."""
    count = len(block)
    cells = leading_cells(program, block)
    if program.paired:
        cells.append([NULL] * count)  # no `marks`
    values: list[Sequence[Value]] = [*block.columns[: block.feed.keys], *block.columns]
    for enrichment, found in zip(program.enrichments, looked_up, strict=True):
        values.append([found.get(raw) if isinstance(raw, bytes) else None for raw in block.columns[enrichment.position]])
    values += stays_cells(program, block)
    empty = [column.count(None) for column in values]
    shown = [_without_null(column) if nulls else column for column, nulls in zip(values, empty, strict=True)]
    text = END.join(map(b"\t".join, zip(*cells, *shown, strict=True))) + END
    backslashes = sum(empty) + (count if program.paired else 0)
    tabs = (len(cells) + len(shown) - 1) * count
    if text.count(b"\\") != backslashes or text.count(b"\t") != tabs or text.count(END) != count or b"\r" in text:
        shown = [_without_null([_escaped(value) for value in column]) for column in values]
        text = END.join(map(b"\t".join, zip(*cells, *shown, strict=True))) + END
    return text


def leading_cells(program: Program, block: Block) -> list[Sequence[bytes]]:
    """Of each row seq, op and fields; of paired links stamp and position."""
    width, count = len(program.link.fields), len(block)
    texts = {mask: bit_text(mask, width).encode() for mask in set(block.fields or [block.feed.every_field])}
    fields = [texts[mask] for mask in block.fields] if block.fields is not None else [*texts.values()] * count
    cells: list[Sequence[bytes]] = [_numbers(count), block.ops, fields]
    if program.paired:
        stamps: list[bytes] = []
        places: list[bytes] = []
        for start, end, stamp, lsn in block.spans():
            stamps += [str(stamp).encode()] * (end - start)
            places += [position_text(lsn).encode()] * (end - start)
        cells += [stamps, places]
    return cells


def stays_cells(program: Program, block: Block) -> list[Sequence[bytes]]:
    """Where it is asked for, of each row whether it has not moved."""
    return [[b"t" if stays else b"f" for stays in block.stays]] if program.tells_stays else []


def _without_null(column: Sequence[Value]) -> list[Value]:
    return [NULL if value is None else value for value in column]


def _escaped(value: Value) -> Value:
    if not isinstance(value, bytes):
        return value
    return value.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def pair_lines(rows: Sequence[MirrorRow]) -> Iterator[bytes]:
    """Lines for `Mirror.load`."""
    nothing = "\\N"
    lines = [
        "\t".join((*keys, str(seq), source or nothing, target or nothing, made or nothing))
        for keys, seq, source, target, made in rows
    ]
    text = "\n".join(lines)
    nulls = sum((source is None) + (target is None) + (made is None) for _, _, source, target, made in rows)
    tabs = (len(rows[0][0]) + 3) * len(rows) if rows else 0
    if text.count("\\") == nulls and text.count("\t") == tabs and text.count("\n") == len(rows) - 1 and "\r" not in text:
        yield text.encode() + END
        return
    for keys, seq, source, target, made in rows:
        values = _without_null([_escaped(part.encode()) for part in keys])
        rest = [str(seq), source or nothing, target or nothing, made or nothing]
        yield b"\t".join([*values, *(part.encode() for part in rest)]) + END  # type: ignore[list-item]


@lru_cache(maxsize=4)
def _numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def _amounts(row: RowChange, feed: Feed) -> Line:
    sums = dict.fromkeys((number for number, _ in feed.counted), Decimal(0))
    for _, number, amount in row.deltas:
        sums[number] = EXACT.add(sums[number], amount)
    return [str(amount) for amount in sums.values()]


def _before(program: Program, row: RowChange, looked_up: Sequence[LookedUp]) -> Line:
    feed, width = program.feed, len(program.link.fields)
    based = answers = 0
    for number in feed.weighed:
        if number in row.expected:
            answers |= 1 << number
        elif _known(row, feed.reads[number]):
            based |= 1 << number
    line: Line = [bit_text(based, width), bit_text(answers, width)]
    line += [first_value(row, position) for position in feed.weighed_columns]
    for enrichment, found in zip(program.enrichments, looked_up, strict=True):
        if enrichment.field in feed.weighed:
            raw = first_value(row, enrichment.position)
            line.append(found.get(raw) if isinstance(raw, bytes) else None)
    return line + [row.expected.get(number) for number in feed.weighed]


def _known(row: RowChange, positions: Iterable[int]) -> bool:
    """Whether it is known what stood in these columns before: some have changed, and none was new."""
    chains = [row.base[position] for position in positions if position in row.base]
    return bool(chains) and all(chain[0][1] is not UNCHANGED for chain in chains)


def first_value(row: RowChange, position: int) -> Value:
    """What stood there before the change."""
    chain = row.base.get(position)
    return chain[0][1] if chain else row.values[position]


def heal_lines(rows: Sequence[RowChange], columns: Sequence[int], width: int) -> Iterator[Line]:
    for seq, row in enumerate(rows):
        fields = 0
        for touch in row.touches:
            fields |= touch.fields
        values = [row.values[c] for c in columns]
        yield [seq, row.op, bit_text(fields, width), row.stamp, position_text(row.lsn), marks(row, width), *values]


def marks(row: RowChange, width: int) -> bytes | None:
    """Which fields were last changed by which transaction, where that was not simply the row's last."""
    touches = row.touches
    if not touches or (len(touches) == 1 and touches[0].lsn == row.lsn and touches[0].stamp == row.stamp):
        return None
    return json.dumps([[bit_text(t.fields, width), t.stamp, position_text(t.lsn)] for t in touches]).encode()


def edit_lines(edits: Iterable[Some], width: int, until: str | None) -> Iterator[Line]:
    for key, fields, made, answer in each(edits):
        yield [*key, bit_text(fields, width), made, "t" if answer else "f", until]

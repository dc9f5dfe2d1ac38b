"""The derive step: what links read on the source beside the captured row, as of now.

Promises: a record is read again when any row that its values depend on has changed, whether or not
its own row has; one that is gone by now is left to its own delete, which is on its way; a query's
row that is gone is deleted.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from replicator.apply.write import Changes
from replicator.capture.batch import DELETE, INSERT, UPDATE, Batch, Key, RowChange, Touch
from replicator.capture.messages import UNCHANGED, Value
from replicator.errors import WriteFailed
from replicator.model.failure import POLICIES
from replicator.ports.stream import Stream
from replicator.ports.writer import Writer
from replicator.program.program import Derive, Program

LOOKS, LOOK_SECONDS = 20, 0.001


def derive(programs: Mapping[str, Program], source: Writer, batch: Batch, changes: Changes, broken: Collection[str]) -> None:
    """Fills `changes` in. Reads on `source`, whose temporary tables it empties again. `broken`: links that cannot be run."""
    for name, program in programs.items():
        how = program.derive
        if how is None or name in broken:
            continue
        rows = changes.get(name, [])
        concerned = _concerned(program, how, source, batch)
        if not rows and not concerned:
            continue
        for row in rows:
            beside = concerned.pop(row.key, None)
            if beside is not None and row.op != DELETE:
                _join(row, beside, program.feed.tracked)
        more = list(concerned.values())
        read = _read(how, source, [row.key for row in (*rows, *more)])
        kept = []
        for seq, row in enumerate((*rows, *more)):
            values = read.get(seq)
            if row.op == DELETE:
                kept.append(row)
            elif values is not None:
                _fill(program, row, values, whole=seq >= len(rows))
                kept.append(row)
            elif how.is_query:
                row.op, row.fields, row.touches, row.absent = DELETE, 0, [], 0
                kept.append(row)
        changes[name] = kept
        for order, row in enumerate(more):
            row.order = batch.rows + order


def is_looked_up(programs: Mapping[str, Program], batch: Batch) -> bool:
    """Whether the source must show the batch before it is written: something is read there beside it, or the way back could look
    for a record that nobody can find yet. A row that was there before is locked by whoever changes it."""
    if not batch.complete or batch.satellites:
        return True
    if any(programs[link].reads_source for link in (*batch.links, *batch.blocks)):
        return True
    return any(INSERT in block.ops for block in batch.blocks.values()) or any(
        row.op != UPDATE or row.first_key != row.key for captured in batch.links.values() for row in captured.rows
    )


def await_visible(stream: Stream, source: Writer, batch: Batch) -> None:
    """Returns when what is read on the source shows the batch's transactions: a commit is in the stream before others see it,
    for a moment, or for as long as it waits for a standby. What was read before that would lack them, for ever."""
    for _ in range(LOOKS):
        if not stream.hidden(source.snapshot(), batch.begun):
            return
        time.sleep(LOOK_SECONDS)
    message = "a commit is in the stream that nobody on the source can see yet (does it wait for a standby?)"
    raise WriteFailed(message, POLICIES["locked"].remedy, "locked", "")


def _concerned(program: Program, how: Derive, source: Writer, batch: Batch) -> dict[Key, RowChange]:
    """Records that changed rows of other tables concern, each as an update of the fields that read them."""
    found: dict[Key, RowChange] = {}
    width = len(program.feed.columns)
    for beside in how.beside:
        changed = batch.satellites.get(beside.satellite)
        if changed is None:
            continue
        source.load(beside.load, changed.rows)
        for statement in beside.keys:
            for key in source.query(f"SELECT {_texts(program)} FROM ({statement}) AS k ({_names(program)})"):
                raw = tuple(part.encode() for part in key)
                values: list[Value] = [*raw, *([None] * (width - len(raw)))]
                row = found.get(raw)
                if row is None:
                    row = found[raw] = RowChange(UPDATE, raw, values, {}, 0, [], changed.stamp, changed.lsn)
                row.fields |= beside.fields
                row.stamp, row.lsn = max(row.stamp, changed.stamp), max(row.lsn, changed.lsn)
                row.touches = [Touch(row.fields, row.stamp, row.lsn)]
        source.execute(beside.clear)
    return found


def _join(row: RowChange, beside: RowChange, tracked: bool) -> None:
    """A record of which both its own row and what it reads beside it have changed: of each field the later change counts."""
    row.fields |= beside.fields
    row.stamp, row.lsn = max(row.stamp, beside.stamp), max(row.lsn, beside.lsn)
    if not tracked:
        return
    (read,) = beside.touches
    later = read.fields
    for touch in row.touches:
        if touch.lsn < read.lsn:
            touch.fields &= ~read.fields
        else:
            later &= ~touch.fields
    mine = [Touch(later, read.stamp, read.lsn)] if later else []
    row.touches = sorted([touch for touch in row.touches if touch.fields] + mine, key=lambda touch: touch.lsn)


def _names(program: Program) -> str:
    return ", ".join(f"k_{i}" for i in range(program.feed.keys))


def _texts(program: Program) -> str:
    # As on the wire, where ::text may differ (boolean, char(n)).
    return ", ".join(f"format('%s', k_{i})" for i in range(program.feed.keys))


def _read(how: Derive, source: Writer, keys: list[Key]) -> dict[int, list[Value]]:
    source.load(how.load, ([seq, *key] for seq, key in enumerate(keys)))
    read = {seq: [None if text is None else text.encode() for text in texts] for seq, *texts in source.query(how.read)}
    source.execute(how.clear)
    return read


def _fill(program: Program, row: RowChange, values: list[Value], whole: bool) -> None:
    """The derived columns; all of them for a record whose own row has not changed."""
    if whole:
        row.values = [*row.values[: program.feed.keys], *values[program.feed.keys :]]
    else:
        for position in program.feed.derived:
            row.values[position] = values[position]
        for position, value in enumerate(row.values) if program.feed.parts else ():
            if value is UNCHANGED:  # of another part of the record
                row.values[position] = values[position]

"""Changes that cannot be written now: each is set aside whole, with its reason and what follows from it, so that it can be
taken up again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from replicator.apply.chunk import Chunk
from replicator.capture.batch import UPDATE, Batch, RowChange, Touch
from replicator.capture.block import Block
from replicator.capture.payload import key_texts, to_json
from replicator.model.failure import BY_REASON, Policy
from replicator.ports.state import Parked
from replicator.program.program import Program

TRUNCATED = "{table} was truncated on {node}: this is never applied; delete the other side's records if that was meant"


def set_aside(
    program: Program,
    row: RowChange,
    policy: Policy,
    message: str,
    sqlstate: str | None = None,
    waits_for: tuple[str, str] | None = None,
) -> Parked:
    payload = to_json(row, program.feed.columns)
    return Parked(program.link.name, key_texts(row.key), policy.reason, sqlstate, message, waits_for, payload, policy=policy)


def held(program: Program, rows: Sequence[RowChange], found: Iterable[tuple[Any, ...]]) -> list[Parked]:
    """Rows with a reference, lookup or value map that finds nothing, as `Steps.hold` gave them."""
    waits = {wait.field: wait for wait in program.waits}
    parked = []
    for seq, number, raw, link in found:
        reason, waits_for = ("waits", (link, raw)) if link else ("unknown value", None)
        parked.append(set_aside(program, rows[seq], BY_REASON[reason], waits[number].message(link), waits_for=waits_for))
    return parked


def filled_in_later(program: Program, rows: Sequence[RowChange], found: Iterable[tuple[Any, ...]]) -> list[Parked]:
    """The record is written; what it refers to and is not there yet (`Steps.later`) stays parked, field by field, until it
    comes."""
    waits = {wait.field: wait for wait in program.waits}
    missing_of: dict[int, list[tuple[int, str, str]]] = {}
    for seq, number, raw, link in found:
        missing_of.setdefault(seq, []).append((number, raw, link))
    parked = []
    for seq, missing in missing_of.items():
        number, raw, link = missing[0]
        mask = sum(1 << n for n, *_ in missing)
        row = rows[seq]
        touches = [Touch(t.fields & mask, t.stamp, t.lsn) for t in row.touches if t.fields & mask]
        left = replace(row, op=UPDATE, fields=mask, touches=touches, first_key=row.key, deltas=[], parked=None)
        parked.append(set_aside(program, left, BY_REASON["later"], waits[number].message(link), waits_for=(link, raw)))
    return parked


def truncated(programs: Mapping[str, Program], batch: Batch) -> list[Parked]:
    """TRUNCATE says nothing of rows and is never applied; it is parked for a person to see."""
    policy, notices = BY_REASON["truncated"], []
    for name, program in programs.items():
        if str(program.feed.table) in batch.truncated:
            message = TRUNCATED.format(table=program.feed.table, node=program.source)
            notices.append(Parked(name, ["*"], policy.reason, None, message, None, {}, policy=policy))
    return notices


def parked_ids(rows: Sequence[RowChange]) -> list[int]:
    """Of those that are tried again. Existing records and blocks never are."""
    return [] if isinstance(rows, (Chunk, Block)) else [row.parked for row in rows if row.parked is not None]

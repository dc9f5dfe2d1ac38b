"""Parked changes in words: what happened, what is in them, what waits, what to do. Nothing here prints."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from replicator.capture.payload import KEPT
from replicator.runtime.parked import DELETE, INSERT, UPDATE, Change, Content, Thrown, Value

from .conflict_words import clock, line_of, printable, promise, shown

EXISTS = "S"  # a backfill's
OPERATIONS = {
    INSERT: "made the record",
    UPDATE: "changed the record",
    DELETE: "deleted the record",
    EXISTS: "has the record (backfill)",
}
NOTICE = "there is no change in it: it only says what happened"


def reason(row: Any) -> str:
    return f"{row.reason} {row.sqlstate}" if row.sqlstate else str(row.reason)


def line(one: Change, now: datetime) -> tuple[object, ...]:
    """A row of the list."""
    row = one.row
    at = f"{row.since.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return (
        at,
        one.id,
        row.link,
        f"{one.source} {printable(one.key)}",
        reason(row),
        row.attempts,
        next_try(one, now),
        row.behind or "",
    )


def thrown(one: Thrown) -> tuple[object, ...]:
    row = one.row
    record = f"{one.source} {printable(','.join(row.key))}"
    return (f"{row.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}", one.id, row.link, record, reason(row), row.attempts, row.by)


def next_try(one: Change, now: datetime) -> str:
    row = one.row
    if row.discard_by is not None:
        return f"{row.discard_by} wants it gone"
    if row.retry:
        return "as soon as it runs"
    if row.waits_link is not None:
        return f"with {row.waits_link} {printable(row.waits_key or '')}"
    if row.next_try is None:
        return "never by itself"
    seconds = (row.next_try - now).total_seconds()
    return "now" if seconds <= 0 else f"in {seconds:,.0f} s" if seconds < 120 else f"in {seconds / 60:,.0f} min"


def story(one: Change, found: Content, now: datetime, is_running: bool, again: str) -> Iterator[tuple[str, str]]:
    """(label, text). `again`: options that commands in the text need."""
    row = one.row
    yield "parked", f"{one.id}, since {clock(row.since)}: {reason(row)}"
    yield "record", f"{row.link}: {one.source} {printable(one.key)}, on its way from {one.source} to {one.node} (flow {row.flow})"
    if found.op:
        where = f", in the transaction that committed at {found.position}" if found.position else ""
        yield "change", f"{one.source} {OPERATIONS.get(found.op, found.op)}, {clock(found.made)}{where}"
    else:
        yield "change", NOTICE
    yield "message", printable(row.message)
    if found.place:
        yield "line", found.place
        written = line_of(found.place)
        if written:
            yield "", written
    yield from _values(found)
    for edit in found.edits:
        values = f"{_payload(edit.before)} -> {_payload(edit.after)}"
        yield "edited", f"{edit.by}, {clock(edit.at)}: {edit.column} {values}"
    if row.waits_link is not None:
        ahead = f", which is parked itself: {found.ahead}" if found.ahead else ""
        yield "waits for", f"{row.waits_link} {printable(row.waits_key or '')}{ahead}"
    if row.behind:
        yield "behind it", f"{row.behind:,} wait for this record"
        for identity, link, key in found.behind:
            yield "", f"{identity}  {link} {printable(key)}"
        if row.behind > len(found.behind):
            yield "", f"... and {row.behind - len(found.behind):,} more"
    times = "once" if row.attempts == 1 else f"{row.attempts:,} times"
    yield "tried", f"{times}, last {clock(row.tried)}; next: {next_try(one, now)}"
    yield from _to_do(one, found, is_running, again)


def _values(found: Content) -> Iterator[tuple[str, str]]:
    label = "values"
    width = max((len(value.column) for value in found.values), default=0)
    for value in found.values:
        if found.op == DELETE and value.value is None:
            continue
        yield label, f"{value.column:<{width}}  {_value(value, found.op)}"
        label = ""


def _value(value: Value, op: str) -> str:
    text = "(as it was: it is long and has not changed)" if value.kept else shown(value.value)
    if value.fields and op == UPDATE and not value.sent:
        return f"{text}  (has not changed, not sent)"
    fields = [name for name in value.fields if name != value.column]
    return f"{text}  (field {', '.join(fields)})" if fields else text


def _payload(value: Any) -> str:
    return "(unchanged)" if value == KEPT else shown(value)


def _to_do(one: Change, found: Content, is_running: bool, again: str) -> Iterator[tuple[str, str]]:
    yield "to do", found.remedy
    told = commands(one, found, again)
    width = max(map(len, told))
    for command, what in told.items():
        yield "", f"{command:<{width}}   {what}"
    yield "", promise(is_running)


def commands(one: Change, found: Content, again: str) -> dict[str, str]:
    """What can be done about it, to be typed as it is, and what that means."""
    begin = f"replicator{again} parked"
    told = {}
    if found.op:
        told[f"{begin} retry {one.id}"] = "once the cause is mended"
    column = next((v.column for v in found.values if v.sent and not v.kept), None)
    if column is not None:
        told[f"{begin} retry {one.id} --set {column}=..."] = f"with another value of {one.source}'s column"
    told[f"{begin} discard {one.id}"] = after_discard(one, found.op)
    return told


def after_discard(one: Change, op: str) -> str:
    """What differs afterwards."""
    what = {
        INSERT: f"{one.node} does not get the record",
        UPDATE: f"{one.node} keeps the values it has",
        DELETE: f"{one.node} keeps the record",
        EXISTS: f"{one.node} does not get the record, or keeps its values",
    }
    return what.get(op, "the notice is gone, nothing else changes")

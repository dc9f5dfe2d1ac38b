"""Conflicts in words: for somebody who did not write the rule and has never seen the log.

Nothing here prints; `conflicts` and `explain` hand what comes from here to `output`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from replicator.model.link import Link
from replicator.runtime.history import Conflict, Edit, Standing, field_of
from replicator.runtime.replay import ended

LONG = 300
BREAKER = "breaker"  # the rule of what was stopped because it would have gone on for ever
WHAT = {
    "insert_exists": "the record was entered on both sides, and {field} was not the same",
    "update_origin_differs": "both sides changed {field}, neither knowing of the other's change",
    "update_exists": "{source}'s change has a value that must be unique, and another record on {target} has it",
    "update_missing": "{source} changed a record that {target} does not have",
    "update_deleted": "{source} changed a record that {target} had deleted, not knowing of it",
    "delete_origin_differs": "{source} deleted a record that {target} had changed, not knowing of it",
    "delete_missing": "{source} deleted a record that {target} did not have any more",
    "multiple_unique_conflicts": "{source}'s change has values that must be unique, and several records on {target} have them",
}


def clock(at: datetime | None) -> str:
    """To the millisecond, in UTC."""
    return "at an unknown time" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def shown(value: str | None, limit: int = LONG) -> str:
    """A value on one line; NULL stands out from the word."""
    if value is None:
        return "NULL"
    return f"'{printable(value if len(value) <= limit else value[: limit - 1] + '…')}'"


def printable(text: str) -> str:
    """Without what would end the line or move a terminal's cursor."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def record(keys: Mapping[str, str | None]) -> str:
    return " = ".join(f"{node} {printable(key)}" for node, key in keys.items() if key is not None) or "-"


def outcome(one: Conflict) -> str:
    """Who won, in a few words."""
    if one.waits:
        asked = "" if one.wanted is None else f", {one.wanted_by or 'somebody'} asked for {_asked(one)}"
        return f"waits{asked}"
    if one.status == "gone":
        return "gone: both agree by now"
    if one.status == "resolved":
        return f"{one.settled_by or 'a person'} settled it: {_whose(one)}"
    if one.rule == BREAKER:
        return "stopped: each side keeps changing it"
    if one.kind == "delete_missing":
        return "both had deleted it"
    if one.winner == "both":
        return f"merged ({one.rule})"
    return f"{one.winner or 'nobody'} won ({one.rule})"


def _asked(one: Conflict) -> str:
    return "another value" if one.wanted == "value" else f"{one.wanted}'s value"


def _whose(one: Conflict) -> str:
    return f"{one.winner}'s value" if one.winner in one.nodes else "another value"


def line(one: Conflict) -> tuple[object, ...]:
    """A row of the list."""
    at = f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return (at, one.id, one.link, record(one.keys), one.field or "(record)", one.kind, outcome(one))


def story(
    one: Conflict, link: Link | None, now: Mapping[str, Standing], is_running: bool, again: str
) -> Iterator[tuple[str, str]]:
    """(label, text). `link`: if it is still there; `again`: options that commands in the text need."""
    source, target = one.nodes
    also = f", also logged as {', '.join(one.also)}" if one.also else ""
    yield "conflict", f"{one.id}{also}"
    yield "record", f"{one.link}: {record(one.keys)}"
    field = field_of(link, one.field)
    if link is not None and field is not None:
        columns = (f"{link.side(node).table}.{column} on {node}" for node, column in field.columns.items())
        yield "field", f"{one.field}: {', '.join(columns)}"
    what = WHAT.get(one.kind, "{source}'s change met what {target} has").format(source=source, target=target, field=one.field)
    owner = one.rule.removeprefix("owner ") if one.rule.startswith("owner ") else None
    if owner is not None and one.kind == "update_origin_differs":
        other = source if owner == target else target
        what = f"{other} changed {one.field}, which is {owner}'s to decide"
    yield "what", f"{what} ({one.kind})"
    for edit in (one.incoming, one.existing):
        yield edit.node, _edit(one, edit)
    if one.field is not None:
        before = f"{source} had {shown(one.base)} before" if one.base is not None else "not known"
        yield "before", before
        if field is None or field.values or field.lookup or field.reference or field.convert:
            yield "", f"(values are written as {one.node} has them)"
    yield from _decision(one, owner)
    written = line_of(one.place)
    if written.startswith("link:"):
        yield "rule", f"{one.rule}, for neither the field nor the link names another, {one.place}"
    else:
        yield "rule", f"{one.rule}, {one.place}"
        if written:
            yield "", f"the line: {written}"
    yield "now", _now(one, now)
    if one.waits:
        yield from _to_settle(one, is_running, again)


def _edit(one: Conflict, edit: Edit) -> str:
    when = f"{clock(edit.at)}" if edit.at is not None else "at a time the log does not tell"
    where = f", in the transaction that committed at {edit.position}" if edit.position else ""
    if one.field is None:
        return f"{when}{where}" if edit.at is not None else "had it otherwise"
    return f"{shown(edit.value)}, {when}{where}"


def _decision(one: Conflict, owner: str | None) -> Iterator[tuple[str, str]]:
    if one.waits:
        yield "decided", "not yet: the rule leaves it to a person, and until then each side keeps its own value"
        if one.wanted is not None:
            value = f" {shown(one.wanted_value)}" if one.wanted == "value" else ""
            yield "", f"{one.wanted_by or 'somebody'} asked for {_asked(one)}{value}"
    elif one.status == "gone":
        yield "decided", f"it decided itself by {clock(one.settled)}: the sides came to agree, or the record is no longer there"
    elif one.status == "resolved":
        value = f", {shown(ended(one).value)}"
        yield "decided", f"by {one.settled_by or 'a person'}, {clock(one.settled)}: {_whose(one)}{value}"
    elif one.rule == BREAKER:
        yield "decided", "nobody won: each side keeps changing what the other writes (by a trigger?), so it was stopped;"
        yield "", "each has its own value, and the record is parked for a person to look at"
    elif one.kind == "delete_missing":
        yield "decided", "nothing had to be done: both sides agree that it is gone"
    elif one.winner == "both":
        yield "decided", f"both count: the rule makes one value of the two, {shown(one.written)}"
    elif owner is not None:
        yield "decided", f"{owner} won: it owns the field; the other side's change was put back"
    elif one.rule == "latest":
        yield "decided", f"{one.winner} won: {_later(one)}"
    elif one.rule == "delete wins":
        yield "decided", f"{one.winner} won: a delete stands, whatever was changed at that time"
    elif one.rule == "update wins":
        yield "decided", f"{one.winner} won: a change brings the record back"
    else:
        yield "decided", f"{one.winner or 'nobody'} won by rule {one.rule}"


def _later(one: Conflict) -> str:
    times = [one.incoming.at, one.existing.at]
    if times[0] is None or times[1] is None:
        return "the later of two changes of a field counts"
    apart = abs((times[0] - times[1]).total_seconds()) * 1000
    if not apart:
        return "both changes were made in the same microsecond, and then the node counts that the configuration names later"
    return f"the later of two changes of a field counts, and {one.winner}'s was made {apart:,.3f} ms after the other"


def _now(one: Conflict, now: Mapping[str, Standing]) -> str:
    parts = []
    for node, stands in now.items():
        if not stands.known:
            parts.append(f"{node} could not be looked at")
        elif not stands.present:
            parts.append(f"{node} has no such record")
        else:
            parts.append(f"{node} has the record" if one.field is None else f"{node} has {shown(stands.value)}")
    here = now.get(one.node)
    end = ended(one)
    changed = not one.waits and one.field is not None and end.known and here is not None and here.present
    since = "; it was changed since" if changed and here is not None and here.value != end.value else ""
    return ", ".join(parts) + since


def _to_settle(one: Conflict, is_running: bool, again: str) -> Iterator[tuple[str, str]]:
    told = commands(one, again)
    stands = [f"{shown(one.edit(node).value, 60)} on both sides" for node in one.nodes]
    stands.append(f"another value, as {one.node} writes it")
    width = max(map(len, told))
    for label, command, what in zip(("to settle", "", ""), told, stands, strict=True):
        yield label, f"{command:<{width}}   {what}"
    yield "", promise(is_running)


def commands(one: Conflict, again: str) -> list[str]:
    """What settles it, to be typed as it is."""
    begin = f"replicator{again} conflicts resolve {one.id}"
    return [*(f"{begin} --take {node}" for node in one.nodes), f"{begin} --value '...'"]


def promise(is_running: bool) -> str:
    if is_running:
        return "a replicator is running: it carries this out within seconds"
    return "no replicator is running: it carries this out when `replicator run` is started"


def line_of(place: str) -> str:
    """The line of the link file, if it can be read from here."""
    path, _, rest = place.partition(".yaml:")
    number = rest.split(":")[0]
    if not number.isdecimal():
        return ""
    try:
        lines = Path(f"{path}.yaml").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    at = int(number)
    return lines[at - 1].strip() if 0 < at <= len(lines) else ""

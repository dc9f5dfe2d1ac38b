"""`replicator explain`: one record on both sides, and where each of its values comes from."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Annotated

import typer

from replicator.errors import ConfigurationError, NodeUnavailable
from replicator.mapping.chosen import link_named
from replicator.mapping.findings import near
from replicator.model import stamp
from replicator.model.link import Field
from replicator.runtime.explain import Explanation, FieldStory, NotFound, Parked, document
from replicator.runtime.explain import explain as explain_record
from replicator.runtime.history import Conflict
from replicator.runtime.lint import close_all, connect_all

from .conflict_words import clock, printable, record, shown
from .output import Output
from .session import ConfigOption, JsonOption, open_session

SHORT = 40


def explain(
    context: typer.Context,
    link: Annotated[str, typer.Argument(metavar="LINK", help="The link the record belongs to.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its key on either node; several columns are separated by commas.")],
    *,
    on: Annotated[str | None, typer.Option("--on", metavar="NODE", help="The node that the key is of.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Shows one record on both sides, and where each value comes from.

    Which node's user wrote it, when, in which transaction, by which rule it stands, and which conflict it won;
    and what of the record is parked, waits for a person, or was deleted. Ends with 1 if nothing is known of the key.

    \b
    Example:
      replicator explain customer 1017
      replicator explain order_line 4711,3 --on erp
      replicator explain customer 1017 --json | jq '.fields[] | {field, values, origin}'
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    found_link = link_named(loaded, link, on)
    nodes = [side.node for side in found_link.sides]
    if on is not None and on not in nodes:
        raise ConfigurationError(f"{link} is not on {on!r}", near(on, nodes) or f"it is between {nodes[0]} and {nodes[1]}")
    connections, unreachable = connect_all(loaded, session.environ, "explain")
    try:
        gone = next((finding for finding in unreachable if finding.where in nodes), None)
        if gone is not None:
            raise NodeUnavailable(f"{gone.where}: {gone.message}", gone.hint)
        found = explain_record(loaded, connections, found_link, key, on)
    except NotFound as nothing:
        hint = "; ".join(nothing.hints) or "a record that was never linked, or whose delete is older than `retention_days`"
        session.output.failure(nothing.message, hint)
        return 1
    finally:
        close_all(connections)
    _show(session.output, found, key)
    session.output.document(document(found))
    return 0


def _show(output: Output, found: Explanation, key: str) -> None:
    for text in _heading(found, key):
        output.line(text)
    if found.present:
        output.line()
        nodes = [side.node for side in found.link.sides]
        rows = [
            (story.field.name, *(_value(story, node) for node in nodes), _origin(found, story) if found.paired else "-")
            for story in found.fields
        ]
        output.table(("field", *nodes, "where it comes from"), rows)
    for parked in found.parked:
        output.line()
        for text in _parked(parked):
            output.line(text)
    if found.waiting:
        ids = ", ".join(f"{one.id} ({one.field})" for one in found.waiting)
        output.line(f"\nwaits for a person: {ids}; see `replicator conflicts show {found.waiting[0].id}`")


def _heading(found: Explanation, key: str) -> Iterator[str]:
    keys = {node: None if parts is None else ",".join(parts) for node, parts in found.keys.items()}
    yield f"{found.link.name}: {record(keys)}"
    if found.grave is not None:
        deleted = clock(stamp.time_of(found.grave.stamp))
        yield f"deleted on {found.grave.by}, {deleted}"
    elif found.paired and found.made is not None:
        yield f"one record since {clock(found.made.at)}, made by a change on {found.made.node}"
    elif not found.paired:
        other = " and ".join(node for node, parts in found.keys.items() if parts is None)
        where = "nothing of it is parked: it does not take part, is older than the link, or is on its way"
        yield f"not linked to a record on {other}" + ("" if found.parked else f" ({where})")
    for node in found.keys:
        if found.keys[node] is not None and node not in found.present and found.grave is None:
            yield f"{node} does not have the row"
    for node in found.namesakes:
        command = f"replicator explain {found.link.name} {shlex.quote(key)} --on {node}"
        yield f"{node} has another record with the key {key}: `{command}`"


def _value(story: FieldStory, node: str) -> str:
    return shown(story.values[node], SHORT) if node in story.values else "-"


def _origin(found: Explanation, story: FieldStory) -> str:
    origin, one = story.origin, story.field
    conflict = origin.conflict
    if origin.how == "edit":
        where = f", transaction committed at {origin.position}" if origin.position else ""
        way = _one_way(found, one, origin.node or "") if len(one.writes) < 2 else f"rule {one.rule}"
        return f"{origin.node}, {clock(origin.at)}{where}, {way}{_won(one, conflict)}"
    if origin.how == "settled" and conflict is not None:
        whose = f"{origin.node}'s value" if origin.node else "a value of its own"
        return f"{conflict.settled_by or 'a person'} settled conflict {conflict.id}, {clock(origin.at)}: {whose}"
    if origin.how == "waits" and conflict is not None:
        return f"each side keeps its own value until a person settles conflict {conflict.id}"
    if origin.how == "copied":
        return f"copied from {origin.node}: it was there already, and nobody has changed it since"
    if origin.how == "owned":
        back = "" if conflict is None else f"; the other side's change was put back in conflict {conflict.id}"
        return f"{origin.node}, which owns the field{back}"
    if origin.how == "one way":
        return _one_way(found, one, origin.node or "")
    if origin.how == "made":
        return f"as the record was made, from {origin.node}, {clock(origin.at)}"
    return f"not changed since the record was linked, or longer ago than history is kept ({found.history_days} days)"


def _won(one: Field, conflict: Conflict | None) -> str:
    if conflict is None:
        return ""
    if conflict.winner == "both":
        return f", merged in conflict {conflict.id}"
    return f", put back in conflict {conflict.id}" if one.rule.owner is not None else f", won conflict {conflict.id}"


def _one_way(found: Explanation, one: Field, source: str) -> str:
    target = found.link.other(source).node
    if not one.writes:
        return f"set once, when the record was made on {target}"
    convert = one.convert.get(target)
    if convert is None:
        return f"copied from {source} to {target} only"
    read = ", ".join(f"{source}.{column}" for column in sorted(convert.reads))
    return f"computed from {read}" if read else "a constant"


def _parked(parked: Parked) -> Iterator[str]:
    row = parked.row
    state = f" (SQLSTATE {row.sqlstate})" if row.sqlstate else ""
    yield f"parked on the way from {parked.source} to {parked.target} since {clock(row.since)}: {row.reason}{state}"
    yield f"  {printable(row.message)}"
    waits = f"waits for {row.waits_link} {printable(row.waits_key or '')}; " if row.waits_link else ""
    where = f"`replicator parked show {parked.target}:{row.id}`"
    yield f"  {waits}tried {row.attempts} times, last {clock(row.tried)}; {where}"

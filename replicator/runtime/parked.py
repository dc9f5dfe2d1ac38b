"""Parked changes as people ask for them: of all nodes, what is in them, and what people want done with them.

Promises: the databases alone are read, so it works whether or not a daemon runs; only `retry` and `discard` write, and only
what is wanted: the replicator does it. An id is `node:number` of the node that refused the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from replicator.capture.payload import KEPT
from replicator.engines.postgres import history
from replicator.engines.postgres import parked as stored
from replicator.engines.postgres.catalog import read_tables
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.parked import Discarded, Edit, Filter, ParkedChange
from replicator.engines.postgres.records import value_refused
from replicator.engines.postgres.setup import slot_name
from replicator.engines.postgres.sqlstates import REMEDIES, kind_of
from replicator.errors import ConfigurationError, NodeUnavailable
from replicator.model import stamp
from replicator.model.config import Config
from replicator.model.failure import BY_REASON, POLICIES
from replicator.model.link import Field, Link
from replicator.model.position import text as position_text
from replicator.runtime.history import link_of, require_state

Connections = Mapping[str, psycopg.Connection]
REASONS = tuple(dict.fromkeys([*(p.reason for p in POLICIES.values() if p.reason), *BY_REASON]))
SHOWN_BEHIND = 10
INSERT, UPDATE, DELETE = "I", "U", "D"


@dataclass(frozen=True, slots=True)
class Change:
    """`node`: the one that has not taken it; `source`: the one it comes from."""

    id: str
    node: str
    source: str
    row: ParkedChange

    @property
    def key(self) -> str:
        return ",".join(self.row.key)


@dataclass(frozen=True, slots=True)
class Thrown:
    """A change that was thrown away."""

    id: str
    node: str
    source: str
    row: Discarded


@dataclass(frozen=True, slots=True)
class Value:
    """A column of the source in a change. `fields`: names of the link's fields that read it, and `sent` whether any of them is
    part of this change. `kept`: the wire did not bring it, for it has not changed."""

    column: str
    value: str | None
    fields: tuple[str, ...]
    sent: bool
    kept: bool


@dataclass
class Content:
    """What there is to a parked change. `op` empty: it is a notice. `made`, `position`: of the last of the user's transactions
    in it, on the source. `place`: the line of the link file that it is about. `ahead`, `behind`: ids of parked changes."""

    op: str = ""
    made: datetime | None = None
    position: str | None = None
    values: list[Value] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    place: str = ""
    remedy: str = ""
    ahead: str | None = None
    behind: list[tuple[str, str, str]] = field(default_factory=list)


def select(connections: Connections, wanted: Filter, upto: int | None = None) -> tuple[list[Change], bool]:
    """The newest; and whether there are more than `upto`."""
    require_state(connections)
    found: list[Change] = []
    for node, connection in connections.items():
        with translated(node):
            found += [_change(node, row) for row in stored.parked(connection, wanted, None if upto is None else upto + 1)]
    found.sort(key=lambda one: (one.row.since, one.row.id), reverse=True)
    return (found, False) if upto is None else (found[:upto], len(found) > upto)


def select_discarded(connections: Connections, wanted: Filter, upto: int) -> tuple[list[Thrown], bool]:
    require_state(connections)
    found: list[Thrown] = []
    for node, connection in connections.items():
        with translated(node):
            rows = stored.discarded(connection, wanted, upto + 1)
        found += [Thrown(f"{node}:{row.id}", node, row.flow.removesuffix(f"_to_{node}"), row) for row in rows]
    found.sort(key=lambda one: (one.row.at, one.row.id), reverse=True)
    return found[:upto], len(found) > upto


def by_ids(connections: Connections, ids: Sequence[str]) -> list[Change]:
    """Those of these ids, in this order. ConfigurationError for an id that there is not."""
    require_state(connections)
    wanted = [_parse(connections, text) for text in dict.fromkeys(ids)]
    found: dict[tuple[str, int], Change] = {}
    for node in dict.fromkeys(node for node, _ in wanted):
        numbers = [number for at, number in wanted if at == node]
        with translated(node):
            for row in stored.parked(connections[node], Filter(), ids=numbers):
                found[node, row.id] = _change(node, row)
    gone = [f"{node}:{number}" for node, number in wanted if (node, number) not in found]
    if gone:
        hint = "it has gone through, or was discarded: `replicator parked list`, `replicator parked list --discarded`"
        raise ConfigurationError(f"not parked: {', '.join(gone)}", hint)
    return [found[one] for one in wanted]


def _parse(connections: Connections, text: str) -> tuple[str, int]:
    node, _, number = text.rpartition(":")
    if not node or not number.isdecimal() or not number.isascii() or len(number) > 18:
        raise ConfigurationError(
            f"{text!r} is not the id of a parked change", "ids look like erp:17; see `replicator parked list`"
        )
    if node not in connections:
        raise ConfigurationError(f"{text!r}: there is no node {node!r}", f"the nodes are {', '.join(connections)}")
    return node, int(number)


def _change(node: str, row: ParkedChange) -> Change:
    return Change(f"{node}:{row.id}", node, row.flow.removesuffix(f"_to_{node}"), row)


def running(connections: Connections, changes: Sequence[Change]) -> bool:
    """Whether a daemon reads all the flows of these: then what a person wants is soon done."""
    flows = {(one.source, one.row.flow) for one in changes}
    for source, flow in flows:
        if source not in connections:
            return False
        with translated(source):
            if not history.slots_read(connections[source], [slot_name(flow)]):
                return False
    return bool(flows)


# -- what there is to it -----------------------------------------------------------------------------------------------


def content(config: Config, connections: Connections, one: Change) -> Content:
    link, connection = link_of(config, one.row.link), connections[one.node]
    with translated(one.node):
        payload = stored.payload(connection, one.row.id)
        found = Content(edits=stored.edits(connection, one.row.id))
        ahead = stored.ahead(connection, one.row.id)
        behind = stored.behind(connection, one.row.id, SHOWN_BEHIND)
    found.ahead = None if ahead is None else f"{one.node}:{ahead}"
    found.behind = [(f"{one.node}:{number}", name, ",".join(key)) for number, name, key in behind]
    found.place = _place(link, one)
    found.remedy = _remedy(one.row)
    if not payload:
        return found
    found.op = payload["op"]
    found.made = stamp.time_of(payload["stamp"]) if stamp.is_dated(payload["stamp"]) else None
    found.position = position_text(payload["lsn"]) if payload["lsn"] else None
    mask = int(payload["fields"])
    for column, value in payload["values"].items():
        readers = _readers(link, one.source, column) if link is not None else []
        kept = value == KEPT
        sent = found.op != DELETE and any(mask >> number & 1 for number, _ in readers)
        names = tuple(at.name for _, at in readers)
        found.values.append(Value(column, None if kept else value, names, sent, kept))
    return found


def _readers(link: Link, source: str, column: str) -> list[tuple[int, Field]]:
    """The fields whose value on the other node depends on this column of the source."""
    target = link.other(source).node
    found = []
    for number, at in enumerate(link.fields):
        expressions = [e for e in (at.convert.get(target), at.initial.get(target)) if e is not None]
        expressions += at.lookup.match.values() if at.lookup is not None else []
        if target in at.writes and (at.columns.get(source) == column or any(column in e.reads for e in expressions)):
            found.append((number, at))
    return found


def _place(link: Link | None, one: Change) -> str:
    """The line of the link file that the message speaks of: its own words, the field of the column it names, or the link."""
    if link is None:
        return ""
    said = one.row.message
    marks = [at.mark for at in link.fields] + [link.mark, *([link.match_mark] if link.match_mark else [])]
    spoken = next((str(mark) for mark in marks if said.startswith(f"{mark}:") or f"({mark})" in said), None)
    named = next((str(at.mark) for at in link.fields if f"column {at.columns.get(one.node)}]" in said), None)
    return spoken or named or str(link.mark)


def _remedy(row: ParkedChange) -> str:
    if row.reason in BY_REASON:
        return BY_REASON[row.reason].remedy
    state = row.sqlstate or ""
    policy = POLICIES[kind_of(state)] if state else POLICIES["refused"]
    special = REMEDIES.get(state)
    return f"{special}; {policy.remedy}" if special else policy.remedy


# -- what people want --------------------------------------------------------------------------------------------------


def retry(connections: Connections, changes: Sequence[Change]) -> list[str]:
    """Gives the ids of those that were still parked."""
    done = []
    for node, numbers in _by_node(connections, changes).items():
        with translated(node):
            done += [f"{node}:{number}" for number in stored.retry(connections[node], numbers)]
    return done


def discard(connections: Connections, changes: Sequence[Change], by: str) -> list[str]:
    """Gives the ids of those that were still parked."""
    done = []
    for node, numbers in _by_node(connections, changes).items():
        with translated(node):
            done += [f"{node}:{number}" for number in stored.discard(connections[node], numbers, by)]
    return done


def edit_and_retry(
    config: Config, connections: Connections, one: Change, wanted: Mapping[str, str | None], by: str, dry_run: bool
) -> bool:
    """`wanted`: column of the source -> the value to be sent, as the source writes it. ConfigurationError for a column that
    cannot be edited; False if the change holds another value by now, or is no longer parked."""
    link = link_of(config, one.row.link)
    if link is None:
        raise ConfigurationError(f"{one.id} is of link {one.row.link}, which is not in the configuration", "discard it")
    with translated(one.node):
        payload = stored.payload(connections[one.node], one.row.id)
    for column, value in wanted.items():
        _check_edit(connections, link, one, payload, column, value)
    if dry_run:
        return True
    values = payload["values"]
    with translated(one.node):
        return stored.edit_and_retry(connections[one.node], one.row.id, {c: values[c] for c in wanted}, wanted, by)


def _check_edit(
    connections: Connections, link: Link, one: Change, payload: Mapping[str, Any], column: str, value: str | None
) -> None:
    side = link.side(one.source)
    values = payload.get("values", {})
    if not payload or payload["op"] == DELETE:
        raise ConfigurationError(f"{one.id} carries no values to edit", "`replicator parked show` tells what it is")
    if column not in values:
        hint = f"it carries {', '.join(name for name in values if name not in side.key)}: columns of {side.table} on {one.source}"
        raise ConfigurationError(f"{one.id} has no column {column!r} of {one.source}", hint)
    if column in side.key:
        raise ConfigurationError(f"{column} is the key of the record", "change the key on the source, or discard this")
    if column in side.derived or side.query is not None:
        raise ConfigurationError(f"{column} is read by a query on {one.source} each time", "correct there what it reads")
    readers = _readers(link, one.source, column)
    if any(at.rule.kind == "delta" for _, at in readers):
        raise ConfigurationError(
            f"{column} is a counter: what was added to it is sent, not its value", f"correct it on {one.source}"
        )
    if payload["op"] == UPDATE and not any(int(payload["fields"]) >> number & 1 for number, _ in readers):
        raise ConfigurationError(f"{one.id} does not send {column}: it has not changed", f"correct it on {one.source}")
    if value is None:
        return
    if one.source not in connections:
        raise NodeUnavailable(f"{one.source}: not reached", "whether its column can hold the value is asked there")
    with translated(one.source):
        found = read_tables(connections[one.source], set(side.tables))
        known = next((t.by_name[column] for t in found.values() if t is not None and column in t.by_name), None)
        refused = value_refused(connections[one.source], known, value) if known is not None else None
    if refused:
        raise ConfigurationError(
            f"the value for {column} {refused}", f"write it as {one.source} has it, in {side.table}.{column}"
        )


def _by_node(connections: Connections, changes: Sequence[Change]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for one in changes:
        if one.node not in connections:
            raise NodeUnavailable(f"{one.node}: not reached", "it holds changes that are concerned")
        found.setdefault(one.node, []).append(one.row.id)
    return found

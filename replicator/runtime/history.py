"""Conflicts as people ask for them: read from all nodes, each one once.

Promises: the databases alone are read, so it works whether or not a daemon runs, and with the daemon's own role;
only `settle` writes, and only what a person wants into entries that wait. An id is `node:number`, unique over the nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg

from replicator.engines.postgres import history
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.history import ConflictRow, Selection
from replicator.engines.postgres.records import find_row
from replicator.engines.postgres.setup import flow_name, has_state, slot_name
from replicator.errors import ConfigurationError, NodeUnavailable, ReplicatorError
from replicator.model import stamp
from replicator.model.config import Config
from replicator.model.link import Field, Link

Connections = Mapping[str, psycopg.Connection]
OPEN = "open"
KINDS = (
    "insert_exists", "update_origin_differs", "update_exists", "update_missing", "update_deleted",
    "delete_origin_differs", "delete_missing", "multiple_unique_conflicts",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edit:
    """What one side's user had written, as far as it is known. `position`: where the transaction committed, in the WAL of
    that node."""

    node: str
    value: str | None
    at: datetime | None
    position: str | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """One conflict. `also`: ids of the entry that the other node has of the same. Values are as `node` has them.
    `keys`: node -> the record's key there, None if it is not known. The rest as in sql/state.sql."""

    id: str
    also: tuple[str, ...]
    node: str
    at: datetime
    link: str
    kind: str
    field: str | None
    keys: dict[str, str | None]
    incoming: Edit
    existing: Edit
    base: str | None
    written: str | None
    winner: str | None
    rule: str
    place: str
    status: str
    wanted: str | None
    wanted_value: str | None
    wanted_by: str | None
    settled: datetime | None
    settled_by: str | None
    row: ConflictRow

    @property
    def waits(self) -> bool:
        return self.status == OPEN

    @property
    def nodes(self) -> tuple[str, str]:
        return self.incoming.node, self.existing.node

    def edit(self, node: str) -> Edit:
        return self.incoming if self.incoming.node == node else self.existing

    @property
    def stamps(self) -> frozenset[int]:
        return frozenset(s for s in (self.row.incoming_stamp, self.row.existing_stamp) if s is not None)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a side has now. `known` False: the node, its table or the record's key there is not to be had."""

    known: bool
    present: bool = False
    value: str | None = None


def require_state(connections: Connections) -> None:
    for node, connection in connections.items():
        with translated(node):
            if not has_state(connection):
                raise ConfigurationError(f"{node}: not initialised", "run `replicator init` first")


def select(connections: Connections, selection: Selection, upto: int | None = None) -> tuple[list[Conflict], bool]:
    """The newest, each once; and whether there are more than `upto`."""
    require_state(connections)
    found: list[Conflict] = []
    for node, connection in connections.items():
        with translated(node):
            rows = history.conflicts(connection, selection, None if upto is None else upto + 1)
        found += [_conflict(node, row) for row in rows]
    merged = once(found)
    return (merged, False) if upto is None else (merged[:upto], len(merged) > upto)


def by_ids(connections: Connections, ids: Sequence[str]) -> list[Conflict]:
    """Those of these ids, in this order, each once. ConfigurationError for an id that there is not."""
    wanted = [parse_id(connections, text) for text in dict.fromkeys(ids)]
    found: dict[str, Conflict] = {}
    for node in {node for node, _ in wanted}:
        with translated(node):
            rows = history.conflicts_by_id(connections[node], [number for where, number in wanted if where == node])
            found |= {c.id: c for c in (_conflict(node, row) for row in rows)}
    gone = [f"{node}:{number}" for node, number in wanted if f"{node}:{number}" not in found]
    if gone:
        hint = "`replicator conflicts list` shows those there are; they are kept as long as `retention_days` says"
        raise ConfigurationError(f"there is no conflict {', '.join(gone)}", hint)
    whole = {}
    for node, number in wanted:
        one = _with_twin(connections, found[f"{node}:{number}"])
        whole[one.id] = one
    return list(whole.values())


def of_record(connections: Connections, link: str, keys: Mapping[str, str | None]) -> list[Conflict]:
    """All that these nodes have logged of one record, newest first."""
    found = []
    for node in (node for node in keys if node in connections):
        there = next(key for other, key in keys.items() if other != node)
        with translated(node):
            rows = history.conflicts_of_record(connections[node], link, keys[node], there)
        found += [_conflict(node, row) for row in rows]
    return once(found)


def parse_id(connections: Connections, text: str) -> tuple[str, int]:
    node, _, number = text.rpartition(":")
    if not node or not number.isdecimal() or not number.isascii() or len(number) > 18:
        raise ConfigurationError(f"{text!r} is not the id of a conflict", "ids look like crm:17; see `replicator conflicts list`")
    if node not in connections:
        raise ConfigurationError(f"{text!r}: there is no node {node!r}", f"the nodes are {', '.join(connections)}")
    return node, int(number)


def once(found: Iterable[Conflict]) -> list[Conflict]:
    """Newest first. What both nodes logged of one conflict becomes one: the entry that waits, or else the one that knows both
    keys, or the later one."""
    ordered = sorted(found, key=lambda c: (c.waits, None not in c.keys.values(), c.at, c.id), reverse=True)
    kept: dict[str, Conflict] = {}
    alike: dict[object, list[str]] = {}
    for one in ordered:
        # Where only one of the two edits is known, another node's entry cannot be told to be of the same two.
        ids = alike.setdefault((one.link, one.field, one.stamps) if len(one.stamps) == 2 else one.id, [])
        twin = next((i for i in ids if _same_record(kept[i], one) and not kept[i].also), None)
        if twin is None:
            kept[one.id] = one
            ids.append(one.id)
        else:
            kept[twin] = _joined(kept[twin], one)
    return sorted(kept.values(), key=lambda c: (c.at, c.id), reverse=True)


def _same_record(one: Conflict, other: Conflict) -> bool:
    """As far as both entries know its keys. A node logs a conflict once."""
    keys = ((one.keys.get(node), other.keys.get(node)) for node in one.keys)
    return one.node != other.node and all(a == b for a, b in keys if a is not None and b is not None)


def _joined(one: Conflict, other: Conflict) -> Conflict:
    """The other node's entry knows where the transaction committed that was there already."""
    existing = replace(one.existing, position=one.existing.position or other.incoming.position)
    incoming = replace(one.incoming, position=one.incoming.position or other.existing.position)
    keys = {node: key if key is not None else other.keys.get(node) for node, key in one.keys.items()}
    return replace(one, also=(other.id,), existing=existing, incoming=incoming, keys=keys)


def _with_twin(connections: Connections, one: Conflict) -> Conflict:
    other = one.incoming.node
    if len(one.stamps) < 2 or other not in connections:
        return one
    twins = of_record({other: connections[other]}, one.link, one.keys)
    return next((c for c in once([one, *twins]) if one.id in (c.id, *c.also)), one)


def _conflict(node: str, row: ConflictRow) -> Conflict:
    source = row.flow.removesuffix(f"_to_{node}")
    return Conflict(
        id=f"{node}:{row.id}", also=(), node=node, at=row.at, link=row.link, kind=row.kind, field=row.field,
        keys=dict(sorted({source: row.source_key, node: row.target_key}.items())),
        incoming=Edit(source, row.incoming, _time(row.incoming_stamp), row.incoming_lsn),
        existing=Edit(node, row.existing, _time(row.existing_stamp), None),
        base=row.base, written=row.written, winner=row.winner, rule=row.rule, place=row.place, status=row.status,
        wanted=row.wanted, wanted_value=row.wanted_value, wanted_by=row.wanted_by,
        settled=row.settled, settled_by=row.settled_by, row=row,
    )  # fmt: skip


def _time(made: int | None) -> datetime | None:
    return stamp.time_of(made) if made is not None and stamp.is_dated(made) else None


# -- what there is to it -----------------------------------------------------------------------------------------------


def link_of(config: Config, name: str) -> Link | None:
    """By the name under which the log has it."""
    return next((link for link in config.links if link.name == name), None)


def field_of(link: Link | None, name: str | None) -> Field | None:
    return next((field for field in link.fields if field.name == name), None) if link is not None else None


def split_key(link: Link, node: str, text: str | None) -> tuple[str, ...] | None:
    """A key as the log has it, by column; None where commas of its own make that impossible to tell."""
    if text is None:
        return None
    parts = tuple(text.split(",")) if len(link.side(node).key) > 1 else (text,)
    return parts if len(parts) == len(link.side(node).key) else None


def standing(config: Config, connections: Connections, one: Conflict) -> dict[str, Standing]:
    """What now stands on both sides, read there."""
    link = link_of(config, one.link)
    field = field_of(link, one.field)
    found = {}
    for node in one.keys:
        found[node] = Standing(False)
        connection = connections.get(node)
        if link is None or connection is None or node not in {side.node for side in link.sides}:
            continue
        key = split_key(link, node, one.keys[node])
        columns = [field.columns[node]] if field is not None and node in field.columns else []
        if key is None or (one.field is not None and not columns):
            continue
        try:
            with translated(node):
                row = find_row(connection, link.side(node), key, columns)
        except ReplicatorError:  # the table has changed, or may not be read: the rest is still worth showing
            continue
        found[node] = Standing(True, row is not None, row.values[0] if row and columns else None)
    return found


def running(connections: Connections, one: Conflict) -> bool:
    """Whether a daemon reads between the nodes of this conflict: then what a person wants is soon done."""
    for source, target in (one.nodes, one.nodes[::-1]):
        if source in connections:
            with translated(source):
                if history.slots_read(connections[source], [slot_name(flow_name(source, target))]):
                    return True
    return False


def settle(connections: Connections, conflicts: Sequence[Conflict], wanted: str, value: str | None, by: str) -> list[str]:
    """Says what is to become of these. Gives the ids of those that still were as they had been read."""
    done = []
    for node in dict.fromkeys(one.node for one in conflicts):
        if node not in connections:
            raise NodeUnavailable(f"{node}: not reached", "it holds entries that are to be settled")
        rows = [one.row for one in conflicts if one.node == node]
        with translated(node):
            done += [f"{node}:{number}" for number in history.want(connections[node], rows, wanted, value, by)]
    return done


def as_document(one: Conflict) -> dict[str, Any]:
    """For --json."""
    return {
        "id": one.id, "also": list(one.also), "at": _iso(one.at), "link": one.link, "field": one.field, "kind": one.kind,
        "keys": one.keys, "values_as": one.node,
        "incoming": _edit(one.incoming), "existing": _edit(one.existing), "base": one.base, "written": one.written,
        "winner": one.winner, "rule": one.rule, "place": one.place, "status": one.status,
        "wanted": one.wanted, "wanted_value": one.wanted_value, "wanted_by": one.wanted_by,
        "settled": _iso(one.settled), "settled_by": one.settled_by,
    }  # fmt: skip


def _edit(edit: Edit) -> dict[str, Any]:
    return {"node": edit.node, "value": edit.value, "at": _iso(edit.at), "position": edit.position}


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()

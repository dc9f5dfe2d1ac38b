"""One record of a link: how it stands on both sides, and where each value comes from.

What is known: the crosswalk (which records are one, and since when), the ledgers (which changes were applied where, as
far back as history is kept), the conflict log, what is parked, and the graves of pairs that were deleted.
Promises: reads only; what cannot be known is said to be unknown and never guessed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from replicator.engines.postgres import records
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.history import ParkedRow, parked_of
from replicator.engines.postgres.records import Entry, Grave, Key, PairRow
from replicator.engines.postgres.setup import flow_name
from replicator.errors import ConfigurationError, NodeUnavailable
from replicator.model import stamp
from replicator.model.config import Config
from replicator.model.link import Field, Link
from replicator.program.layout import Layout, is_plain
from replicator.runtime.history import Conflict, Connections, as_document, of_record, require_state
from replicator.runtime.wiring import complete, read_catalog

How = Literal["edit", "copied", "settled", "waits", "owned", "one way", "made", "unknown"]


@dataclass(frozen=True, slots=True)
class Made:
    """The change that made the pair: on which node somebody entered the record, and when."""

    node: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a field's value comes from.

    edit      somebody on `node` wrote it at `at`, in the transaction that committed at `position` of that node's WAL;
              the replicator wrote it on the other side at `written_at` of that one's
    settled   a person settled `conflict` at `at`
    owned     `node` owns the field: what stands there counts
    one way   it is only ever written from `node` to the other side
    waits     each side keeps its own until a person settles `conflict`
    made      as the record was made, on `node` at `at`
    unknown   not changed since the pair was made, or longer ago than history is kept
    """

    how: How
    node: str | None = None
    at: datetime | None = None
    position: str | None = None
    written_at: str | None = None
    conflict: Conflict | None = None


@dataclass(frozen=True, slots=True)
class FieldStory:
    """`values`: node -> what stands there; without a node that has no such column, or where the record is not."""

    field: Field
    values: dict[str, str | None]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Parked:
    """A change of this record that is set aside. `flow` leads from `source` to `target`."""

    source: str
    target: str
    row: ParkedRow


@dataclass
class Explanation:
    """`keys`: by node, None where there is none. `present`: nodes that have a row. `paired`: whether the two are linked.
    `grave`: the pair is dead. `namesakes`: nodes that have another record with the key that was asked for."""

    link: Link
    keys: dict[str, Key | None]
    present: frozenset[str] = frozenset()
    paired: bool = False
    made: Made | None = None
    grave: Grave | None = None
    fields: list[FieldStory] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    waiting: list[Conflict] = field(default_factory=list)
    history_days: int = 0
    namesakes: list[str] = field(default_factory=list)


class NotFound(Exception):
    """Nothing is known of that key. `hints`: where else it might be meant."""

    def __init__(self, message: str, hints: Sequence[str]) -> None:
        super().__init__(message)
        self.message = message
        self.hints = hints


def split_key(text: str, columns: int) -> Key | None:
    """Several columns are separated by commas; a part with a comma of its own is put in double quotes."""
    if columns == 1:
        return (text,)
    parts = tuple(next(csv.reader([text], skipinitialspace=True), []))
    return parts if len(parts) == columns else None


def explain(config: Config, connections: Connections, link: Link, text: str, on: str | None) -> Explanation:
    """Raises NotFound."""
    ends = {side.node: connections[side.node] for side in link.sides if side.node in connections}
    if len(ends) < 2:
        gone = next(side.node for side in link.sides if side.node not in ends)
        raise NodeUnavailable(f"{gone}: not reached", "what a value comes from is only known to both nodes together")
    require_state(ends)
    found = _Search(config, ends, link).find(text, on)
    found.history_days = config.settings.history_days
    _read_rows(ends, found)
    _read_rest(config, ends, found)
    return found


class _Search:
    """From a key of either side to the record it means."""

    def __init__(self, config: Config, ends: Connections, link: Link) -> None:
        self.config = config
        self.ends = ends
        self.link = link
        by_name = {one.name: one for one in config.links}
        tables = complete(read_catalog([link], ends), [link])
        self.direct = Layout(link, by_name, tables, *sorted(link.flows)[0]).direct

    def find(self, text: str, on: str | None) -> Explanation:
        nodes = [side.node for side in self.link.sides if on in (None, side.node)]
        keys = {node: split_key(text, len(self.link.side(node).key)) for node in nodes}
        if not any(keys.values()):
            wanted = " or ".join(f"{node}: {','.join(self.link.side(node).key)}" for node in nodes)
            raise ConfigurationError(f"{self.link.name} has a key of several columns", f"separate them by commas ({wanted})")
        for look in (self._alive, self._dead, self._alone):
            hits = [hit for node, key in keys.items() if key is not None and (hit := look(node, key)) is not None]
            if len(hits) > 1 and hits[0].keys != hits[1].keys:
                message = f"{text} is a key on both nodes, of two different records"
                raise ConfigurationError(message, f"say which with --on {nodes[0]} or --on {nodes[1]}")
            if hits:
                hits[0].namesakes = self._namesakes(hits[0], keys)
                return hits[0]
        where = " or ".join(nodes)
        raise NotFound(f"{self.link.name}: no record with the key {text} is known on {where}", self._hints(text, on))

    def _alive(self, node: str, key: Key) -> Explanation | None:
        if self.direct:
            return self._same_key(node, key)
        pairs = []
        for where, connection in self.ends.items():
            with translated(where):
                pairs += records.find_pairs(connection, self.link, node, key)
        if not pairs:
            return None
        return Explanation(self.link, dict(pairs[0].keys), paired=True, made=self._made(pairs))

    def _made(self, pairs: Sequence[PairRow]) -> Made | None:
        made = next((pair.made for pair in pairs if pair.made is not None), None)
        return None if made is None or not stamp.is_dated(made) else Made(node_of(self.config, made), stamp.time_of(made))

    def _same_key(self, node: str, key: Key) -> Explanation | None:
        """Without a crosswalk: the other side's key is a copy of this one's."""
        source, target = next(iter(self.link.flows))
        copies = {f.columns[source]: f.columns[target] for f in self.link.fields if is_plain(f) and target in f.writes}
        order = [copies[name] for name in self.link.side(source).key]
        assert tuple(order) == self.link.side(target).key
        rows = {}
        for where, connection in self.ends.items():
            with translated(where):
                rows[where] = records.find_row(connection, self.link.side(where), key, ())
        if rows[node] is None:
            return None
        keys = {where: row.key if row else None for where, row in rows.items()}
        return Explanation(self.link, keys, paired=all(keys.values()))

    def _dead(self, node: str, key: Key) -> Explanation | None:
        if self.direct:
            return None
        graves: list[Grave] = []
        for where, connection in self.ends.items():
            with translated(where):
                graves += records.find_graves(connection, self.link, node, key)
        if not graves:
            return None
        newest = max(graves, key=lambda grave: grave.stamp)
        return Explanation(self.link, dict(newest.keys), grave=newest)

    def _alone(self, node: str, key: Key) -> Explanation | None:
        """A row that has no counterpart, or a parked change of one that is gone again."""
        with translated(node):
            row = records.find_row(self.ends[node], self.link.side(node), key, ())
        keys: dict[str, Key | None] = dict.fromkeys(self.ends)
        keys[node] = row.key if row else key
        found = Explanation(self.link, keys)
        return found if row or _parked(self.ends, found) else None

    def _namesakes(self, found: Explanation, keys: Mapping[str, Key | None]) -> list[str]:
        """Nodes where the key is that of another record, which nobody has linked yet."""
        others = []
        for node, key in keys.items():
            if key is not None and found.keys[node] != key:
                with translated(node):
                    row = records.find_row(self.ends[node], self.link.side(node), key, ())
                if row is not None and row.key != found.keys[node]:
                    others.append(node)
        return others

    def _hints(self, text: str, on: str | None) -> list[str]:
        """Where else that key is known: the other node, or another link."""
        hints = []
        for link in self.config.links:
            for side in link.sides:
                if side.node not in self.ends or (link.name == self.link.name and on in (None, side.node)):
                    continue
                key = split_key(text, len(side.key))
                if key is None:
                    continue
                with translated(side.node):
                    row = records.find_row(self.ends[side.node], side, key, ())
                if row is not None:
                    hints.append(f"{side.node} has it in {side.table}: `replicator explain {link.name} {text} --on {side.node}`")
        return hints


def node_of(config: Config, made: int) -> str:
    number = stamp.node_of(made)
    return next((node.name for node in config.nodes if node.number == number), f"node number {number}")


def _read_rows(ends: Connections, found: Explanation) -> None:
    """The values on both sides."""
    link, present = found.link, set()
    values: dict[str, dict[str, str | None]] = {}
    for node, key in found.keys.items():
        columns = sorted({f.columns[node] for f in link.fields if node in f.columns})
        if key is None:
            continue
        with translated(node):
            row = records.find_row(ends[node], link.side(node), key, columns)
        if row is not None:
            present.add(node)
            values[node] = dict(zip(columns, row.values, strict=True))
    found.present = frozenset(present)
    for one in link.fields:
        here = {node: values[node][column] for node, column in one.columns.items() if node in values}
        found.fields.append(FieldStory(one, here, Origin("unknown")))


def _read_rest(config: Config, ends: Connections, found: Explanation) -> None:
    link = found.link
    texts = {node: None if key is None else ",".join(key) for node, key in found.keys.items()}
    logged = of_record(ends, link.name, texts)
    found.waiting = [one for one in logged if one.waits]
    found.parked = _parked(ends, found)
    entries: dict[str, list[Entry]] = {}
    for node, key in found.keys.items():
        if key is not None and found.paired:
            with translated(node):
                entries[node] = records.find_entries(ends[node], link, node, key)
    for place, story in enumerate(found.fields):
        of_field = [one for one in logged if one.field == story.field.name]
        origin = _origin(config, found, place, story.field, entries, of_field)
        found.fields[place] = FieldStory(story.field, story.values, origin)


def _origin(
    config: Config,
    found: Explanation,
    place: int,
    one: Field,
    entries: Mapping[str, Sequence[Entry]],
    logged: Sequence[Conflict],
) -> Origin:
    width = len(found.link.fields)
    # Entries of another width are from before the link's fields changed: their bits mean other fields.
    hits = [
        (entry.stamp, entry, node)
        for node, some in entries.items()
        for entry in some
        if len(entry.fields) == width and entry.fields[place] == "1" and not _older(entry, found.made)
    ]
    newest = max(hits, default=None, key=lambda hit: hit[0])
    edited = stamp.time_of(newest[0]) if newest else None
    waiting = next((c for c in logged if c.waits), None)
    if waiting is not None:
        return Origin("waits", conflict=waiting)
    person = next((c for c in logged if c.status == "resolved" and c.settled), None)
    if person is not None and person.settled is not None and (edited is None or person.settled >= edited):
        return Origin("settled", person.winner, person.settled, conflict=person)
    if newest is not None:
        made, entry, _ = newest
        node = node_of(config, made)
        if not stamp.is_dated(made):
            return Origin("copied", node)
        return Origin("edit", node, edited, entry.source_lsn, entry.lsn, _decided(logged, made, node))
    if one.rule.owner is not None and len(one.writes) > 1:
        return Origin("owned", one.rule.owner, conflict=next(iter(logged), None))
    if len(one.writes) < 2:
        target = next(iter(one.writes or one.columns))
        return Origin("one way", found.link.other(target).node)
    since = datetime.now(UTC) - timedelta(days=found.history_days)
    if found.made is not None and found.made.at > since:
        return Origin("made", found.made.node, found.made.at)
    return Origin("unknown")


def _older(entry: Entry, made: Made | None) -> bool:
    """Whether it speaks of another record, which had the key before this one was made."""
    return made is not None and stamp.time_of(entry.stamp) < made.at


def _decided(logged: Iterable[Conflict], made: int, node: str) -> Conflict | None:
    """The conflict that this edit won, or that it answers: a node that merges two values, or puts its own back, says so to the
    other with a stamp just above that of the edit it answers."""
    number = stamp.node_of(made)
    for one in logged:
        if one.winner in (node, "both") and (made in one.stamps or any(stamp.above(s, number) == made for s in one.stamps)):
            return one
    return None


def _parked(ends: Connections, found: Explanation) -> list[Parked]:
    parked = []
    for source, target in sorted(found.link.flows):
        key = found.keys.get(source)
        if key is not None:
            with translated(target):
                rows = parked_of(ends[target], flow_name(source, target), found.link.name, key)
            parked += [Parked(source, target, row) for row in rows]
    return parked


# -- for --json --------------------------------------------------------------------------------------------------------


def document(found: Explanation) -> dict[str, Any]:
    return {
        "link": found.link.name,
        "keys": {node: None if key is None else list(key) for node, key in found.keys.items()},
        "present": {node: node in found.present for node in found.keys},
        "paired": found.paired,
        "made": None if found.made is None else {"node": found.made.node, "at": found.made.at.isoformat()},
        "deleted": None if found.grave is None else {
            "node": found.grave.by, "at": stamp.time_of(found.grave.stamp).isoformat(),
        },
        "history_days": found.history_days, "namesakes": found.namesakes,
        "fields": [_field(story) for story in found.fields],
        "parked": [_parked_document(parked) for parked in found.parked],
        "waiting": [as_document(one) for one in found.waiting],
    }  # fmt: skip


def _field(story: FieldStory) -> dict[str, Any]:
    origin = story.origin
    return {
        "field": story.field.name, "columns": story.field.columns, "values": story.values,
        "rule": str(story.field.rule), "place": str(story.field.mark),
        "origin": {
            "how": origin.how, "node": origin.node, "at": None if origin.at is None else origin.at.isoformat(),
            "position": origin.position, "written_at": origin.written_at,
            "conflict": None if origin.conflict is None else origin.conflict.id,
        },
    }  # fmt: skip


def _parked_document(parked: Parked) -> dict[str, Any]:
    row = parked.row
    return {
        "id": row.id, "source": parked.source, "target": parked.target, "reason": row.reason, "sqlstate": row.sqlstate,
        "message": row.message, "waits_link": row.waits_link, "waits_key": row.waits_key, "attempts": row.attempts,
        "since": row.since.isoformat(), "tried": row.tried.isoformat(), "retry": row.retry,
    }  # fmt: skip

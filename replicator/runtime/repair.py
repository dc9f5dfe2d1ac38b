"""`reconcile --repair`: carries out what reconcile/mend.py decides of the differences that a reconcile has found.

Values go through the flows like those of any existing record, so triggers fire, origins are set and an edit that comes
meanwhile beats them; each is written down in the conflict log with both values first. Only what a flow cannot say is done
here: pairs that point nowhere are forgotten, a node is told of a pair that the other knows, and a copy whose source
is gone is removed by the link's own delete. Promises: what is done is what was printed, no more than `limit` records; broken
off, the rest is found by the next reconcile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice

from replicator.engines.postgres import backfills
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.pauses import require_going
from replicator.engines.postgres.setup import flow_name
from replicator.engines.postgres.sql import statement
from replicator.engines.postgres.writer import PostgresWriter
from replicator.model import stamp
from replicator.model.config import Config
from replicator.model.link import Link
from replicator.program.compile import compile_flow
from replicator.program.layout import Layout
from replicator.program.mending import Lookups, lookups, tell
from replicator.program.program import Program
from replicator.program.projection import Tables
from replicator.program.sql import bit_text
from replicator.reconcile.difference import Difference
from replicator.reconcile.mend import Known, Left, Mending, decide
from replicator.runtime.reconcile import Report
from replicator.runtime.wiring import complete, dsn_of, links_between, node_pairs, plain_connections, read_catalog

REPAIR = "repair"
AT_ONCE = 1_000  # differences whose records are looked up together


@dataclass
class Plan:
    """What would be done, and what nobody has decided. `beyond`: differences above the limit."""

    mendings: list[Mending] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    differences: dict[int, Difference] = field(default_factory=dict)  # number of the mending -> what it mends
    beyond: int = 0

    def __bool__(self) -> bool:
        return bool(self.mendings)


class Repair:
    """A context manager: sessions of its own on each node."""

    def __init__(self, config: Config, environ: Mapping[str, str], who: str) -> None:
        self._config, self._who = config, who
        self._stack = ExitStack()
        self._sessions: dict[str, PostgresWriter] = {}
        for node in config.nodes:
            timeout = config.settings.lock_timeout_ms
            session = PostgresWriter(node.name, dsn_of(config, node.name, environ), None, timeout, "repairs")
            self._stack.callback(session.close)
            self._sessions[node.name] = session
        connections = plain_connections(config, environ, "repair looks")
        try:
            self._tables: dict[str, Tables] = {}
            self._programs: dict[tuple[str, str, str], tuple[Program, Layout]] = {}
            catalog = read_catalog(config.links, connections)
        finally:
            for connection in connections.values():
                connection.close()
        for pair in node_pairs(config):
            links = links_between(config, pair)
            tables = complete({key: found for key, found in catalog.items() if key[0] in pair}, links)
            by_name = {link.name: link for link in links}
            for source, target in (pair, (pair[1], pair[0])):
                for program in compile_flow(links, tables, source, target):
                    layout = Layout(program.link, by_name, tables, source, target)
                    self._programs[program.link.name, source, target] = (program, layout)
        self._links = {link.name: link for link in config.links}

    def __enter__(self) -> Repair:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    # -- what would be done ----------------------------------------------------------------------------------------

    def plan(self, report: Report, prefer: str | None, limit: int | None) -> Plan:
        plan = Plan()
        differing = {result.link for result in report.links if len(result.differences)}
        for node, session in self._sessions.items():
            with translated(node):
                require_going(session.connection, differing)
        for result in report.links:
            link = self._links[result.link]
            for some in _some(result.differences):
                for one, known in zip(some, self._known(link, some), strict=True):
                    if limit is not None and len(plan.mendings) >= limit:
                        plan.beyond += 1
                        continue
                    mendings, left = decide(link, one, known, prefer)
                    for mending in mendings:
                        plan.differences[len(plan.mendings)] = one
                        plan.mendings.append(mending)
                    plan.left += left
        return plan

    def _lookups(self, link: Link) -> dict[str, Lookups]:
        """By node; empty for links whose records have no pairs."""
        found = {}
        for (name, source, target), (program, layout) in self._programs.items():
            if name == link.name and program.paired:
                found[source] = lookups(link, source, layout.source_table)
                found[target] = lookups(link, target, layout.target_table)
        return found

    def _known(self, link: Link, some: Sequence[Difference]) -> list[Known]:
        there: dict[str, set[tuple[str, ...]]] = {}
        newest: dict[tuple[str, tuple[str, ...]], dict[str, int]] = {}
        for node, asked in self._lookups(link).items():
            session = self._sessions[node]
            keys = {key for one in some if None not in (key := one.keys.get(node, (None,)))}
            session.execute(asked.setup)
            session.load(asked.load, [[(part or "").encode() for part in key] for key in keys])
            there[node] = {tuple(key) for (key,) in session.query(asked.there)}
            for key, fields, made in session.query(asked.newest) if asked.newest else ():
                if not stamp.is_dated(made):
                    continue
                of_record = newest.setdefault((node, tuple(key)), {})
                for number, one in enumerate(link.fields):
                    if number < len(fields) and fields[number] == "1":
                        of_record[one.name] = max(made, of_record.get(one.name, 0))
            session.execute(asked.clear)
        return [_known_of(link, one, there, newest) for one in some]

    # -- doing it --------------------------------------------------------------------------------------------------

    def carry_out(self, plan: Plan) -> dict[str, list[int]]:
        """Gives the ids, by node, of what the flows have to do now."""
        for number, mending in enumerate(plan.mendings):
            self._log(mending, plan.differences[number])
        sent: dict[tuple[str, str, str], dict[tuple[str, ...], str | None]] = {}
        for mending in plan.mendings:
            link = self._links[mending.link]
            if mending.how in ("again", "forget"):
                self._forget(link, mending)
            elif mending.how == "tell":
                self._tell(link, mending)
            elif mending.how == "remove":
                self._remove(link, mending)
            if mending.how in ("send", "again"):
                way = (link.name, mending.source, link.other(mending.source).node)
                key = tuple(part or "" for part in mending.keys[mending.source])
                sent.setdefault(way, {})[key] = mending.mask
        ids: dict[str, list[int]] = {}
        for (name, source, target), records in sent.items():
            connection, flow = self._sessions[target].connection, flow_name(source, target)
            backfills.cancel(connection, flow, name, REPAIR)
            number = backfills.ask(
                connection, flow, name, REPAIR, expected=len(records), records=[(list(k), m) for k, m in records.items()]
            )
            ids.setdefault(target, []).append(number)
        return ids

    def _forget(self, link: Link, mending: Mending) -> None:
        for node, asked in self._lookups(link).items():
            if node in mending.keys:
                session = self._sessions[node]
                session.execute(asked.setup)
                session.load(asked.load, [[(part or "").encode() for part in mending.keys[node]]])
                for sql in asked.forget:
                    session.execute(sql)
                session.execute(asked.clear)

    def _tell(self, link: Link, mending: Mending) -> None:
        nodes = [side.node for side in link.sides]
        _, layout = next(found for (name, *_), found in self._programs.items() if name == link.name)
        tables = {layout.source: layout.source_table, layout.target: layout.target_table}
        values = [part for node in nodes for part in mending.keys[node]]
        for node in nodes:
            self._sessions[node].execute(tell(link, tables), values)

    def _remove(self, link: Link, mending: Mending) -> None:
        """By the delete of the flow that made the record, as one of its source's."""
        node = mending.source
        program, layout = self._programs[link.name, link.other(node).node, node]
        session = self._sessions[node]
        key = mending.keys.get(layout.source) or mending.keys[node]
        line = _delete_line(program, layout, [part or "" for part in key])
        session.begin()
        for ddl in program.setup:
            session.execute(ddl)
        session.load(program.load, [line])
        if program.paired:
            session.execute(program.steps.project)
        if program.steps.delete:
            session.execute(program.steps.delete)
        if program.steps.bury:
            session.query(program.steps.bury)
        for sql in program.steps.sweep:
            session.execute(sql)
        session.commit()
        if program.paired:
            self._forget(link, mending)

    def _log(self, mending: Mending, one: Difference) -> None:
        """What is about to be written over, with both values, on the node that is written on."""
        link = self._links[mending.link]
        source, target = mending.source, link.other(mending.source).node
        if mending.how == "remove":
            source, target = target, source
        keys = [",".join(part or "" for part in one.keys[node]) if node in one.keys else None for node in (source, target)]
        for name in mending.fields if mending.how == "send" and mending.fields else (None,):
            comes, stands = one.fields.get(name or "", (None, None))
            values = (comes, stands) if one.source == source else (stands, comes)
            why = mending.fields.get(name or "", mending.how)
            place = next((str(f.mark) for f in link.fields if f.name == name), str(link.mark))
            kind = "update_origin_differs" if name else "delete_missing" if mending.how == "remove" else "update_missing"
            self._sessions[target].execute(
                statement("log", "repair.sql"),
                (flow_name(source, target), link.name, kind, name, *keys, *values, source, f"repair: {why}", place, self._who),
            )


def _some(differences: Iterable[Difference]) -> Iterator[list[Difference]]:
    every = iter(differences)
    while some := list(islice(every, AT_ONCE)):
        yield some


def _known_of(
    link: Link,
    one: Difference,
    there: Mapping[str, set[tuple[str, ...]]],
    newest: Mapping[tuple[str, tuple[str, ...]], Mapping[str, int]],
) -> Known:
    """What stands in a node's ledger was edited on the other."""
    keys = {node: tuple(part or "" for part in key) for node, key in one.keys.items()}
    best: dict[str, tuple[int, str]] = {}
    for node, key in keys.items():
        for name, made in newest.get((node, key), {}).items():
            if made > best.get(name, (0, ""))[0]:
                best[name] = (made, link.other(node).node)
    present = frozenset(node for node, key in keys.items() if key in there.get(node, ()))
    return Known({name: node for name, (_, node) in best.items()}, present)


def _delete_line(program: Program, layout: Layout, key: Sequence[str]) -> list[bytes | str | int | None]:
    """As staging.stage_ddl wants it."""
    width = len(layout.link.fields)
    line: list[bytes | str | int | None] = [0, "D", bit_text(0, width)]
    if program.paired:
        line += [0, "FFFFFFFF/FFFFFFFF", None]
    raw: list[bytes | str | int | None] = [part.encode() for part in key]
    line += [*raw, *raw, *([None] * (len(layout.feed.columns) - len(raw)))]
    line += [None] * len(layout.enrichments)
    line += [0] * len(layout.counted)
    if layout.weighed:
        again = sum(e.field in layout.weighed for e in layout.enrichments)
        line += [bit_text(0, width), bit_text(0, width)]
        line += [None] * (len(layout.feed.weighed_columns) + again + len(layout.weighed))
    if program.tells_stays:
        line.append("f")
    return line

"""`replicator match`: pairs records that both sides have already, by a link's match rules; `unmatch` takes a pair apart.

Which records are the same is found out on one node by the link's own program and program/matching.py, in a transaction
that is rolled back unless it is to be applied. Then the pairs go into the crosswalks of both nodes, and their fields
through the flows like any existing record's (apply/backfill.py), decided by their rules; for fields that both sides may
write, the preferred side's value stands, unless it has none.

Promises: nothing is paired that is not each other's only match; what is doubtful is listed for a person. While
pairs become known on one node and not yet on the other, no flow can read the other's crosswalk. Killed in between, the
next `run` makes them known there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from replicator.engines.postgres import backfills
from replicator.engines.postgres.setup import flow_name
from replicator.engines.postgres.sql import statement
from replicator.engines.postgres.writer import PostgresWriter
from replicator.errors import ConfigurationError
from replicator.mapping.chosen import links_named
from replicator.model.config import Config
from replicator.model.link import Link
from replicator.program import names
from replicator.program.adopt import match_names
from replicator.program.compile import compile_flow
from replicator.program.layout import Layout
from replicator.program.matching import CLEAR, Matching, matching_of, with_all_columns
from replicator.program.program import Program
from replicator.program.projection import Tables
from replicator.program.sql import quote, state
from replicator.runtime.setup import check_applied
from replicator.runtime.wiring import complete, dsn_of, links_between, node_pairs, plain_connections, read_catalog

MATCH = "match"
HINT = "say in the link by which columns records are recognised: `match: {crm: vat_number, erp: tax_id}`"


@dataclass(frozen=True, slots=True)
class Found:
    """Two records that match by a rule (-1: by a person's word). Keys and values are by node, part by part."""

    rule: int
    keys: dict[str, tuple[str, ...]]
    verdict: str
    values: dict[str, tuple[str | None, ...]]


@dataclass
class LinkMatch:
    """What came of a link. `pairs`: rule -> pairs; `doubtful`: what a person has to look at; `differing`: field -> pairs whose
    values differ; `applied`: pairs that were made."""

    link: Link
    source: str
    target: str
    columns: dict[str, tuple[str, ...]]
    pairs: Counter[int] = field(default_factory=Counter)
    doubtful: list[Found] = field(default_factory=list)
    differing: dict[str, int] = field(default_factory=dict)
    applied: int | None = None
    backfills: dict[str, list[int]] = field(default_factory=dict)  # node -> ids of what sends the fields


@dataclass(frozen=True, slots=True)
class Decision:
    """A line of the report that a person has decided: these two are one."""

    link: str
    keys: dict[str, tuple[str, ...]]


def matchable(config: Config, wanted: Sequence[str]) -> list[Link]:
    """The links with match rules that were asked for; ConfigurationError for one that has none."""
    asked = [link for name in wanted for link in links_named(config, name)]
    for link in asked:
        if not link.matching:
            raise ConfigurationError(
                f"{link.mark}: link {link.name} has no `match`", "say in the link by which columns records are recognised"
            )
    found = [link for link in config.links if link.matching and (not wanted or link in asked)]
    if not found:
        raise ConfigurationError("no link has a `match`", HINT)
    return found


class Matcher:
    """Sessions on the nodes and what is known of their tables. A context manager."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self._config, self._environ = config, environ
        self._tables: dict[str, Tables] = {}
        connections = plain_connections(config, environ, "match looks")
        try:
            catalog = read_catalog(config.links, connections)
            check_applied(config, connections, catalog)
        finally:
            for connection in connections.values():
                connection.close()
        for pair in node_pairs(config):
            links = links_between(config, pair)
            tables = complete({key: found for key, found in catalog.items() if key[0] in pair}, links)
            self._tables |= {link.name: tables for link in links}

    def match(self, link: Link, prefer: str | None, decisions: Sequence[Decision], apply: bool, keep: bool) -> LinkMatch:
        """`prefer`: the node whose values stand where both have one (None: nobody has said). `keep`: fields are left alone."""
        source, target = _direction(link, prefer)
        links = [with_all_columns(one) if one.name == link.name else one for one in self._config.links]
        wide = next(one for one in links if one.name == link.name)
        tables = self._tables[link.name]
        by_name = {one.name: one for one in links}
        layout = Layout(wide, by_name, tables, source, target)
        between = [one for one in links if {side.node for side in one.sides} == {source, target}]
        program = next((p for p in compile_flow(between, tables, source, target) if p.link.name == link.name), None)
        assert program is not None
        columns = match_names(layout)
        found = LinkMatch(link, source, target, {source: tuple(a for a, _ in columns), target: tuple(b for _, b in columns)})
        if not program.paired:
            raise ConfigurationError(
                f"{link.mark}: the records of link {link.name} have the same key on both sides: nothing is to be paired",
                "`replicator backfill` copies them",
            )
        matching = matching_of(layout)
        with self._session(source, "reads") as reader, self._session(target, "pairs") as writer:
            reader.begin()
            writer.begin()
            _look(program, matching, reader, writer, [one for one in decisions if one.link == link.name], (source, target))
            for rule, ours, theirs, verdict, mine, other in writer.query(matching.report):
                if verdict == CLEAR:
                    found.pairs[rule] += 1
                else:
                    keys, values = {source: tuple(ours), target: tuple(theirs)}, {source: tuple(mine), target: tuple(other)}
                    found.doubtful.append(Found(rule, keys, verdict, values))
            found.differing = dict(writer.query(matching.differing))
            if apply and not keep and found.differing and prefer is None:
                raise UndecidedValues(found)
            if apply and found.pairs:
                self._apply(found, program, matching, reader, writer, keep)
            else:
                writer.rollback()
                reader.rollback()
        return found

    def _apply(
        self, found: LinkMatch, program: Program, matching: Matching, reader: PostgresWriter, writer: PostgresWriter, keep: bool
    ) -> None:
        link, source, target = found.link, found.source, found.target
        crosswalk = state(names.crosswalk(link))
        writer.execute(f"LOCK TABLE {crosswalk} IN SHARE ROW EXCLUSIVE MODE")
        made = writer.query(matching.pair)
        keys = len(link.side(source).key)
        ours = [list(row[:keys]) for row in made]
        theirs = [list(row[keys:-3]) for row in made]
        noted = None
        if not keep:
            masks = [(key, row[-2]) for key, row in zip(ours, made, strict=True) if "1" in row[-2]]
            asked = self._ask(writer, source, target, link, masks)
            found.backfills |= {target: [asked]} if asked is not None else {}
            # Beside the pairs first: killed before the source has been asked, the flows find it there when they start.
            back = [(key, row[-1]) for key, row in zip(theirs, made, strict=True) if "1" in row[-1] and link.two_way]
            noted = self._ask(writer, target, source, link, back)
        writer.execute(_sql("wake"), (link.name,))
        # From here on until both nodes know the pairs, no flow sees the source's crosswalk without them.
        reader.rollback()
        reader.begin()
        reader.execute(f"LOCK TABLE {crosswalk} IN ACCESS EXCLUSIVE MODE")
        writer.commit()
        assert program.mirror is not None
        reader.execute(program.mirror.setup)
        rows = [[*a, *b, int(row[-3]), None, None, None] for a, b, row in zip(ours, theirs, made, strict=True)]
        reader.load(program.mirror.load, [[v.encode() if isinstance(v, str) else v for v in row] for row in rows])
        for sql in (*program.mirror.merge, program.mirror.clear):
            reader.execute(sql)
        if noted is not None:
            asked = self._ask(reader, target, source, link, back)
            found.backfills |= {source: [asked]} if asked is not None else {}
        reader.execute(_sql("wake"), (link.name,))
        reader.commit()
        if noted is not None:
            backfills.taken(writer.connection, noted)
        found.applied = len(made)

    def _ask(
        self, session: PostgresWriter, source: str, target: str, link: Link, records: Sequence[tuple[list[str], str]]
    ) -> int | None:
        """Lets these records' fields go through the flow source -> target; gives the id, if there are any."""
        if not records:
            return None
        flow = flow_name(source, target)
        backfills.cancel(session.connection, flow, link.name, MATCH)
        return backfills.ask(session.connection, flow, link.name, MATCH, expected=len(records), records=records)

    @contextmanager
    def _session(self, node: str, what: str) -> Iterator[PostgresWriter]:
        timeout = self._config.settings.lock_timeout_ms
        session = PostgresWriter(node, dsn_of(self._config, node, self._environ), None, timeout, f"match {what}")
        try:
            yield session
        finally:
            session.close()

    def unmatch(self, link: Link, node: str, key: Sequence[str]) -> bool:
        """Takes the pair of this record apart on both nodes; both records stay as they are. Whether there was one."""
        crosswalk, other = state(names.crosswalk(link)), link.other(node).node
        mine = names.pair_columns(link, node)
        with self._session(node, "parts") as here, self._session(other, "parts") as there:
            for session in (here, there):
                session.begin()
                session.execute(f"LOCK TABLE {crosswalk} IN ACCESS EXCLUSIVE MODE")
            gone: list[tuple[int]] = []
            for session in (here, there):
                where = " AND ".join(f"{quote(c)}::text = %s" for c in mine).replace("%", "%%").replace("%%s", "%s")
                gone += session.query(f"DELETE FROM {crosswalk} WHERE {where} RETURNING 1", tuple(key))
            for session in (here, there):
                session.commit()
        return bool(gone)


class UndecidedValues(ConfigurationError):
    """Pairs have different values, and nobody has said whose are to stand."""

    def __init__(self, found: LinkMatch) -> None:
        fields = ", ".join(f"{name} in {count:,}" for name, count in found.differing.items())
        nodes = [side.node for side in found.link.sides]
        super().__init__(
            f"{found.link.name}: the records of some pairs differ ({fields} pairs): nothing was changed",
            f"say whose values stand with --prefer {nodes[0]} or --prefer {nodes[1]}, or --keep to leave them as they are",
        )


def _sql(name: str) -> str:
    return statement(name, "match.sql")


def _direction(link: Link, prefer: str | None) -> tuple[str, str]:
    nodes = [side.node for side in link.sides]
    wanted = (prefer, link.other(prefer).node) if prefer is not None and prefer in nodes else (nodes[0], nodes[1])
    if wanted in link.flows:
        return wanted
    return next(iter(link.flows))


def _look(
    program: Program,
    matching: Matching,
    reader: PostgresWriter,
    writer: PostgresWriter,
    decisions: Sequence[Decision],
    nodes: tuple[str, str],
) -> None:
    """Fills the session's tables with what matches."""
    for ddl in (*program.setup, *matching.setup):
        writer.execute(ddl)
    for ddl in program.derive.setup if program.derive else ():
        reader.execute(ddl)
    writer.load_lines(program.load, reader.unload(program.pages.all(0, "0/0")))
    writer.execute(program.steps.project)
    writer.execute(matching.only_free)
    source, target = nodes
    for decision in decisions:
        if not writer.execute(matching.decide, (*decision.keys[source], *decision.keys[target])):
            one = " and ".join(f"{node} {','.join(key)}" for node, key in decision.keys.items())
            raise ConfigurationError(
                f"{decision.link}: {one} cannot be paired: one of them is not there, takes no part, or has a pair already",
                "take the line out, or make the report anew: nothing was changed",
            )
    for rule in matching.rules:
        writer.execute(rule)

"""From a configuration to running flows: which engine serves which node, who gets which session.

The only module that knows both the pipeline and the engines.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import psycopg

from replicator.apply.read_ahead import ReadAhead
from replicator.capture.assemble import Assembler
from replicator.capture.clock import Clock
from replicator.capture.feed import Renamed
from replicator.capture.passed import RelayAssembler
from replicator.capture.satellites import Satellite
from replicator.engines.postgres import slots
from replicator.engines.postgres.catalog import read_tables
from replicator.engines.postgres.connect import connect, runner
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.setup import flow_name, origin_name, slot_name
from replicator.engines.postgres.state import PostgresFlowState
from replicator.engines.postgres.stream import PostgresStream
from replicator.engines.postgres.writer import PostgresWriter
from replicator.errors import ConfigurationError
from replicator.exchange import Exchange
from replicator.mapping.structure import not_there
from replicator.model.config import Config
from replicator.model.finding import Finding, Mark
from replicator.model.link import Link, Side
from replicator.model.pause import Pause
from replicator.model.table import Table, TableName
from replicator.model.topology import also_owned, beyond, passed_on, passed_places
from replicator.pipeline import Flow
from replicator.program import names
from replicator.program.compile import compile_flow
from replicator.program.effects import is_listening
from replicator.program.program import Program
from replicator.program.sql import mask_of
from replicator.program.sql import state as state_table
from replicator.runtime import drift
from replicator.runtime.accept import accept
from replicator.runtime.lint_queries import described

log = logging.getLogger("replicator")

NodePair = tuple[str, str]
Catalog = dict[tuple[str, TableName], Table | None]


def node_pairs(config: Config) -> list[NodePair]:
    """Nodes that links join, in the order of the configuration."""
    order = [node.name for node in config.nodes]
    pairs: set[NodePair] = set()
    for link in config.links:
        one, other = sorted((side.node for side in link.sides), key=order.index)
        pairs.add((one, other))
    return sorted(pairs, key=lambda pair: [order.index(n) for n in pair])


def links_between(config: Config, pair: NodePair) -> list[Link]:
    return [link for link in config.links if {side.node for side in link.sides} == set(pair)]


def flows_of(links: Sequence[Link], pair: NodePair) -> list[tuple[str, str]]:
    """Directions that any link between the two moves something in."""
    both = (pair, (pair[1], pair[0]))
    return [direction for direction in both if any(direction in link.flows for link in links)]


def dsn_of(config: Config, node: str, environ: Mapping[str, str]) -> str:
    variable = config.node(node).dsn_env
    value = environ.get(variable)
    if not value:
        raise ConfigurationError(f"{node}: environment variable {variable} is not set", f"export {variable}=postgresql://...")
    return value


def tables_named(links: Sequence[Link], node: str) -> set[TableName]:
    """The tables of one node that links name, lookups included."""
    named = {table for link in links for side in link.sides if side.node == node for table in side.tables}
    named |= {table for link in links for at, table in link.looked_up if at == node}
    return named


def read_catalog(
    links: Sequence[Link], connections: Mapping[str, psycopg.Connection], refused: list[Finding] | None = None
) -> Catalog:
    """What the databases say of what links name; None for what is not there. A query that a server refuses is a
    ConfigurationError with its place, or, with `refused`, a finding there, and None in the catalog."""
    catalog: Catalog = {}
    objections: list[Finding] = []
    for node, connection in connections.items():
        with translated(node):
            for name, found in read_tables(connection, tables_named(links, node)).items():
                catalog[node, name] = found
        for link in links:
            for side in link.sides:
                if side.node == node:
                    catalog |= _described(side, connection, catalog, objections)
    if objections and refused is None:
        first, more = objections[0], f", and {len(objections) - 1} more" if len(objections) > 1 else ""
        raise ConfigurationError(f"{first.where}: {first.message}{more}", first.hint)
    if refused is not None:
        refused += objections
    return catalog


def _described(side: Side, connection: psycopg.Connection, catalog: Catalog, refused: list[Finding]) -> Catalog:
    """What a side's queries give; None if a table that they read is not there, or the server refuses them."""
    if side.query is None and not side.derived:
        return {}
    name = side.table if side.query is not None else side.described
    if any(catalog.get((side.node, table)) is None for table in side.tables):
        return {(side.node, name): None}
    tables = {place: found for place, found in catalog.items() if found is not None}
    columns, objections = described(side, tables, connection)
    refused += objections
    key = side.key if side.query else ()
    return {(side.node, name): None if columns is None else Table(name, columns, key, (), "full")}


class Unfit(ConfigurationError):
    """Links name tables or columns that are not there; `findings` say where."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        files = sorted({one.where.path for one in findings if isinstance(one.where, Mark)})
        message = f"{', '.join(files)}: not what the tables are like"
        super().__init__(message, "change the link, or the table; `replicator lint` shows everything there is to say about it")
        self.findings = tuple(findings)


def complete(catalog: Catalog, links: Sequence[Link]) -> dict[tuple[str, TableName], Table]:
    """The catalog when all that the links name is there; ConfigurationError naming what is not."""
    missing = not_there(links, catalog)
    if missing:
        raise Unfit(missing)
    gone = [f"{node}: {name}" for (node, name), found in catalog.items() if found is None]
    if gone:
        raise ConfigurationError(f"tables that links name are not there: {', '.join(gone)}", "run `replicator lint`")
    return {key: found for key, found in catalog.items() if found is not None}


@dataclass
class Opened:
    """An exchange with the sessions that carry it; `close` ends them all."""

    exchange: Exchange
    sessions: list[PostgresWriter | ReadAhead]

    def close(self) -> None:
        for session in self.sessions:
            session.close()


def open_exchange(config: Config, pair: NodePair, environ: Mapping[str, str]) -> Opened:
    """Connects, verifies that the sources are the ones the checkpoints speak of, and prepares both flows."""
    links = links_between(config, pair)
    settings = config.settings
    sessions: list[PostgresWriter | ReadAhead] = []
    try:
        writers = {}
        for node, peer in (pair, (pair[1], pair[0])):
            dsn = dsn_of(config, node, environ)
            origin = origin_name(peer, node)
            writers[node] = PostgresWriter(node, dsn, origin, settings.lock_timeout_ms, f"{runner()} writes {peer} to {node}")
            sessions.append(writers[node])
        connections = {node: writer.connection for node, writer in writers.items()}
        refused: list[Finding] = []
        catalog = read_catalog(links, connections, refused)
        found = drift.look(links, connections, {node: tables_named(links, node) for node in pair})
        faults = drift.faults(links, catalog, found, connections, refused)
        tables = complete(drift.as_if_whole(links, catalog, faults), links)
        accept(connections, links, tables, [link.name for link in config.links if link not in links], faults)
        over = partial(found.is_over, connections)
        flows = []
        for source, target in flows_of(links, pair):
            programs = compile_flow(links, tables, source, target, passed_places(config.links, frozenset(pair)))
            ends = source, target, environ, sessions
            renamed = replace(found.renamed[source], generated=_generated(tables, source))
            flow = _flow(config, programs, links, tables, writers, *ends, renamed, faults, over)
            flows.append(flow)
        return Opened(Exchange(flows, over), sessions)
    except BaseException:
        for session in sessions:
            session.close()
        raise


def _flow(
    config: Config,
    programs: Sequence[Program],
    links: Sequence[Link],
    tables: Mapping[tuple[str, TableName], Table],
    writers: Mapping[str, PostgresWriter],
    source: str,
    target: str,
    environ: Mapping[str, str],
    sessions: list[PostgresWriter | ReadAhead],
    renamed: Renamed,
    faults: Mapping[str, Pause],
    moved: Callable[[], bool],
) -> Flow:
    flow, slot = flow_name(source, target), slot_name(flow_name(source, target))
    numbers = config.node(source).number, config.node(target).number
    tombstones = [state_table(names.tombstone(p.link)) for p in programs if p.paired]
    state = PostgresFlowState(writers[target], flow, _plain_session(config, target, source, environ, sessions), tombstones)
    saved = state.checkpoint()
    known = slots.Source(saved.source_system, saved.timeline, saved.lsn)
    with translated(source):
        gone = slots.lost(writers[source].connection, slots.Flow(flow, source, target, slot), known)
        _, timeline = slots.identity(writers[source].connection)
    if gone is not None:
        raise gone
    if timeline != saved.timeline:
        log.info("%s: a standby of %s was promoted; it has the slot and every change: going on there", flow, source)
        state.promoted(timeline)
    clock = Clock(numbers[0])
    feeds: dict[TableName, list] = {}  # type: ignore[type-arg]
    satellites: dict[TableName, list[Satellite]] = {}
    for program in programs:
        for table in program.feed.tables:
            feeds.setdefault(table, []).append(program.feed)
        for beside in program.derive.beside if program.derive else ():
            satellites.setdefault(beside.satellite.table, []).append(beside.satellite)
    own = frozenset({origin_name(target, source)})
    read = [*(t for p in programs if not p.feed.deaf for t in p.feed.tables), *(s for s in satellites)]
    listening = is_listening(links, read, tables, source, target)
    passed = frozenset(origin_name(peer, source) for peer in passed_on(config.links, source, target))
    assembler = (
        RelayAssembler(feeds, clock, own, saved.lsn, satellites, listening, passed, _owners(config, programs, source), renamed)
        if passed
        else Assembler(feeds, clock, own, saved.lsn, satellites, listening, renamed)
    )
    dsn = dsn_of(config, source, environ)
    stream = ReadAhead(PostgresStream(source, dsn, slot, slot, saved.lsn, assembler, relay=listening or bool(passed)))
    sessions.append(stream)
    reader = _reading_session(config, source, target, programs, environ, sessions)
    number = {node.name: node.number for node in config.nodes}
    origins = {p.link.name: frozenset(number[n] for n in beyond(config.links, p.link, source)) for p in programs}
    ends = writers[target], writers[source], reader
    limits = config.settings.parked_limit, config.settings.parked_percent
    size = config.settings.batch_rows
    return Flow(flow, numbers, programs, stream, *ends, state, clock, size, limits, origins, faults, moved)


def _generated(tables: Mapping[tuple[str, TableName], Table], node: str) -> dict[TableName, frozenset[str]]:
    found = {name: frozenset(c.name for c in table.columns if c.generated) for (at, name), table in tables.items() if at == node}
    return {name: columns for name, columns in found.items() if columns}


def _owners(config: Config, programs: Sequence[Program], source: str) -> dict[str, dict[str, int]]:
    """Origin on the source -> link -> mask of the target's fields that the node of that origin owns as well."""
    found: dict[str, dict[str, int]] = {}
    for program in programs:
        for node, fields in also_owned(config.links, program.link, source).items():
            found.setdefault(origin_name(node, source), {})[program.link.name] = mask_of(fields)
    return found


def _reading_session(
    config: Config,
    node: str,
    peer: str,
    programs: Sequence[Program],
    environ: Mapping[str, str],
    sessions: list[PostgresWriter | ReadAhead],
) -> Callable[[], PostgresWriter]:
    """A session for reading existing records, opened when there are some to copy."""

    def opened() -> PostgresWriter:
        dsn = dsn_of(config, node, environ)
        session = PostgresWriter(node, dsn, None, config.settings.lock_timeout_ms, f"reads what {peer} is to have")
        sessions.append(session)
        for program in programs:
            for ddl in program.derive.setup if program.derive else ():
                session.execute(ddl)
        return session

    return opened


def _plain_session(
    config: Config, node: str, peer: str, environ: Mapping[str, str], sessions: list[PostgresWriter | ReadAhead]
) -> Callable[[], PostgresWriter]:
    """Opened when it is first needed: most exchanges never do."""
    opened: list[PostgresWriter] = []

    def session() -> PostgresWriter:
        if not opened:
            dsn = dsn_of(config, node, environ)
            opened.append(PostgresWriter(node, dsn, None, config.settings.lock_timeout_ms, f"tells {node} of {peer}'s clock"))
            sessions.append(opened[0])
        return opened[0]

    return session


def plain_connections(config: Config, environ: Mapping[str, str], purpose: str) -> dict[str, psycopg.Connection]:
    """One ordinary connection to each node, for commands."""
    return {node.name: connect(node.name, dsn_of(config, node.name, environ), purpose) for node in config.nodes}

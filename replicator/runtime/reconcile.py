"""`reconcile`: every link between every two nodes compared, under traffic, by its own compiled program.

The steps of one link are in replicator/reconcile/link_run.py; here they get their sessions. Promises: nothing of the users'
is written or locked; an interrupted run leaves nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg

from replicator.engines.postgres.applied import remembered
from replicator.engines.postgres.catalog import describe
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.proofs import PostgresProofs
from replicator.engines.postgres.reconciled import keep_result
from replicator.engines.postgres.session import PostgresSession
from replicator.engines.postgres.setup import has_state
from replicator.errors import ConfigurationError
from replicator.mapping.chosen import links_named
from replicator.model.config import Config
from replicator.model.link import Link
from replicator.model.table import Column
from replicator.program.compile import compile_flow
from replicator.program.layout import Layout
from replicator.program.projection import Tables
from replicator.reconcile.link_plan import LinkPlan, link_plan
from replicator.reconcile.link_run import LinkResult, LinkRun, Watch
from replicator.reconcile.node import Node
from replicator.runtime import drift
from replicator.runtime.accept import expected, require_applied
from replicator.runtime.in_flight import CausesOf, FlowsBetween
from replicator.runtime.wiring import (
    NodePair,
    complete,
    dsn_of,
    flows_of,
    links_between,
    node_pairs,
    plain_connections,
    read_catalog,
)

WAIT_SECONDS = 60.0


@dataclass
class Report:
    """`running`: by pair of nodes, whether a replicator carried changes between them when it was looked."""

    links: list[LinkResult] = field(default_factory=list)
    seconds: float = 0.0
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    running: dict[NodePair, bool] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return all(link.clean for link in self.links)

    @property
    def failed(self) -> bool:
        """Whether a link could not be compared."""
        return any(link.problem is not None for link in self.links)


@dataclass(frozen=True, slots=True)
class Options:
    wait: float = WAIT_SECONDS
    full: bool = False


def reconcile(
    config: Config,
    environ: Mapping[str, str],
    wanted: Collection[str] = (),
    options: Options = Options(),
    watch: Watch = lambda link, what, rows: None,
    done: Callable[[LinkResult], None] = lambda result: None,
) -> Report:
    """`wanted`: names of links; all, if there are none. `done` hears of each link as it is finished."""
    wanted = {link.name for name in wanted for link in links_named(config, name)}
    report, began = Report(), time.monotonic()
    connections = plain_connections(config, environ, "reconcile asks")
    try:
        for pair in node_pairs(config):
            links = links_between(config, pair)
            if wanted and not any(link.name in wanted for link in links):
                continue
            asked = {node: connections[node] for node in pair}
            catalog = read_catalog(links, asked)
            unfit = {name: str(pause) for name, pause in drift.unworkable(links, catalog).items()}
            tables = complete(drift.as_if_whole(links, catalog, unfit), links)
            for name in pair:
                if not has_state(asked[name]):
                    raise ConfigurationError(f"{name} is not initialised", "run `replicator init` first")
            others = [link.name for link in config.links if link not in links]
            applied = {name: link for name, link in expected(links, tables).items() if name not in unfit}
            require_applied({node: remembered(asked[node]) for node in pair}, applied, [*others, *unfit])
            flows = flows_of(links, pair)
            between = FlowsBetween(asked, flows, options.wait)
            report.running[pair] = between.running()
            nodes = _open(config, pair, environ)
            try:
                for link in (link for link in links if link.name in unfit and (not wanted or link.name in wanted)):
                    one, other = (side.node for side in link.sides)
                    result = LinkResult(link.name, (one, other), problem=unfit[link.name])
                    report.links.append(result)
                    done(result)
                for plan in plans(links, tables, pair, asked, unfit):
                    link = plan.link
                    if not wanted or link.name in wanted:
                        causes = CausesOf(asked, link.name, sorted(link.flows))
                        result = LinkRun(plan, nodes, between, causes, watch, options.full).run()
                        report.links.append(result)
                        _keep(asked[plan.link.sides[0].node], result)
                        done(result)
            finally:
                for node in nodes.values():
                    node.session.close()
    finally:
        for connection in connections.values():
            connection.close()
    report.seconds = time.monotonic() - began
    return report


def _keep(connection: psycopg.Connection, result: LinkResult) -> None:
    """For `status` and the metrics."""
    counts = (result.shipped or result.rows, len(result.differences), len(result.unsettled))
    kinds = result.differences.kinds
    with translated(result.nodes[0]):
        keep_result(connection, result.link, result.seconds, result.how, *counts, kinds, result.problem)


def plans(
    links: Sequence[Link],
    tables: Tables,
    pair: NodePair,
    connections: Mapping[str, psycopg.Connection],
    unfit: Collection[str] = (),
) -> list[LinkPlan]:
    """Of every link between two nodes but those that are `unfit`, those that others refer to first."""
    by_name = {link.name: link for link in links}
    flows = flows_of(links, pair)
    programs = {flow: {p.link.name: p for p in compile_flow(links, tables, *flow)} for flow in flows}
    order = dict.fromkeys(name for found in programs.values() for name in found)
    return [
        link_plan(
            {flow: programs[flow][name] for flow in flows if name in programs[flow]},
            {flow: Layout(by_name[name], by_name, tables, *flow) for flow in flows if name in programs[flow]},
            _given(by_name[name], connections),
        )
        for name in order
        if name not in unfit
    ]


def _given(link: Link, connections: Mapping[str, psycopg.Connection]) -> dict[tuple[str, str], tuple[Column, ...]]:
    """The columns of a link's assertions."""
    found = {}
    for assertion in link.asserts:
        for node, query in assertion.queries.items():
            with translated(node):
                found[assertion.name, node] = describe(connections[node], query.text)
    return found


def _open(config: Config, pair: NodePair, environ: Mapping[str, str]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    try:
        for name in pair:
            session = PostgresSession(name, dsn_of(config, name, environ), None, config.settings.lock_timeout_ms, "reconcile")
            nodes[name] = Node(name, config.node(name).number, session, PostgresProofs(session))
            session.execute("SET work_mem = '64MB'")
    except BaseException:
        for node in nodes.values():
            node.session.close()
        raise
    return nodes

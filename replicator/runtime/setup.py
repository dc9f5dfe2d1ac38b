"""`init` and `teardown`: the actions of every node, in order. Dry run and real run share one list.

A slot sees only what comes after it, and an action may need an earlier one's result, so
`init` plans and executes in stages; with `dry_run` nothing is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import psycopg

from replicator.engines.postgres.applied import remember, remembered
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.renewal import renewed
from replicator.engines.postgres.setup import (
    Action,
    SourceWork,
    flow_name,
    has_state,
    plan_source,
    plan_state,
    plan_teardown,
    slot_name,
    write_checkpoint,
)
from replicator.engines.postgres.slots import Source, problem
from replicator.engines.postgres.status import checkpoints
from replicator.errors import ConfigurationError
from replicator.mapping.findings import near
from replicator.mapping.structure import check_structure
from replicator.model.config import Config
from replicator.program.applied import Applied
from replicator.program.state import link_tables
from replicator.runtime.accept import expected, require_applied
from replicator.runtime.alone import alone
from replicator.runtime.lint import errors_of
from replicator.runtime.needs import source_work
from replicator.runtime.wiring import (
    Catalog,
    NodePair,
    complete,
    flows_of,
    links_between,
    node_pairs,
    plain_connections,
    read_catalog,
)

Report = Callable[[Action], None]


def init(config: Config, environ: Mapping[str, str], dry_run: bool, report: Report, renew: Collection[str] = ()) -> int:
    """Prepares every node; gives the number of actions. Running it again finds nothing to do; NotApplied when the links are
    others than those that the databases were prepared for: runtime/plan.py knows what to do then. `renew`: flows that go on
    from a new slot though changes may be missing; ConfigurationError for one that can go on as it is, Running while one runs."""
    pairs = {pair: [flow_name(*flow) for flow in flows_of(links_between(config, pair), pair)] for pair in node_pairs(config)}
    known = [flow for flows in pairs.values() for flow in flows]
    for flow in renew:
        if flow not in known:
            raise ConfigurationError(f"there is no flow {flow!r}", near(flow, known) or f"flows are {', '.join(known)}")
    concerned = [pair for pair, flows in pairs.items() if set(flows) & set(renew)]
    with alone(config, environ, () if dry_run else concerned, "init"):
        return _init(config, environ, dry_run, report, renew)


def _init(config: Config, environ: Mapping[str, str], dry_run: bool, report: Report, renew: Collection[str]) -> int:
    connections = plain_connections(config, environ, "init")
    done = 0
    wanted: dict[str, dict[str, Applied]] = {node: {} for node in connections}
    try:
        for pair in node_pairs(config):
            links = links_between(config, pair)
            tables = complete(read_catalog(links, connections), links)
            _require(connections, pair, expected(links, tables), wanted, config)
            by_name = {link.name: link for link in links}
            for node, peer in (pair, (pair[1], pair[0])):
                ddl = [(link.name, sql) for link in links for sql in link_tables(link, by_name, tables, node)]
                with translated(node):
                    actions = plan_state(connections[node], config.node(node), [peer], ddl)
                done += _execute(connections[node], actions, dry_run, report)
            for source, target in flows_of(links, pair):
                work = source_work(links, tables, source, target)
                saved = _broken(connections, work, source, target) if work.flow in renew else None
                with translated(source):
                    actions = plan_source(connections[source], source, work, saved is not None)
                done += _execute(connections[source], actions, dry_run, report)
                if saved is not None:
                    ends = connections[source], connections[target]
                    actions = renewed(*ends, (source, target), work.flow, work.slot, links, *saved)
                    done += sum(_execute(connections[one.node], [one], dry_run, report) for one in actions)
                elif not dry_run:
                    with translated(target):
                        write_checkpoint(connections[source], connections[target], work.flow, work.slot)
        for node, known in wanted.items() if not dry_run else ():
            if known:
                with translated(node):
                    remember(connections[node], known.values())
    finally:
        _close(connections)
    return done


def _broken(connections: Mapping[str, psycopg.Connection], work: SourceWork, source: str, target: str) -> tuple[Source, str]:
    """What the checkpoint of a flow speaks of that is to be renewed, and why it cannot go on from there."""
    with translated(target):
        saved = checkpoints(connections[target], [work.flow]).get(work.flow) if has_state(connections[target]) else None
    if saved is None:
        raise ConfigurationError(f"{work.flow} was never initialised", "`replicator init` without --renew does that")
    with translated(source):
        found = problem(connections[source], source, work.slot, saved.source)
    if found is None:
        raise ConfigurationError(f"{work.flow} can go on where it is: nothing is renewed", "start `replicator run`")
    return saved.source, found


def _require(
    connections: Mapping[str, psycopg.Connection],
    pair: NodePair,
    links: Mapping[str, Applied],
    wanted: Mapping[str, dict[str, Applied]],
    config: Config,
) -> None:
    """Takes the links of a pair of nodes into `wanted`, by node, if what was applied does not contradict."""
    known = {}
    for node in pair:
        wanted[node].update(links)
        with translated(node):
            known[node] = remembered(connections[node])
    require_applied(known, links, [link.name for link in config.links if link.name not in links])


def check_applied(config: Config, connections: Mapping[str, psycopg.Connection], catalog: Catalog) -> None:
    """Raises NotApplied if flows would refuse to start. Silent where `lint` has errors to tell."""
    if errors_of(check_structure(config.links, catalog)):
        return
    for pair in node_pairs(config):
        links = links_between(config, pair)
        tables = complete({key: found for key, found in catalog.items() if key[0] in pair}, links)
        _require(connections, pair, expected(links, tables), {node: {} for node in pair}, config)


def teardown(config: Config, environ: Mapping[str, str], dry_run: bool, report: Report) -> int:
    """Takes back everything `init` did, on every node."""
    connections = plain_connections(config, environ, "teardown")
    done = 0
    try:
        plans = []
        for node, connection in connections.items():
            peers = [other for other in connections if other != node]
            slots = [slot_name(flow_name(node, peer)) for peer in peers]
            with translated(node):
                plans.append((connection, plan_teardown(connection, node, slots, peers)))
        for connection, actions in plans:
            done += _execute(connection, actions, dry_run, report)
    finally:
        _close(connections)
    return done


def _execute(connection: psycopg.Connection, actions: list[Action], dry_run: bool, report: Report) -> int:
    for action in actions:
        if not dry_run:
            with translated(action.node):
                connection.execute(action.sql)
        report(action)
    return len(actions)


def _close(connections: Mapping[str, psycopg.Connection]) -> None:
    for connection in connections.values():
        connection.close()

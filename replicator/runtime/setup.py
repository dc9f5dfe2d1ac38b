"""`init` and `teardown`: the actions of every node, in order. Dry run and real run share one list.

A slot sees only what comes after it, and an action may need an earlier one's result, so
`init` plans and executes in stages; with `dry_run` nothing is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import psycopg

from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.setup import (
    Action,
    flow_name,
    plan_source,
    plan_state,
    plan_teardown,
    slot_name,
    write_checkpoint,
)
from replicator.model.config import Config
from replicator.program.state import link_tables
from replicator.runtime.wiring import (
    complete,
    flows_of,
    links_between,
    node_pairs,
    plain_connections,
    read_catalog,
    source_work,
)

Report = Callable[[Action], None]


def init(config: Config, environ: Mapping[str, str], dry_run: bool, report: Report) -> int:
    """Prepares every node; gives the number of actions. Running it again finds nothing to do."""
    connections = plain_connections(config, environ, "init")
    done = 0
    try:
        for pair in node_pairs(config):
            links = links_between(config, pair)
            tables = complete(read_catalog(links, connections))
            by_name = {link.name: link for link in links}
            for node, peer in (pair, (pair[1], pair[0])):
                ddl = [sql for link in links for sql in link_tables(link, by_name, tables, node)]
                with translated(node):
                    actions = plan_state(connections[node], config.node(node), [peer], ddl)
                done += _execute(connections[node], actions, dry_run, report)
            for source, target in flows_of(links, pair):
                work = source_work(links, tables, source, target)
                with translated(source):
                    actions = plan_source(connections[source], source, work)
                done += _execute(connections[source], actions, dry_run, report)
                if not dry_run:
                    with translated(target):
                        write_checkpoint(connections[source], connections[target], work.flow, work.slot)
    finally:
        _close(connections)
    return done


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

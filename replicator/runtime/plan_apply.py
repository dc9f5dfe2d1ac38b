"""Carries a plan out: one transaction on each node, then what cannot be part of one (slots), then the checkpoints.

Promises: a node remembers the links as applied in the transaction that makes its state fit them; broken off anywhere, the
next plan lists what is left; while a plan that needs it is carried out no replicator can start, nor one be running; and
what is unread by then can be read with the links as planned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from replicator.capture.feed import FeedPart
from replicator.engines.postgres.applied import remember
from replicator.engines.postgres.backfills import give_up_listed
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.leftovers import payloads, replace_payload
from replicator.engines.postgres.setup import Action, flow_name, slot_name, write_checkpoint
from replicator.engines.postgres.status import checkpoints
from replicator.engines.postgres.unread import changes_without
from replicator.errors import ReplicatorError
from replicator.model.config import Config
from replicator.model.table import TableName
from replicator.program.applied import new_numbers
from replicator.program.compile import compile_flow
from replicator.program.layout import Layout
from replicator.program.program import Program
from replicator.program.renumber import missing_columns, read_columns, renumbered
from replicator.runtime.alone import alone
from replicator.runtime.plan import Connections, Plan, Renumbering
from replicator.runtime.wiring import flows_of, links_between, node_pairs

Report = Callable[[Action], None]


class Unread(ReplicatorError):
    """Changes are still to be carried over that the links as planned could not read."""


def apply_plan(config: Config, environ: Mapping[str, str], connections: Connections, plan: Plan, report: Report) -> None:
    """Raises Running when a replicator must be stopped first, Unread when it has to catch up first; nothing is changed then."""
    with alone(config, environ, node_pairs(config) if plan.stopped else (), "plan"):
        if plan.stopped:
            _require_read(config, connections, plan)
        for node, connection in connections.items():
            actions = [action for action in plan.actions if action.node == node and not action.alone]
            with translated(node):
                with connection.transaction():
                    for action in actions:
                        if action.sql:
                            connection.execute(action.sql.encode())
                    for renumbering in plan.renumberings:
                        if renumbering.node == node:
                            _renumber(config, connections, plan, renumbering)
                    remember(connection, plan.wanted[node].values(), only=True)
                for action in actions:
                    report(action)
        for action in plan.actions:
            if action.alone and action.sql:
                with translated(action.node):
                    connections[action.node].execute(action.sql.encode())
                report(action)
        for source, target in plan.flows:
            flow = flow_name(source, target)
            with translated(target):
                write_checkpoint(connections[source], connections[target], flow, slot_name(flow))
        for action in plan.actions:
            if action.alone and not action.sql:
                report(action)


def _require_read(config: Config, connections: Connections, plan: Plan) -> None:
    """A column that was added lately, and read by a link from now on, must be older than every change that is unread."""
    concerned = {change.name for change in plan.links}
    for pair in node_pairs(config):
        links = links_between(config, pair)
        for source, target in flows_of(links, pair):
            flow = flow_name(source, target)
            with translated(target):
                saved = checkpoints(connections[target], [flow]).get(flow)
            if saved is None:
                continue
            wanted: dict[TableName, set[str]] = {}
            for program in compile_flow(links, plan.tables[pair], source, target):
                if program.link.name in concerned:
                    for name, columns in _captured(program):
                        wanted.setdefault(name, set()).update(columns)
            with translated(source):
                found = changes_without(connections[source], slot_name(flow), slot_name(flow), saved.source.position, wanted)
            for name, lacking in found.items():
                raise Unread(
                    f"{source}: changes of {name} from before it had {', '.join(lacking)} are not carried over to {target} yet",
                    "run `replicator run --once` with the link files as they were applied, then try again",
                )


def _captured(program: Program) -> Iterator[tuple[TableName, Sequence[str]]]:
    """Tables, and the columns of them that must be on the wire."""
    feed = program.feed
    for part in feed.parts or (FeedPart(feed.table, feed.columns),):
        yield part.table, [name for place, name in enumerate(part.columns) if name and place not in feed.derived]
    for beside in program.derive.beside if program.derive else ():
        yield beside.satellite.table, beside.satellite.columns


def _renumber(config: Config, connections: Connections, plan: Plan, work: Renumbering) -> None:
    numbers = new_numbers(work.old, work.new)
    pair = next(p for p in node_pairs(config) if work.node in p and any(li.name == work.link for li in links_between(config, p)))
    by_name = {link.name: link for link in links_between(config, pair)}
    link = by_name[work.link]
    layouts = {
        flow_name(source, target): Layout(link, by_name, plan.tables[pair], source, target) for source, target in link.flows
    }
    connection = connections[work.node]
    give_up_listed(connection, work.link, "the link has other fields now: ask for it again")
    for place, rows in payloads(connection, work.link).items():
        for number, flow, payload in rows:
            layout = layouts.get(flow)
            if layout is None:
                continue  # the flow is gone, and with it what was set aside
            new = renumbered(payload, numbers, len(work.old), layout.counted)
            columns = missing_columns(new, layout)
            if columns and new["op"] != "D":
                key = [new["values"][k] for k in layout.source_side.key]
                found = connections[layout.source].execute(read_columns(layout, columns).encode(), key).fetchone()
                new["values"] = new["values"] | dict(zip(columns, found or [None] * len(columns), strict=True))
            replace_payload(connection, place, number, new)

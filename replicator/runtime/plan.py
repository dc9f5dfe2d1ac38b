"""What the link files ask for that the databases do not have, or no longer need: everything `plan` shows.

Promises: changes nothing; what it lists is what runtime/plan_apply.py carries out; an installation that is as the files
say has an empty plan. What each kind of change does to state is said where it is planned: engines/postgres/setup.py for
what is missing, leftovers.py for what is too much, program/renumber.py for masks of fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from replicator.engines.postgres import slots
from replicator.engines.postgres.applied import remembered
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.leftovers import (
    counted,
    payloads,
    renumbered_ledger,
    same_grants,
    state_tables,
    unneeded_flows,
    unneeded_identities,
    unneeded_rows,
    unused_tables,
)
from replicator.engines.postgres.setup import (
    Action,
    flow_name,
    has_state,
    plan_source,
    plan_state,
    relation_of,
    slot_name,
)
from replicator.engines.postgres.sql import script
from replicator.engines.postgres.status import checkpoints
from replicator.errors import ConfigurationError
from replicator.model.config import Config
from replicator.model.link import Link
from replicator.model.table import TableName
from replicator.program import names
from replicator.program.applied import Applied, Difference, blocker, differences, new_numbers, same_pairs
from replicator.program.projection import Tables
from replicator.program.sql import state
from replicator.program.state import link_tables
from replicator.runtime.accept import expected
from replicator.runtime.drift import as_called_now, called_before
from replicator.runtime.needs import source_work
from replicator.runtime.wiring import complete, flows_of, links_between, node_pairs, read_catalog

LOCK_TIMEOUT = "10s"  # for a table that somebody holds
Connections = Mapping[str, psycopg.Connection]


@dataclass(frozen=True, slots=True)
class LinkChange:
    """`why`: what a running replicator could not go on with; None if it may take the change as it is."""

    sign: str
    name: str
    what: str
    why: str | None = None
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Renumbering:
    """A link whose fields have other numbers on a node than so far; payloads are rewritten by plan_apply. `new` has a field that
    is called otherwise, as its column is, under the name that it had."""

    node: str
    link: str
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass
class Plan:
    """`actions` in the order in which they are done. `wanted`: what each node is to remember in the end.
    `remade`: links whose records are paired anew. `pairs_lost`: how many records that belong together are forgotten.
    `flows`: (source, target) that links move something in."""

    links: list[LinkChange] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    renumberings: list[Renumbering] = field(default_factory=list)
    wanted: dict[str, dict[str, Applied]] = field(default_factory=dict)
    flows: list[tuple[str, str]] = field(default_factory=list)
    tables: dict[tuple[str, str], Tables] = field(default_factory=dict)
    remade: set[str] = field(default_factory=set)
    pairs_lost: int = 0
    forgetful: bool = False  # a node whose state is of a version that remembered no links

    def __bool__(self) -> bool:
        return bool(self.links or self.actions)

    @property
    def stopped(self) -> bool:
        """Whether no replicator may run while it is carried out."""
        return any(change.why for change in self.links) or any(action.alone for action in self.actions)


def make_plan(config: Config, connections: Connections) -> Plan:
    """Raises ConfigurationError where `init` has not been, SourceLost where changes may be missing already. From then on the
    sessions wait for locks no longer than LOCK_TIMEOUT."""
    for node, connection in connections.items():
        with translated(node):
            connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'".encode())
    known = {node: _known(node, connection) for node, connection in connections.items()}
    plan = Plan(wanted={node: {} for node in connections}, forgetful=None in known.values())
    for pair in node_pairs(config):
        links = links_between(config, pair)
        tables = plan.tables[pair] = complete(read_catalog(links, connections), links)
        found = expected(links, tables)
        for node in pair:
            plan.wanted[node].update(found)
        plan.flows += flows_of(links, pair)
    _require_sources(connections, plan.flows)
    remembers = {
        node: plan.wanted[node] if links is None else {name: as_called_now(link, connections) for name, link in links.items()}
        for node, links in known.items()
    }
    plan.links = _link_changes(config, plan.wanted, remembers)
    for node in connections:
        with translated(node):
            _plan_node(config, connections, plan, node, remembers[node])
        if known[node] is None:
            why = "from now on it is remembered which links were applied"
            plan.actions.insert(0, Action(node, "table replicator.link", script("state.sql"), why=why))
    plan.actions.sort(key=lambda action: action.alone)
    return plan


def _known(node: str, connection: psycopg.Connection) -> dict[str, Applied] | None:
    with translated(node):
        if not has_state(connection):
            raise ConfigurationError(
                f"{node} is not initialised yet", "run `replicator init` first; `--dry-run` shows what it does"
            )
        found = remembered(connection)
    if found is not None and not found:
        raise ConfigurationError(f"{node}: `replicator init` was not finished", "run `replicator init` again")
    return found


def _require_sources(connections: Connections, flows: Sequence[tuple[str, str]]) -> None:
    for source, target in flows:
        flow = flow_name(source, target)
        with translated(target):
            saved = checkpoints(connections[target], [flow]).get(flow)
        if saved is not None:
            with translated(source):
                gone = slots.lost(connections[source], slots.Flow(flow, source, target, slot_name(flow)), saved.source)
            if gone is not None:
                raise gone


# -- links -------------------------------------------------------------------------------------------------------------


def _link_changes(
    config: Config, wanted: Mapping[str, Mapping[str, Applied]], known: Mapping[str, Mapping[str, Applied]]
) -> list[LinkChange]:
    changes = []
    gone = {name: link for links in known.values() for name, link in links.items()}
    for link in config.links:
        nodes = [side.node for side in link.sides]
        new = wanted[nodes[0]][link.name]
        olds = [known[node].get(link.name) for node in nodes]
        gone.pop(link.name, None)
        old = next((one for one in olds if one != new), new)  # a plan may have been carried out on one node only
        if old is None:
            changes.append(_new(link))
        elif old != new:
            why = blocker(old, new)
            notes = ["its records are paired anew"] if not same_pairs(old, new) else []
            if set(new.fields) - set(old.fields):
                notes.append(f"values of a new field that are there already are not copied: {_copied_by(link)}")
            changes.append(LinkChange("~", link.name, _sides(link), why, tuple(differences(old, new)), tuple(notes)))
    for name, old in gone.items():
        notes = [
            f"link {change.name} is new and has its tables and keys: should it have been renamed, pairs do not go over to it"
            for change in changes
            if change.sign == "+" and any(same_pairs(known, old) for known in _named(change.name, wanted))
        ]
        tables = " and ".join(f"{node} {key['table']}" for node, key in old.shape["keys"].items())
        changes.append(LinkChange("-", name, tables, "is gone", (), tuple(notes)))
    return changes


def _named(name: str, wanted: Mapping[str, Mapping[str, Applied]]) -> list[Applied]:
    return [links[name] for links in wanted.values() if name in links]


def _copied_by(link: Link) -> str:
    ways = " or ".join(sorted({source for source, _ in link.flows}))
    return f"`replicator backfill {link.name}` does that, --from {ways}"


def _new(link: Link) -> LinkChange:
    note = f"rows that are there already are not copied: {_copied_by(link)}"
    return LinkChange("+", link.name, _sides(link), "is new", (), (note,))


def _sides(link: Link) -> str:
    one, other = link.sides
    arrow = "<->" if link.two_way else "->" if (one.node, other.node) in link.flows else "<-"
    return f"{one.node} {one.table} {arrow} {other.node} {other.table}"


# -- one node ----------------------------------------------------------------------------------------------------------


def _plan_node(config: Config, connections: Connections, plan: Plan, node: str, known: Mapping[str, Applied]) -> None:
    connection, wanted = connections[node], plan.wanted[node]
    pairs = [pair for pair in node_pairs(config) if node in pair]
    links = {link.name: link for pair in pairs for link in links_between(config, pair)}
    ddl = []
    for pair in pairs:
        by_name = {link.name: link for link in links_between(config, pair)}
        ddl += [(name, sql) for name, link in by_name.items() for sql in link_tables(link, by_name, plan.tables[pair], node)]
    remade_links = {name for name, old in known.items() if name in wanted and not same_pairs(old, wanted[name])}
    plan.remade |= remade_links
    relations = {relation_of(sql) for _, sql in ddl if sql.startswith("CREATE TABLE")}
    remade = {relation_of(sql) for name, sql in ddl if name in remade_links and sql.startswith("CREATE TABLE")}
    actions, lost = unused_tables(connection, node, relations, remade)
    plan.pairs_lost = max(plan.pairs_lost, lost)
    dropped = [relation_of(sql) for name, sql in ddl if name in remade_links]
    peers = [other for pair in pairs for other in pair if other != node]
    made = plan_state(connection, config.node(node), peers, ddl, dropped)
    tables = [relation_of(action.sql) for action in made if action.sql.startswith("CREATE TABLE")]
    actions += [*made, *same_grants(connection, node, tables)]
    actions += _renumber(connections, plan, node, known, {name: links[name] for name in wanted if name not in remade_links})
    flows: dict[str, dict[str, tuple[str, ...]]] = {}
    for source, target in plan.flows:
        if node in (source, target):
            through = {name: wanted[name].fields for name, link in links.items() if (source, target) in link.flows}
            flows[flow_name(source, target)] = through
    actions += unneeded_rows(connection, node, flows, remade_links)
    whole: set[TableName] = set()
    read = []
    for source, target in plan.flows:
        if source == node:
            pair = next(pair for pair in pairs if target in pair)
            work = source_work(links_between(config, pair), plan.tables[pair], source, target)
            whole |= {table.name for table in work.full_identity}
            read += plan_source(connection, node, work)
    actions += unneeded_identities(connection, node, whole)
    used = [slot_name(flow_name(source, target)) for source, target in plan.flows if source == node]
    actions += [*read, *unneeded_flows(connection, node, f"replicator_{node}_to_", used)]
    saved = checkpoints(connection, list(flows))
    for source, target in plan.flows:
        flow = flow_name(source, target)
        if target == node and flow not in saved:
            actions.append(Action(node, f"checkpoint of flow {flow}", "", why="where its slot starts", alone=True))
    plan.actions += actions


def _renumber(
    connections: Connections, plan: Plan, node: str, known: Mapping[str, Applied], links: Mapping[str, Link]
) -> list[Action]:
    connection, actions = connections[node], list[Action]()
    there = set(state_tables(connection))
    for name, link in links.items():
        old, new = known.get(name), plan.wanted[node][name]
        if old is None or old.fields == new.fields:
            continue
        before = called_before(link, old, connections)
        fields = tuple(before.get(field, field) for field in new.fields)
        plan.renumberings.append(Renumbering(node, name, old.fields, fields))
        ledger = state(names.ledger(link))
        if ledger in there and link.two_way:
            actions += renumbered_ledger(connection, node, name, ledger, new_numbers(old.fields, fields))
        for place, rows in payloads(connection, name).items():
            if rows:
                what = f"field numbers in {counted(len(rows), 'row')} of replicator.{place}"
                actions.append(Action(node, what, "", "~", f"link {name} has other fields, or in another order"))
    return actions

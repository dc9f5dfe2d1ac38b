"""What `check` and `init` find out about servers: findings, each saying what to type.

Promises: nothing is changed on any server; a node that cannot be reached is one finding and the others are
still looked at. Codes here: K024 what is weaker without whole before images, K03x clocks, K04x the state of `init`
(K045: the links are not those that were applied),
K063 how much `lint` has to say (other K00x to K02x, settings and privileges, are in engines/postgres/check.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from replicator.engines.postgres import slots
from replicator.engines.postgres.check import check_server, check_table
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.setup import Action, flow_name, has_state, slot_name
from replicator.engines.postgres.status import Facts, checkpoints, facts, published_tables
from replicator.errors import ReplicatorError
from replicator.mapping.structure import check_structure
from replicator.model.config import Config
from replicator.model.finding import Finding
from replicator.model.link import Link
from replicator.model.table import TableName
from replicator.program.sql import table as quoted
from replicator.runtime.accept import NotApplied
from replicator.runtime.clocks import Reading, distances, read_clocks
from replicator.runtime.lint import Connections, as_finding, check_links, close_all, connect_all, errors_of
from replicator.runtime.setup import init
from replicator.runtime.wiring import (
    Catalog,
    NodePair,
    flows_of,
    links_between,
    node_pairs,
    read_catalog,
)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """`clock_ms`: the node's clock against that of the first node reached, as well as round trips can tell."""

    node: str
    reached: bool
    facts: Facts | None = None
    clock_ms: float | None = None


@dataclass
class CheckReport:
    nodes: list[NodeFacts] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def check(config: Config, environ: Mapping[str, str]) -> CheckReport:
    """Everything that can be known before `run`."""
    connections, findings = connect_all(config, environ, "check")
    try:
        refused: list[Finding] = []
        catalog = read_catalog(config.links, connections, refused)
        servers = check_servers(config, connections, catalog)
        structure = check_links(config, connections, catalog, refused)
        readings = read_clocks(connections)
        findings += [*servers, *_brief(structure), *_clock_findings(config, readings)]
        if len(connections) == len(config.nodes) and not any(f.code in ("L501", "K067") for f in structure):
            findings += _check_init(config, environ, connections)
        report = CheckReport(findings=findings)
        first = next(iter(readings.values()), Reading(0.0, 0.0)).ahead_ms
        for node in config.nodes:
            if node.name in connections:
                with translated(node.name):
                    found = facts(connections[node.name])
                report.nodes.append(NodeFacts(node.name, True, found, readings[node.name].ahead_ms - first))
            else:
                report.nodes.append(NodeFacts(node.name, False))
        return report
    finally:
        close_all(connections)


def preflight(config: Config, environ: Mapping[str, str]) -> list[Finding]:
    """The errors that would stop `init` half way."""
    connections, findings = connect_all(config, environ, "init")
    try:
        if not findings:
            catalog = read_catalog(config.links, connections, findings)
            findings += check_structure(config.links, catalog) + check_servers(config, connections, catalog)
    finally:
        close_all(connections)
    return errors_of(findings)


def check_servers(config: Config, connections: Connections, catalog: Catalog) -> list[Finding]:
    """Settings, slots and privileges of the nodes that are there."""
    findings = []
    for node, connection in connections.items():
        with translated(node):
            wanted = _slots_on(config, node)
            findings += check_server(connection, node, wanted)
            for slot, database in slots.foreign_slots(connection, wanted):
                message = f"slot {slot} on this server belongs to another database, {database}"
                hint = "give the node another name in one of the two configurations: slots are named after nodes"
                findings.append(Finding(node, "K044", message, hint))
            published = published_tables(connection, wanted)  # a flow's publication and slot have one name
            for (where, _), found in catalog.items():
                if where == node and found is not None:
                    uses = _uses(config.links, node, found.name)
                    publish = uses["read"] and found.name not in published
                    findings += check_table(connection, node, found, publish=publish, **uses)
            if has_state(connection):
                findings += _partial_images(config.links, node, catalog)
    return findings


def _partial_images(links: Sequence[Link], node: str, catalog: Catalog) -> list[Finding]:
    """What is weaker for two-way links whose table does not tell what was there before an update."""
    findings = []
    for link in links:
        if not link.two_way or node not in {side.node for side in link.sides}:
            continue
        found = catalog.get((node, link.side(node).table))
        if found is None or found.replica_identity == "full":
            continue
        rules = {field.rule.kind for field in link.fields if len(field.writes) == 2}
        message = (
            f"without REPLICA IDENTITY FULL every update counts as an edit of all fields of link {link.name}: both sides still"
            " end alike, but of two people who edit different fields at the same time only the later one's values stay"
        )
        if rules & {"merge", "queue"}:
            message += "; with `rule: merge` and `rule: queue` every such edit is a clash"
        if "delta" in rules:
            message += "; `rule: delta` cannot tell what was added and does not work"
        hint = f"ALTER TABLE {quoted(found.name)} REPLICA IDENTITY FULL"
        findings.append(Finding(f"{node}: {found.name}", "K024", message, hint, "error" if "delta" in rules else "warning"))
    return findings


def _brief(structure: Sequence[Finding]) -> list[Finding]:
    """The errors; of the rest only how many there are, for `lint` shows them."""
    errors = errors_of(structure)
    rest = len(structure) - len(errors)
    said = "1 remark" if rest == 1 else f"{rest} remarks"
    note = Finding("links", "K063", f"{said} on links and tables", "`replicator lint` shows them", "note")
    return [*errors, note] if rest else errors


def _slots_on(config: Config, node: str) -> list[str]:
    found = []
    for pair in node_pairs(config):
        for source, target in flows_of(links_between(config, pair), pair):
            if source == node:
                found.append(slot_name(flow_name(source, target)))
    return found


def _uses(links: Sequence[Link], node: str, name: TableName) -> dict[str, bool]:
    """Which privileges the links want on a table: {"written": ..., "read": ..., "full": ...}."""
    here = [link for link in links if any(s.node == node and s.table == name for s in link.sides)]
    return {
        "written": any(target == node for link in here for _, target in link.flows),
        "read": any(source == node for link in here for source, _ in link.flows),
        "full": any(link.two_way for link in here),
    }


# -- clocks ------------------------------------------------------------------------------------------------------------


def _clock_findings(config: Config, readings: Mapping[str, Reading]) -> list[Finding]:
    findings = []
    limit = config.settings.clock_limit_ms
    for found in distances(readings, node_pairs(config)):
        if found.beyond(limit):
            message = (
                f"the clock of {found.late} is {abs(found.ahead_ms):,.0f} ms ahead of {found.early}'s; the limit is {limit:,} ms:"
                f" of two edits made within that time, `rule: latest` may keep {found.late}'s though {found.early}'s was later"
            )
            hint = "synchronise both (`timedatectl set-ntp true`), or raise `clock_limit_ms` under `settings:`"
            findings.append(Finding(f"{found.one} and {found.other}", "K030", message, hint))
    return findings


# -- the state of init -------------------------------------------------------------------------------------------------


def _check_init(config: Config, environ: Mapping[str, str], connections: Connections) -> list[Finding]:
    """What `init` would still do, and whether the sources are those that the checkpoints speak of."""
    try:
        prepared = {}
        for node, connection in connections.items():
            with translated(node):
                prepared[node] = has_state(connection)
        if not any(prepared.values()):
            names = " and ".join(prepared)
            return [
                Finding(
                    names,
                    "K040",
                    "not initialised yet",
                    "run `replicator init` (`--dry-run` shows what it does)",
                    "note",
                )
            ]
        lost = [f for pair in node_pairs(config) for f in _sources_lost(config, pair, connections, prepared)]
        missing: dict[str, list[Action]] = {}
        init(config, environ, True, lambda action: missing.setdefault(action.node, []).append(action))
    except NotApplied as error:
        return [*lost, as_finding("links", "K045", error)]
    except ReplicatorError as error:
        return [as_finding("init", "K043", error)]
    findings = list(lost)
    places = {str(finding.where) for finding in lost}
    for node, actions in missing.items():
        if node not in places:
            listed = ", ".join(action.what for action in actions[:4]) + (", ..." if len(actions) > 4 else "")
            findings.append(Finding(node, "K041", f"not fully initialised, missing: {listed}", "run `replicator init`"))
    return findings


def _sources_lost(config: Config, pair: NodePair, connections: Connections, prepared: Mapping[str, bool]) -> list[Finding]:
    findings = []
    for source, target in flows_of(links_between(config, pair), pair):
        flow = flow_name(source, target)
        if prepared[target]:
            with translated(target):
                saved = checkpoints(connections[target], [flow]).get(flow)
            if saved is not None:
                with translated(source):
                    gone = slots.lost(connections[source], slots.Flow(flow, source, target, slot_name(flow)), saved.source)
                if gone is not None:
                    findings.append(as_finding(source, "K042", gone))
    return findings

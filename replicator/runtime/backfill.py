"""`replicator backfill`: asks for existing records to be copied, and watches until they are.

The copying itself is the flow's (apply/backfill.py): a running replicator takes the request up within seconds; without
one, the caller runs a daemon of its own (`Carrier`). Promises: what is asked for is in the target's tables, so whoever is killed,
the next `run` or `backfill` goes on where the last chunk ended; nothing is copied twice.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from replicator.engines.postgres import backfills
from replicator.engines.postgres.backfills import BackfillState
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.pauses import require_going
from replicator.engines.postgres.setup import flow_name, has_state, slot_name
from replicator.engines.postgres.slots import slot_state
from replicator.errors import ConfigurationError, ReplicatorError
from replicator.mapping.chosen import links_named
from replicator.mapping.expressions import Passage, Reading, parse_expression
from replicator.mapping.findings import Findings, near
from replicator.model.config import Config
from replicator.model.finding import Mark
from replicator.model.link import Expression, Link
from replicator.program.compile import compile_flow, in_order
from replicator.program.existing import condition_sql
from replicator.program.layout import Layout
from replicator.program.program import Program
from replicator.program.projection import Tables
from replicator.runtime.daemon import Daemon
from replicator.runtime.setup import check_applied
from replicator.runtime.wiring import complete, links_between, node_pairs, read_catalog

BACKFILL = "backfill"
Connections = Mapping[str, psycopg.Connection]


@dataclass(frozen=True, slots=True)
class Copy:
    """One link in one direction. `condition`: SQL over `own`, or None; `under_way`: what was asked for before and is not done."""

    link: Link
    source: str
    target: str
    program: Program
    condition: str | None
    expected: int | None
    under_way: BackfillState | None
    tables: Tables
    between: tuple[Link, ...]  # all links between the two nodes

    @property
    def flow(self) -> str:
        return flow_name(self.source, self.target)


def copies(config: Config, connections: Connections, names: Sequence[str], source: str, where: str | None) -> list[Copy]:
    """What `backfill` with these links (none: all that lead from the node) comes to, links after those they refer to."""
    nodes = [node.name for node in config.nodes]
    if source not in nodes:
        raise ConfigurationError(f"there is no node {source!r}", near(source, nodes) or f"nodes are {', '.join(nodes)}")
    asked: set[str] = set()
    for name in names:
        meant = links_named(config, name)
        leading = {link.name for link in meant if any(start == source for start, _ in link.flows)}
        if not leading:
            ways = " and ".join(f"{a} to {b}" for link in meant for a, b in sorted(link.flows))
            raise ConfigurationError(f"link {name} leads nothing from {source}: it goes {ways}", "say another --from")
        asked |= leading
    if where is not None and len(names) != 1:
        raise ConfigurationError("--where is a condition over one link's records", "name that link alone")
    catalog = read_catalog(config.links, connections)
    check_applied(config, connections, catalog)
    found = []
    for pair in node_pairs(config):
        if source not in pair:
            continue
        target = pair[0] if pair[1] == source else pair[1]
        links = links_between(config, pair)
        tables = complete({key: table for key, table in catalog.items() if key[0] in pair}, links)
        by_name = {link.name: link for link in links}
        programs = {program.link.name: program for program in compile_flow(links, tables, source, target)}
        with translated(target):
            if not has_state(connections[target]):
                raise ConfigurationError(f"{target} is not initialised", "run `replicator init` first")
            require_going(connections[target], asked or {link.name for link in links})
            open_ones = {
                (state.flow, state.link): state
                for state in backfills.states(connections[target])
                if state.why == BACKFILL and state.finished is None
            }
        for link in in_order(links, tables, target):
            if link.name not in programs or (names and link.name not in asked):
                continue
            layout = Layout(link, by_name, tables, source, target)
            condition = None if where is None else condition_sql(layout, _condition(where, link, layout))
            program = programs[link.name]
            under_way = open_ones.get((flow_name(source, target), link.name))
            expected = _expected(connections[source], program, condition)
            found.append(Copy(link, source, target, program, condition, expected, under_way, tables, tuple(links)))
    return found


def _condition(text: str, link: Link, layout: Layout) -> Expression:
    found = Findings()
    source = layout.source
    nodes = {side.node for side in link.sides}
    passage = Passage(text, lambda index: Mark("--where", 1, index + 1))
    expression = parse_expression(passage, Reading(nodes, source), found)
    errors = [finding for finding in found.in_order() if finding.severity == "error"]
    if errors or expression is None:
        first = errors[0]
        raise ConfigurationError(f"{first.where}: {first.message}", first.hint or f"columns are written {source}.column")
    for name in sorted(expression.reads):
        if name not in layout.source_table.by_name:
            columns = list(layout.source_table.by_name)
            hint = near(name, columns) or f"columns are {', '.join(columns)}"
            raise ConfigurationError(f"--where: {layout.source_side.table} has no column {name}", hint)
    return expression


def _expected(connection: psycopg.Connection, program: Program, condition: str | None) -> int | None:
    side = program.link.side(program.source)
    with translated(program.source):
        if condition is None and side.where is None and side.query is None:
            known = backfills.table_rows(connection, side.table)
            if known is not None:
                return known
        setup = program.derive.setup if program.derive else ()
        return backfills.count(connection, setup, program.pages.count(condition))


def request(connections: Connections, wanted: Sequence[Copy], rate: int | None, restart: bool) -> dict[str, list[int]]:
    """Asks for what is not under way yet. Gives the ids by target node."""
    ids: dict[str, list[int]] = {}
    for copy in wanted:
        target = connections[copy.target]
        with translated(copy.target):
            number = None
            if copy.under_way is not None:
                if restart or copy.under_way.condition != copy.condition:
                    backfills.cancel(target, copy.flow, copy.link.name, BACKFILL)
                else:
                    number = copy.under_way.id
                    backfills.change_rate(target, number, rate)
            if number is None:
                number = backfills.ask(target, copy.flow, copy.link.name, BACKFILL, copy.condition, rate, copy.expected)
        ids.setdefault(copy.target, []).append(number)
    return ids


def look(connections: Connections, ids: Mapping[str, Sequence[int]]) -> list[BackfillState]:
    found = []
    for node, numbers in ids.items():
        with translated(node):
            found += backfills.states(connections[node], numbers)
    return found


def carried(connections: Connections, flows: Mapping[str, str]) -> bool:
    """Whether a replicator reads every one of these flows (flow -> its source) now."""
    for flow, source in flows.items():
        with translated(source):
            slot = slot_state(connections[source], slot_name(flow), None)
        if slot is None or not slot.active:
            return False
    return True


class Carrier:
    """A daemon for as long as a command needs one, where none is running."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self._daemon = Daemon(config, environ)
        self._thread = threading.Thread(target=self._run, name="replicator carries")

    def _run(self) -> None:
        with suppress(ReplicatorError):  # `check` raises it where it is heard
            self._daemon.run()

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        """Raises what has stopped it."""
        if self._daemon.failed is not None:
            raise self._daemon.failed

    def stop(self) -> None:
        """After the chunk in hand."""
        self._daemon.stop.set()
        self._thread.join()

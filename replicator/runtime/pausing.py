"""`replicator pause` and `resume`: which links stand still, and whether one that does may go on.

Promises: what is wanted is noted on the nodes that the link's flows write to; a running replicator carries it out within
seconds. A link goes on only if it fits the tables as they are and is as it was applied; what could not be kept of it is
copied anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from replicator.engines.postgres import backfills, history, pauses
from replicator.engines.postgres.applied import remember, remembered
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.pauses import Paused
from replicator.engines.postgres.setup import flow_name, slot_name
from replicator.errors import ConfigurationError
from replicator.mapping.chosen import link_named, links_named
from replicator.mapping.structure import check_structure
from replicator.model.config import Config
from replicator.model.finding import Finding, Mark
from replicator.model.link import Link
from replicator.model.pause import Pause
from replicator.program.applied import Applied, blocker
from replicator.runtime import drift
from replicator.runtime.accept import HINT, NotApplied, expected
from replicator.runtime.backfill import BACKFILL
from replicator.runtime.history import require_state
from replicator.runtime.lint import check_links, errors_of
from replicator.runtime.wiring import complete, links_between, node_pairs, read_catalog

Connections = Mapping[str, psycopg.Connection]


class StillUnfit(ConfigurationError):
    """A link does not fit its tables; `findings` say where."""

    def __init__(self, link: str, findings: Sequence[Finding]) -> None:
        super().__init__(f"link {link} does not fit its tables yet, and stays paused", "`replicator lint` shows it too")
        self.findings = tuple(findings)


class Unread(ConfigurationError):
    """A running replicator does not know the file as it is now."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """`kept`: records of which changes were parked; `copied`: (flow, records are copied anew there)."""

    link: str
    kept: int
    copied: tuple[str, ...]


def chosen(config: Config, name: str, node: str | None) -> list[Link]:
    """The links that are meant. `node`: of those that a class has made of a file, the one with this node."""
    if node is None:
        return links_named(config, name)
    if node not in {one.name for one in config.nodes}:
        raise ConfigurationError(f"there is no node {node!r}", f"nodes are {', '.join(one.name for one in config.nodes)}")
    return [link_named(config, name, node)]


def stand_still(connections: Connections, links: Sequence[Link], by: str) -> list[str]:
    """Gives those that were not paused already."""
    require_state(connections)
    done = []
    for link in links:
        pause = Pause(link.name, by, f"{by} paused it", f"`replicator resume {link.name}`", str(link.mark))
        new = False
        for source, target in sorted(link.flows):
            with translated(target):
                new |= pauses.pause(connections[target], flow_name(source, target), pause)
        if new:
            done.append(link.name)
    return done


def standing_still(connections: Connections, links: Collection[str] | None = None) -> list[Paused]:
    """By flow; of these links, or of all."""
    found = []
    for node, connection in connections.items():
        with translated(node):
            found += [one for one in pauses.paused(connection) if links is None or one.pause.link in links]
    return found


def go_on(config: Config, connections: Connections, links: Sequence[Link], dry_run: bool) -> list[Resumed]:
    """Lets those that are paused go on. Raises StillUnfit, NotApplied or Unread for the first that cannot; nothing is changed
    then."""
    require_state(connections)
    names = {link.name for link in links}
    found = standing_still(connections, names)
    waiting = [link for link in links if any(one.pause.link == link.name for one in found)]
    fitting = [(link, _require_fit(config, connections, link)) for link in waiting]
    done = []
    for link, applied in fitting:
        mine = {one.flow: one for one in found if one.pause.link == link.name}
        copied, anew = [], drift.remade(link, connections)
        for source, target in sorted(link.flows):
            flow = flow_name(source, target)
            one = mine.get(flow)
            if one is not None and (one.pause.stale or anew):
                copied.append(flow)
            if one is None or dry_run:
                continue
            with translated(target), connections[target].transaction():
                if pauses.resume(connections[target], flow, link.name) and flow in copied:
                    backfills.cancel(connections[target], flow, link.name, BACKFILL)
                    backfills.ask(connections[target], flow, link.name, BACKFILL)
        for side in link.sides if not dry_run else ():
            with translated(side.node):
                remember(connections[side.node], [applied])
        done.append(Resumed(link.name, sum(one.kept for one in mine.values()), tuple(copied)))
    return done


def running(connections: Connections, links: Sequence[Link]) -> bool:
    """Whether a replicator reads the flows of all these links."""
    for link in links:
        for source, target in link.flows:
            with translated(source):
                if not history.slots_read(connections[source], [slot_name(flow_name(source, target))]):
                    return False
    return True


def _require_fit(config: Config, connections: Connections, link: Link) -> Applied:
    """How the link is to be remembered."""
    catalog = read_catalog(config.links, connections, [])
    wrong = _of(link, errors_of(check_structure(config.links, catalog)))
    whole = not errors_of(check_structure(config.links, catalog))
    if not wrong and whole:
        wrong = _of(link, errors_of(check_links(config, connections, catalog)))
    if wrong:
        raise StillUnfit(link.name, wrong)
    missing = drift.unpublished(link, connections)
    if missing:
        raise ConfigurationError(f"link {link.name} stays paused: {missing[0].reason}", missing[0].hint)
    pair = next(pair for pair in node_pairs(config) if {side.node for side in link.sides} == set(pair))
    between = links_between(config, pair)
    broken = drift.unworkable(between, catalog)
    now = expected(between, complete(drift.as_if_whole(between, catalog, broken), between))[link.name]
    changed = False
    for node in pair:
        with translated(node):
            before = (remembered(connections[node]) or {}).get(link.name)
        why = blocker(None if before is None else drift.as_called_now(before, connections), now)
        if why is not None:
            raise NotApplied(f"link {link.name} {why}", f"stop `replicator run`; {HINT}; then resume it, and start `run` again")
        changed |= before is not None and before.document != now.document
    if changed and running(connections, [link]):
        hint = f"stop `replicator run`, `replicator resume {link.name}`, and start it again"
        raise Unread(f"link {link.name}: its file has changed since the replicator that runs was started", hint)
    return now


def _of(link: Link, findings: Sequence[Finding]) -> list[Finding]:
    return [one for one in findings if isinstance(one.where, Mark) and one.where.path == link.mark.path]

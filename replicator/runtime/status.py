"""How the flows stand, from the databases alone: true whether a daemon runs or not, and wherever it runs.

Promises: changes nothing; a node that cannot be reached leaves gaps in the picture, not an exception.
`problems` are what a person must see to: records that do not go on by themselves, flows that stand still, slots that are gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from replicator.engines.postgres import backfills, pauses
from replicator.engines.postgres.backfills import BackfillState
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.pauses import Paused
from replicator.engines.postgres.reconciled import Reconciled, results
from replicator.engines.postgres.setup import flow_name, has_state, slot_name
from replicator.engines.postgres.slots import Flow, Gap, gaps, lost, slot_findings, slot_state
from replicator.engines.postgres.status import (
    bytes_after,
    checkpoints,
    conflict_counts,
    parked_counts,
    rows_in_state,
)
from replicator.errors import ConfigurationError, NodeUnavailable, ReplicatorError, SourceLost
from replicator.model.config import Config
from replicator.model.failure import NOT_BY_ONE
from replicator.model.finding import Finding
from replicator.program import names
from replicator.runtime.clocks import Distance, distances, read_clocks
from replicator.runtime.lint import close_all, connect_all
from replicator.runtime.wiring import flows_of, links_between, node_pairs

LATELY_SECONDS = 30.0  # the daemon notes how fast it is every five, or after a longer batch, while it has something to do


@dataclass
class FlowStatus:
    """`position` None: never initialised (or its target is not reached). `slot_state`: active (a daemon reads it),
    inactive, missing, lost (the server has removed WAL that was still needed) or unknown. `runner`: host:pid of the
    replicator that reads it. `gone`: why the flow cannot go on. `gaps`: changes that it went on without."""

    flow: str
    source: str
    target: str
    links: list[str]
    slot: str
    position: str | None = None
    checkpoint_seconds: float | None = None
    slot_state: str = "unknown"
    behind_bytes: int | None = None
    kept_bytes: int | None = None
    conflicts: int = 0
    conflicts_24h: int = 0
    conflicts_open: int = 0
    conflict_kinds: dict[str, int] = field(default_factory=dict)
    parked: dict[str, int] = field(default_factory=dict)
    paused: list[Paused] = field(default_factory=list)
    oldest_parked_seconds: float | None = None
    halted: str | None = None
    pace: dict[str, Any] | None = None
    backfills: list[BackfillState] = field(default_factory=list)
    runner: str | None = None
    gone: SourceLost | None = None
    gaps: list[Gap] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)


@dataclass
class Status:
    """`pairs`: link -> pairs in its crosswalk, for links that keep one. `initialised`: every node that is reached.
    `clocks`: how far those of linked nodes are apart."""

    flows: list[FlowStatus] = field(default_factory=list)
    pairs: dict[str, int] = field(default_factory=dict)
    unreachable: list[Finding] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    initialised: bool = True
    clocks: list[Distance] = field(default_factory=list)
    reconciled: list[Reconciled] = field(default_factory=list)


def read_status(config: Config, environ: Mapping[str, str]) -> Status:
    status = Status()
    connections, status.unreachable = connect_all(config, environ, "status")
    try:
        prepared: dict[str, psycopg.Connection] = {}
        for node, connection in connections.items():
            with translated(node):
                if has_state(connection):
                    prepared[node] = connection
        status.initialised = prepared.keys() == connections.keys()
        for pair in node_pairs(config):
            links = links_between(config, pair)
            for source, target in flows_of(links, pair):
                flow = flow_name(source, target)
                feeding = [link.name for link in links if (source, target) in link.flows]
                one = FlowStatus(flow, source, target, feeding, slot_name(flow))
                _read_flow(one, connections.get(source), prepared.get(target))
                status.flows.append(one)
        status.clocks = distances(read_clocks(connections), node_pairs(config))
        for link in config.links:
            known = next((side.node for side in link.sides if side.node in prepared), None)
            if known is not None:
                with translated(known):
                    count = rows_in_state(prepared[known], names.crosswalk(link))
                if count is not None:
                    status.pairs[link.name] = count
        for node, connection in prepared.items():
            with translated(node):
                mine = {link.name for link in config.links if link.sides[0].node == node}
                status.reconciled += [one for one in results(connection) if one.link in mine]
    finally:
        close_all(connections)
    status.problems = _problems(status)
    return status


def require_initialised(status: Status) -> None:
    """Raises what `run` says when there is nothing to start from."""
    never = [flow.flow for flow in status.flows if flow.position is None]
    if never and not status.unreachable:
        raise ConfigurationError(f"not initialised: {', '.join(never)}", "run `replicator init` first")


def as_document(status: Status) -> dict[str, Any]:
    """For --json."""
    return {
        "initialised": status.initialised,
        "flows": [
            {
                "flow": f.flow, "source": f.source, "target": f.target, "links": f.links,
                "checkpoint": {"position": f.position, "seconds_ago": f.checkpoint_seconds},
                "slot": {"name": f.slot, "state": f.slot_state, "kept_bytes": f.kept_bytes, "runner": f.runner},
                "gaps": [asdict(gap) for gap in f.gaps],
                "behind_bytes": f.behind_bytes,
                "conflicts": {
                    "total": f.conflicts, "last_24h": f.conflicts_24h, "open": f.conflicts_open, "by_kind": f.conflict_kinds,
                },
                "parked": f.parked,
                "paused": [{**asdict(p.pause), "since": p.since.isoformat(), "kept": p.kept} for p in f.paused],
                "oldest_parked_seconds": f.oldest_parked_seconds,
                "halted": f.halted,
                "pace": f.pace,
                "backfills": [b.as_object() for b in f.backfills],
            }
            for f in status.flows
        ],
        "pairs": status.pairs,
        "reconciled": [one.as_object() for one in status.reconciled],
        "clocks": [
            {"nodes": [c.one, c.other], "ahead_ms": round(c.ahead_ms, 3), "doubt_ms": round(c.doubt_ms, 3)} for c in status.clocks
        ],
    }  # fmt: skip


def _read_flow(one: FlowStatus, source: psycopg.Connection | None, target: psycopg.Connection | None) -> None:
    saved = None
    if target is not None:
        with translated(one.target):
            saved = checkpoints(target, [one.flow]).get(one.flow)
            if saved is not None:
                one.position, one.checkpoint_seconds, one.halted = saved.lsn, saved.seconds_ago, saved.halted
                if saved.pace is not None and saved.pace_seconds is not None and saved.pace_seconds < LATELY_SECONDS:
                    one.pace = saved.pace
            for flow, kind, total, recent, waiting in conflict_counts(target):
                if flow == one.flow:
                    one.conflict_kinds[kind] = total
                    one.conflicts += total
                    one.conflicts_24h += recent
                    one.conflicts_open += waiting
            one.paused = [found for found in pauses.paused(target) if found.flow == one.flow]
            one.gaps = [gap for gap in gaps(target) if gap.flow == one.flow]
            one.backfills = [state for state in backfills.states(target) if state.flow == one.flow]
            for flow, reason, count, age in parked_counts(target):
                if flow == one.flow:
                    one.parked[reason] = count
                    one.oldest_parked_seconds = max(age, one.oldest_parked_seconds or 0.0)
    if source is not None:
        with translated(one.source):
            slot = slot_state(source, one.slot, one.position)
            if slot is None:
                one.slot_state = "missing"
                one.behind_bytes = bytes_after(source, one.position) if one.position else None
            else:
                one.slot_state = "lost" if slot.lost else "active" if slot.active else "inactive"
                one.behind_bytes, one.kept_bytes, one.runner = slot.behind_bytes, slot.kept_bytes, slot.runner
                one.warnings = slot_findings(slot, one.source, one.slot, one.flow, "S006")
            if saved is not None:
                one.gone = lost(source, Flow(one.flow, one.source, one.target, one.slot), saved.source)


def _problems(status: Status) -> list[Finding]:
    problems = []
    for flow in status.flows:
        where = flow.flow
        if flow.slot_state == "missing" and flow.position is None:
            problems.append(Finding(where, "S001", "not initialised", "run `replicator init`"))
        elif flow.gone is not None:
            problems.append(Finding(where, "S002", flow.gone.message.removeprefix(f"{where} "), flow.gone.hint))
        problems += flow.warnings
        problems += _open_gaps(flow, status.reconciled)
        if flow.halted:
            message, _, hint = flow.halted.partition(" -> ")
            problems.append(Finding(where, "S005", message, hint))
        for copy in flow.backfills:
            if copy.problem and copy.problem != backfills.CANCELLED:
                message = f"{copy.why} of {copy.link} ended undone: {copy.problem}"
                again = f"mend it, then `replicator backfill {copy.link} --from {flow.source}`"
                problems.append(Finding(where, "S004", message, again))
        for one in flow.paused:
            kept = f"; {one.kept:,} parked" if one.kept else ""
            place = f"{one.pause.place}: " if one.pause.place else ""
            message = f"link {one.pause.link} is paused: {place}{one.pause.reason}{kept}"
            problems.append(Finding(where, "S008", message, one.pause.hint))
        for reason, count in sorted(flow.parked.items()):
            if reason not in NOT_BY_ONE:
                records = "record is" if count == 1 else "records are"
                message = f"{count:,} {records} parked: {reason}"
                option = f"--reason '{reason}'" if " " in reason else f"--reason {reason}"
                hint = f"`replicator parked list --on {flow.target} {option}`"
                problems.append(Finding(where, "S003", message, hint))
    return problems


def _open_gaps(flow: FlowStatus, reconciled: Sequence[Reconciled]) -> list[Finding]:
    """A gap is closed when every link of the flow was found equal, or mended, by a comparison that began after it."""
    equal = {one.link: one.seconds_ago + one.seconds for one in reconciled if not one.differences and one.problem is None}
    findings = []
    for gap in flow.gaps:
        left = [link for link in flow.links if equal.get(link, gap.seconds_ago) >= gap.seconds_ago]
        if left:
            message = (
                f"went on without the changes of {flow.source} between {gap.start} and {gap.end} ({gap.reason}),"
                f" and nobody knows yet that both sides agree on {', '.join(left)}"
            )
            hint = f"`replicator reconcile {' '.join(left)}` says what is missing, `--repair` mends it"
            findings.append(Finding(flow.flow, "S007", message, hint))
    return findings


def unreachable_error(status: Status) -> ReplicatorError:
    """What to end with when part of the picture is missing."""
    first = status.unreachable[0]
    return NodeUnavailable(f"{first.where}: {first.message}", first.hint)

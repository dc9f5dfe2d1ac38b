"""`replicator status`: how the flows stand, read from the databases."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from replicator.apply.outcome import STEPS
from replicator.engines.postgres.slots import size
from replicator.errors import NodeUnavailable
from replicator.model.config import Config
from replicator.runtime.clocks import Distance
from replicator.runtime.status import FlowStatus, Status, as_document, read_status, unreachable_error

from .backfill_words import progress, way
from .output import Output, as_object
from .session import ConfigOption, JsonOption, Session, open_session

DRAWN_EVERY = 2.0


def status(
    context: typer.Context,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again, until Ctrl-C.")] = False,
    every: Annotated[float | None, typer.Argument(metavar="SECONDS", min=0.1, help="Of --watch. [default: 2]")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Shows how the flows stand.

    How far each is, what it has parked and which conflicts it met, read from the databases: it works from anywhere,
    with or without a running replicator. Ends with 1 if a person must see to something: parked records that do not
    go on by themselves, a flow that stands still for too much would be parked, a replication slot that is gone or near
    its end, or changes that a flow went on without. Beside the slot stands who reads it, host and process.

    \b
    Example:
      replicator status
      replicator status --watch          drawn anew every 2 s, or so many as a number behind it says
      replicator status --json | jq '.flows[] | {flow, behind_bytes, parked}'
    """
    session = open_session(context, config, as_json)
    output = session.output
    if watch and output.as_json:
        raise typer.BadParameter("--watch and --json exclude each other")
    if every is not None and not watch:
        raise typer.BadParameter("SECONDS belongs to --watch")
    loaded = session.load()
    if watch:
        return _watch(session, loaded, every or DRAWN_EVERY)
    found = read_status(loaded, session.environ)
    _show(output, found, loaded.settings.clock_limit_ms)
    if found.unreachable and not output.as_json:
        raise unreachable_error(found)
    problems = [as_object(finding) for finding in found.problems]
    unreachable = [as_object(finding) for finding in found.unreachable]
    output.document({**as_document(found), "problems": problems, "unreachable": unreachable})
    if found.unreachable:
        return unreachable_error(found).exit_code
    return 1 if found.problems else 0


def _watch(session: Session, config: Config, seconds: float) -> int:
    """Until Ctrl-C, whatever happens to the servers meanwhile."""

    def draw() -> None:
        try:
            found = read_status(config, session.environ)
        except NodeUnavailable as error:
            session.output.line(error.message, "bold red")
            return
        _show(session.output, found, config.settings.clock_limit_ms)

    try:
        with session.output.frames() as frame:
            while True:
                frame(draw)
                time.sleep(seconds)
    except KeyboardInterrupt:
        return 0


def _show(output: Output, found: Status, limit: int) -> None:
    headers = ("flow", "position", "saved", "slot", "behind", "conflicts", "24 h", "parked")
    rows = [
        (
            flow.flow,
            flow.position,
            "-" if flow.checkpoint_seconds is None else f"{flow.checkpoint_seconds:,.0f} s ago",
            _slot(flow),
            _size(flow.behind_bytes),
            flow.conflicts,
            flow.conflicts_24h,
            _parked(flow),
        )
        for flow in found.flows
    ]
    output.table(headers, rows, right=(2, 4, 5, 6))
    paced = [flow for flow in found.flows if flow.pace]
    if paced:
        output.line()
        output.table(("lately", "changes/s", *STEPS, "waiting"), [_pace(flow) for flow in paced], right=range(1, len(STEPS) + 3))
    copies = [copy for flow in found.flows for copy in flow.backfills if copy.finished is None]
    if copies:
        output.line()
        output.table(("under way", "link", "way", "progress"), [(c.why, c.link, way(c.flow), progress(c)) for c in copies])
    if found.reconciled:
        output.line()
        rows_of = [(r.link, _ago(r.seconds_ago), f"{r.seconds:,.1f} s", r.compared, r.differences) for r in found.reconciled]
        output.table(("reconciled", "when", "took", "compared", "differences"), rows_of, right=(3, 4))
    if found.pairs:
        output.line()
        output.table(("link", "pairs"), sorted(found.pairs.items()), right=(1,))
    waiting = sum(flow.conflicts_open for flow in found.flows)
    if waiting:
        what = "1 conflict waits" if waiting == 1 else f"{waiting:,} conflicts wait"
        output.line(f"\n{what} for a person: `replicator conflicts list --open`", "yellow")
    if found.clocks:
        output.line()
    for clocks in found.clocks:
        output.line(f"clocks  {_clocks(clocks, limit)}")
    if found.problems:
        output.line()
        output.findings(found.problems)
    output.findings(found.unreachable)


def _pace(flow: FlowStatus) -> list[str]:
    """Its speed, and the shares of the time that its steps took."""
    assert flow.pace is not None
    shares = [flow.pace["shares"].get(step, 0.0) for step in STEPS]
    rest = max(0.0, 1 - sum(shares))
    return [flow.flow, f"{flow.pace['changes'] / flow.pace['seconds']:,.0f}", *(f"{share:.0%}" for share in (*shares, rest))]


def _clocks(clocks: Distance, limit: int) -> str:
    apart = f"{clocks.late}'s is ahead of {clocks.early}'s by {abs(clocks.ahead_ms):,.1f} ms"
    text = f"{apart}, give or take {clocks.doubt_ms:,.1f} ms"
    return f"{text}: more than the limit of {limit:,} ms, see `replicator check`" if clocks.beyond(limit) else text


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s ago"
    return f"{seconds / 60:,.0f} min ago" if seconds < 7200 else f"{seconds / 3600:,.0f} h ago"


def _parked(flow: FlowStatus) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(flow.parked.items())) or "-"


def _size(count: int | None) -> str:
    return "-" if count is None else size(count)


def _slot(flow: FlowStatus) -> str:
    return f"{flow.slot_state}, {flow.runner}" if flow.runner else flow.slot_state

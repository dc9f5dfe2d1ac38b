"""`replicator backfill`: copies what is there already, and says how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from replicator.engines.postgres import backfills
from replicator.engines.postgres.errors import translated
from replicator.runtime.backfill import BACKFILL, Connections, Copy, copies, look, request
from replicator.runtime.checks import preflight
from replicator.runtime.wiring import plain_connections

from .backfill_words import progress, way
from .carrying import watch
from .output import Output
from .session import ConfigOption, JsonOption, open_session


def backfill(
    context: typer.Context,
    *,
    links: Annotated[list[str] | None, typer.Argument(metavar="[LINK]...", help="Which links. [default: all]")] = None,
    source: Annotated[str, typer.Option("--from", metavar="NODE", help="Whose records are copied.")] = "",
    where: Annotated[
        str | None, typer.Option("--where", metavar="SQL", help="Only these, as in `crm.created > date '2026-01-01'`.")
    ] = None,
    rate: Annotated[int | None, typer.Option("--rate", metavar="N", min=1, help="At most N records a second.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be copied, and change nothing.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Give up what is under way; what is copied stays.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Watch until it is done; else only ask for it.")] = True,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Copies the records that are there already.

    They go through the links like changes do: made on the other side, or paired with what `match` finds there, chunk by
    chunk, links after those they refer to. Users go on working: an edit is never overwritten by an older copy. A running
    replicator does the work; without one, this command runs one until it is done. Broken off, it goes on where it
    was: say the same again, or `replicator run`. Ends with 1 if records were parked (`replicator status`).

    \b
    Example:
      replicator backfill --from crm --dry-run
      replicator backfill --from crm                          every link, in the order of their references
      replicator backfill customer --from erp --where "erp.active" --rate 2000
      replicator backfill customer --from erp --cancel
    """
    if not source:
        raise typer.BadParameter("--from NODE is needed: whose records are to be copied?")
    session = open_session(context, config, as_json)
    loaded = session.load()
    output = session.output
    errors = preflight(loaded, session.environ)
    if errors:
        output.failure("nothing was asked for: the links or the databases have errors", "mend what is listed", errors)
        return 2
    connections = plain_connections(loaded, session.environ, "backfill")
    try:
        wanted = copies(loaded, connections, links or [], source, where)
        if cancel:
            return _cancel(output, connections, wanted)
        if dry_run:
            _show_wanted(output, wanted)
            output.document({"dry_run": True, "backfills": [_as_asked(copy) for copy in wanted]})
            return 0
        ids = request(connections, wanted, rate, restart)
        if not wait:
            output.line(f"asked for {len(wanted)}; `replicator status` shows how far they are")
            output.document({"backfills": [state.as_object() for state in look(connections, ids)]})
            return 0
        flows = {copy.flow: copy.source for copy in wanted}
        states = watch(output, loaded, session.environ, connections, flows, ids)
    finally:
        for connection in connections.values():
            connection.close()
    output.document({"backfills": [state.as_object() for state in states]})
    failed = [state for state in states if state.problem]
    for state in failed:
        output.aside(f"{state.link} {way(state.flow)}: not done: {state.problem}", "bold red")
    return 3 if failed else 1 if any(state.parked for state in states) else 0


def _cancel(output: Output, connections: Connections, wanted: Sequence[Copy]) -> int:
    names = []
    for copy in wanted:
        with translated(copy.target):
            if backfills.cancel(connections[copy.target], copy.flow, copy.link.name, BACKFILL):
                names.append(copy.link.name)
    output.line(f"given up: {', '.join(names)}; what is copied stays" if names else "nothing was under way")
    output.document({"cancelled": names})
    return 0


def _show_wanted(output: Output, wanted: Sequence[Copy]) -> None:
    rows = [
        (copy.link.name, f"{copy.source} to {copy.target}", copy.expected, progress(copy.under_way) if copy.under_way else "new")
        for copy in wanted
    ]
    output.table(("link", "way", "records", ""), rows, right=(2,))
    output.line("nothing was changed; `replicator plan` counts what links would make of them")


def _as_asked(copy: Copy) -> dict[str, Any]:
    done = copy.under_way.records if copy.under_way else 0
    return {"link": copy.link.name, "from": copy.source, "to": copy.target, "expected": copy.expected, "records": done}

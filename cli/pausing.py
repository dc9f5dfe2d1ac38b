"""`replicator pause` and `replicator resume`: a link stands still, and goes on."""

from __future__ import annotations

from typing import Annotated

import typer

from replicator.runtime import pausing

from .conflict_words import promise
from .looking import connected, person
from .session import ConfigOption, JsonOption, open_session

LinkArgument = Annotated[str, typer.Argument(metavar="LINK", help="The link, as its file names it.")]
NodeOption = Annotated[
    str | None, typer.Option("--node", metavar="NODE", help="Of a link with a class of nodes: the one with this node only.")
]


def pause(
    context: typer.Context,
    link: LinkArgument,
    *,
    node: NodeOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be paused, change nothing.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Lets a link stand still, both ways.

    A running replicator does it within seconds. What users write meanwhile is kept, one parked change a record, and what
    refers to such a record waits behind it; all other links go on. `replicator resume` lets it go on from there. A link that
    does not fit its tables any more, because a column was dropped or renamed, is paused by the replicator itself.

    \b
    Example:
      replicator pause customer
      replicator pause order --node erp_north
    """
    session = open_session(context, config, as_json)
    loaded, output = session.load(), session.output
    with connected(session, loaded, "pause", strict=True) as (connections, _):
        links = pausing.chosen(loaded, link, node)
        before = {one.pause.link for one in pausing.standing_still(connections, {one.name for one in links})}
        fresh = [one for one in links if one.name not in before]
        done = [one.name for one in fresh] if dry_run else pausing.stand_still(connections, links, person())
        is_running = pausing.running(connections, links)
    for name in (one.name for one in links):
        if name not in done:
            output.line(f"{name} is paused already")
        else:
            output.line(f"{name} would be paused" if dry_run else f"{name} is paused: `replicator resume {name}` lets it go on")
    if done and not dry_run:
        output.line(promise(is_running), "dim")
    output.document({"paused": done, "dry_run": dry_run, "daemon_running": is_running})
    return 0


def resume(
    context: typer.Context,
    link: LinkArgument,
    *,
    node: NodeOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say whether it may go on, change nothing.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Lets a link that is paused go on from where it stopped.

    First it is checked, as `lint` does, against the tables as they are; a link that does not fit them stays paused, and the
    line to change is shown (exit code 2). What was kept is carried over in order. A link file that was changed is read when
    `replicator run` is started: stop it, resume the link, start it again.

    \b
    Example:
      replicator resume customer
    """
    session = open_session(context, config, as_json)
    loaded, output = session.load(), session.output
    with connected(session, loaded, "resume", strict=True) as (connections, _):
        links = pausing.chosen(loaded, link, node)
        done = pausing.go_on(loaded, connections, links, dry_run)
        is_running = pausing.running(connections, links)
    for one in done:
        kept = "nothing was kept" if not one.kept else f"{one.kept:,} parked {'change' if one.kept == 1 else 'changes'} of it"
        output.line(f"{one.link} {'may go on' if dry_run else 'goes on'}: {kept}")
        for flow in one.copied:
            output.line(f"{one.link}: its records are copied anew in {flow}, for not every change could be kept")
    for name in (one.name for one in links):
        if name not in {one.link for one in done}:
            output.line(f"{name} is not paused")
    if done and not dry_run:
        output.line(promise(is_running), "dim")
    resumed = [{"link": one.link, "kept": one.kept, "copied": list(one.copied)} for one in done]
    output.document({"resumed": resumed, "dry_run": dry_run, "daemon_running": is_running})
    return 0

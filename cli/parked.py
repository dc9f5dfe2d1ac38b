"""`replicator parked`: what could not be written, why, and what a person wants done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from replicator.engines.postgres.parked import Filter
from replicator.errors import ConfigurationError, NodeUnavailable
from replicator.mapping.chosen import links_named
from replicator.mapping.findings import near
from replicator.model.config import Config
from replicator.runtime import parked as parking
from replicator.runtime.parked import REASONS, Change

from . import parked_words as words
from .conflict_words import printable, promise, shown
from .looking import SinceOption, again, connected, moment, person
from .output import Output, as_object
from .session import Common, ConfigOption, JsonOption, open_session

USAGE = 2
SHOWN = 20

LinkOption = Annotated[str | None, typer.Option("--link", metavar="LINK", help="Of this link only.")]
OnOption = Annotated[str | None, typer.Option("--on", metavar="NODE", help="That this node has not taken.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="REASON", help=f"One of {', '.join(REASONS)}.")]
StateOption = Annotated[
    str | None, typer.Option("--sqlstate", metavar="CODE", help="Refused with this SQLSTATE, such as 23514, or class: 23.")
]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="Of the record with this key where it comes from; parts joined by commas."),
]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]
IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Or name them by the options below.")]

app = typer.Typer(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})


@app.callback()
def parked(context: typer.Context, *, as_json: JsonOption = False) -> int:
    """What could not be written on the other side, why, and what to do about it.

    \b
    Example:
      replicator parked list                     what is set aside
      replicator parked show erp:17              what happened, what is in it, what waits for it
      replicator parked retry --sqlstate 23514   once the cause is mended
      replicator parked retry erp:17 --set vat_number=ATU12345678
      replicator parked discard erp:17
    """
    common = context.find_object(Common) or Common()
    context.obj = replace(common, as_json=common.as_json or as_json)
    if context.invoked_subcommand is None:
        output = open_session(context, None, as_json).output
        output.line(context.get_help())
        output.document({"error": "no command was given", "hint": "replicator parked --help"})
        return USAGE
    return 0


@app.command("list")
def list_(
    context: typer.Context,
    *,
    link: LinkOption = None,
    on: OnOption = None,
    reason: ReasonOption = None,
    sqlstate: StateOption = None,
    key: KeyOption = None,
    since: SinceOption = None,
    discarded: Annotated[bool, typer.Option("--discarded", help="What was thrown away, and by whom, instead.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many, the newest first.")] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Lists parked changes, newest first.

    `behind`: how many others wait for the record. The id is for `show`, `retry` and `discard`.

    \b
    Example:
      replicator parked list --reason refused --since 1d
      replicator parked list --link customer --sqlstate 23
      replicator parked list --on erp --json | jq -r '.parked[].id'
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    wanted = _filter(loaded, link, on, reason, sqlstate, key, since)
    output = session.output
    with connected(session, loaded, "parked") as (connections, unreachable):
        asked = {node: c for node, c in connections.items() if on in (None, node)}
        if discarded:
            thrown, more = parking.select_discarded(asked, wanted, limit)
        else:
            found, more = parking.select(asked, wanted, limit)
    if discarded:
        headers: tuple[str, ...] = ("when (UTC)", "id", "link", "record", "reason", "attempts", "by")
        rows = [words.thrown(one) for one in thrown]
        documents = [{**asdict(one.row), "id": one.id, "node": one.node, "source": one.source} for one in thrown]
    else:
        headers = ("when (UTC)", "id", "link", "record", "reason", "attempts", "next try", "behind")
        rows = [words.line(one, datetime.now(UTC)) for one in found]
        documents = [_document(one) for one in found]
    if rows:
        output.table(headers, rows, right=(5, 7))
    else:
        output.line("nothing was discarded" if discarded else "nothing is parked")
    if more:
        output.line(f"... and older ones; --limit {limit * 10} shows more", "dim")
    output.findings(unreachable)
    away = [as_object(finding) for finding in unreachable]
    output.document({"discarded" if discarded else "parked": documents, "more": more, "unreachable": away})
    return NodeUnavailable.exit_code if unreachable else 0


@app.command("show")
def show(
    context: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `parked list` shows it, such as erp:17.")],
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tells all there is to one parked change.

    What was changed, when and by which transaction, the values that it carries, what the other side said against it,
    the line of the link file concerned, what it waits for and what waits for it, and what to do.

    \b
    Example:
      replicator parked show erp:17
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    with connected(session, loaded, "parked") as (connections, _):
        one = parking.by_ids(connections, [identity])[0]
        found = parking.content(loaded, connections, one)
        is_running = parking.running(connections, [one])
    options = again(session)
    for label, text in words.story(one, found, datetime.now(UTC), is_running, options):
        session.output.line(f"{label:<10}{text}")
    extra = asdict(found) | {"commands": list(words.commands(one, found, options)), "daemon_running": is_running}
    session.output.document(_document(one) | extra)
    return 0


@app.command("retry")
def retry(
    context: typer.Context,
    identities: IdsArgument = None,
    *,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="COLUMN=VALUE", help="Send this instead; a column of the node it comes from. One id only."),
    ] = None,
    nulls: Annotated[list[str] | None, typer.Option("--null", metavar="COLUMN", help="Send NULL instead. One id only.")] = None,
    link: LinkOption = None,
    on: OnOption = None,
    reason: ReasonOption = None,
    sqlstate: StateOption = None,
    key: KeyOption = None,
    since: SinceOption = None,
    everything: AllOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be tried, change nothing.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Lets parked changes be tried again.

    Only says what is wanted: the running replicator does it, within seconds. What is still refused is parked again.
    `--set` and `--null` name columns of the node that the change comes from, as that node writes them: the other side
    gets this value, the node itself keeps its own, so `reconcile` will show the two until somebody corrects one.
    Ends with 1 if some were no longer parked, or had changed, in that very moment.

    \b
    Example:
      replicator parked retry erp:17 erp:18
      replicator parked retry --link customer --sqlstate 23514
      replicator parked retry erp:17 --set vat_number=ATU12345678 --null phone
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    edits = _edits(sets or [], nulls or [])
    if edits and len(identities or []) != 1:
        raise typer.BadParameter("--set and --null edit one change: name its id")
    wanted = _filter(loaded, link, on, reason, sqlstate, key, since)
    chosen = _chosen(identities or [], wanted, on, everything)
    output = session.output
    with connected(session, loaded, "parked", strict=True) as (connections, _):
        found = _found(connections, chosen, wanted, on)
        notices = [one for one in found if one.row.is_notice]
        trying = [one for one in found if not one.row.is_notice]
        done: list[str] = []
        if edits and trying:
            if parking.edit_and_retry(loaded, connections, trying[0], edits, person(), dry_run):
                done = [trying[0].id]
        elif not dry_run:
            done = parking.retry(connections, trying)
        is_running = parking.running(connections, trying)
    for one in trying[:SHOWN] if dry_run or edits else []:
        values = "".join(f", {column} {shown(value)}" for column, value in edits.items())
        output.line(f"{one.id}  {one.row.link} {one.source} {printable(one.key)}: {words.reason(one.row)}{values}")
    if edits and trying:
        output.line(f"{trying[0].source} keeps its own value: `replicator reconcile` will show the difference", "dim")
    if notices:
        names = ", ".join(one.id for one in notices[:SHOWN])
        output.line(f"nothing to try in {names}: `replicator parked discard` takes it away", "yellow")
    return _say_done(output, trying, done, dry_run, is_running, "to be tried again", {"edits": edits})


@app.command("discard")
def discard(
    context: typer.Context,
    identities: IdsArgument = None,
    *,
    link: LinkOption = None,
    on: OnOption = None,
    reason: ReasonOption = None,
    sqlstate: StateOption = None,
    key: KeyOption = None,
    since: SinceOption = None,
    everything: AllOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be thrown away, change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Throws parked changes away.

    The two sides differ afterwards, as it says, and `replicator reconcile` will show it. All that the changes held is
    kept in a log (`parked list --discarded`) for as long as settled conflicts are. What waited for them is tried again.
    Asks on a terminal; elsewhere it wants --yes.

    \b
    Example:
      replicator parked discard erp:17
      replicator parked discard --reason truncated --yes
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    wanted = _filter(loaded, link, on, reason, sqlstate, key, since)
    chosen = _chosen(identities or [], wanted, on, everything)
    output = session.output
    with connected(session, loaded, "parked", strict=True) as (connections, _):
        found = _found(connections, chosen, wanted, on)
        for one in found[:SHOWN]:
            op = parking.content(loaded, connections, one).op
            behind = f"; {one.row.behind:,} that wait for it are tried again" if one.row.behind else ""
            record = f"{one.row.link} {one.source} {printable(one.key)}"
            output.line(f"{one.id}  {record}: {words.after_discard(one, op)}{behind}")
        if len(found) > SHOWN:
            output.line(f"... and {len(found) - SHOWN:,} more")
        if found and not dry_run and not yes:
            if not output.can_ask:
                raise ConfigurationError(
                    "nobody can be asked here whether these are to be thrown away", "say --yes, or --dry-run"
                )
            if not output.confirm(f"Throw away {_counted(len(found))}?"):
                output.aside("nothing was changed")
                output.document({"dry_run": False, "changes": [], "gone_meanwhile": []})
                return 1
        done = [] if dry_run else parking.discard(connections, found, person())
        is_running = parking.running(connections, found)
    return _say_done(output, found, done, dry_run, is_running, "to be thrown away", {})


# -- what they share ---------------------------------------------------------------------------------------------------


def _filter(
    config: Config,
    link: str | None,
    on: str | None,
    reason: str | None,
    sqlstate: str | None,
    key: str | None,
    since: str | None,
) -> Filter:
    links = tuple(one.name for one in links_named(config, link)) if link is not None else None
    nodes = [node.name for node in config.nodes]
    if on is not None and on not in nodes:
        raise ConfigurationError(f"there is no node {on!r}", near(on, nodes) or f"the nodes are {', '.join(nodes)}")
    if reason is not None and reason not in REASONS:
        raise ConfigurationError(f"there is no reason {reason!r}", near(reason, REASONS) or f"reasons are {', '.join(REASONS)}")
    if sqlstate is not None and len(sqlstate) not in (2, 5):
        raise ConfigurationError(f"{sqlstate!r} is no SQLSTATE", "write five characters, such as 23514, or two for a class: 23")
    return Filter(links, reason, sqlstate, key, None if since is None else moment(since))


def _chosen(identities: Sequence[str], wanted: Filter, on: str | None, everything: bool) -> Sequence[str]:
    """The ids; none if it is the options that say which."""
    ways = [bool(identities), not wanted.everything or on is not None, everything]
    if sum(ways) == 0:
        raise typer.BadParameter("say which: ids, or --link, --on, --reason, --sqlstate, --key, --since, or --all")
    if sum(ways) > 1:
        raise typer.BadParameter("say which in one way: ids, or options such as --link, or --all")
    return identities


def _found(connections: parking.Connections, chosen: Sequence[str], wanted: Filter, on: str | None) -> list[Change]:
    if chosen:
        return parking.by_ids(connections, chosen)
    return parking.select({node: c for node, c in connections.items() if on in (None, node)}, wanted)[0]


def _edits(sets: Sequence[str], nulls: Sequence[str]) -> dict[str, str | None]:
    edits: dict[str, str | None] = {}
    for text in sets:
        column, equals, value = text.partition("=")
        if not equals or not column:
            raise typer.BadParameter(f"--set wants COLUMN=VALUE, not {text!r}; COLUMN= empties, --null COLUMN sends NULL")
        edits[column] = value
    return edits | dict.fromkeys(nulls)


def _say_done(
    output: Output,
    found: Sequence[Change],
    done: Sequence[str],
    dry_run: bool,
    is_running: bool,
    what: str,
    extra: dict[str, Any],
) -> int:
    gone = [] if dry_run else [one.id for one in found if one.id not in done]
    if not found:
        output.line("nothing is parked that this concerns")
    elif dry_run:
        output.line(f"{_counted(len(found))} {what}; nothing was changed")
    else:
        output.line(f"{_counted(len(done))} {what}; {promise(is_running)}")
    if gone:
        output.line(f"gone or changed in this moment: {', '.join(gone)}", "yellow")
    changes = [_document(one) for one in found if one.id not in gone]
    output.document({"dry_run": dry_run, "changes": changes, "gone_meanwhile": gone, "daemon_running": is_running, **extra})
    return 1 if gone else 0


def _counted(count: int) -> str:
    return "1 change" if count == 1 else f"{count:,} changes"


def _document(one: Change) -> dict[str, Any]:
    """For --json."""
    return {**asdict(one.row), "id": one.id, "node": one.node, "source": one.source}

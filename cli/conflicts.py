"""`replicator conflicts`: what clashed, who won and why; what waits for a person; what another rule would have done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from replicator.engines.postgres.history import Selection
from replicator.errors import ConfigurationError, NodeUnavailable
from replicator.mapping.chosen import links_named
from replicator.mapping.findings import near
from replicator.model.config import Config
from replicator.runtime import replay as replaying
from replicator.runtime import settling
from replicator.runtime.history import (
    KINDS,
    OPEN,
    Conflict,
    as_document,
    by_ids,
    link_of,
    require_state,
    running,
    select,
    settle,
    standing,
)

from . import conflict_words as words
from .looking import SinceOption, again, connected, moment, person
from .output import Output, as_object
from .session import Common, ConfigOption, JsonOption, open_session

USAGE = 2
SHOWN = 20

LinkOption = Annotated[str | None, typer.Option("--link", metavar="LINK", help="Of this link only.")]
FieldOption = Annotated[str | None, typer.Option("--field", metavar="FIELD", help="Of this field only.")]
KeyOption = Annotated[
    str | None, typer.Option("--key", metavar="KEY", help="Of the record with this key on either node; parts joined by commas.")
]
app = typer.Typer(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})


@app.callback()
def conflicts(context: typer.Context, *, as_json: JsonOption = False) -> int:
    """What clashed, who won, and what waits for a person.

    \b
    Example:
      replicator conflicts list --open           what waits for a person
      replicator conflicts show crm:17           what happened, in words
      replicator conflicts resolve crm:17 --take erp
      replicator conflicts replay --rule credit_limit=owner:erp --since 30d
    """
    common = context.find_object(Common) or Common()
    context.obj = replace(common, as_json=common.as_json or as_json)
    if context.invoked_subcommand is None:
        output = open_session(context, None, as_json).output
        output.line(context.get_help())
        output.document({"error": "no command was given", "hint": "replicator conflicts --help"})
        return USAGE
    return 0


@app.command("list")
def list_(
    context: typer.Context,
    *,
    link: LinkOption = None,
    field: FieldOption = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help=f"One of {', '.join(KINDS)}.")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="What waits for a person.")] = False,
    key: KeyOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many, the newest first.")] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Lists conflicts, newest first.

    Each is shown once, whichever node logged it. The id is for `show` and `resolve`.

    \b
    Example:
      replicator conflicts list --open
      replicator conflicts list --link customer --field credit_limit --since 7d
      replicator conflicts list --key 1017 --json | jq -r '.conflicts[].id'
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    selection = _selection(loaded, link, field, kind, OPEN if only_open else None, key, since)
    with connected(session, loaded, "conflicts") as (connections, unreachable):
        found, more = select(connections, selection, limit)
    output = session.output
    if found:
        headers = ("when (UTC)", "id", "link", "record", "field", "kind", "outcome")
        output.table(headers, [words.line(one) for one in found])
    else:
        output.line("nothing waits" if only_open else "no conflicts")
    if more:
        output.line(f"... and older ones; --limit {limit * 10} shows more", "dim")
    away = [as_object(finding) for finding in unreachable]
    output.findings(unreachable)
    output.document({"conflicts": [as_document(one) for one in found], "more": more, "unreachable": away})
    return NodeUnavailable.exit_code if unreachable else 0


@app.command("show")
def show(
    context: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `conflicts list` shows it, such as crm:17.")],
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tells what happened in one conflict.

    What clashed, both values and who wrote them when, who won, by which line of which file, and what now stands
    on both sides. For one that waits: the commands that settle it.

    \b
    Example:
      replicator conflicts show crm:17
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    with connected(session, loaded, "conflicts") as (connections, _):
        one = by_ids(connections, [identity])[0]
        now = standing(loaded, connections, one)
        is_running = one.waits and running(connections, one)
    options = again(session)
    for label, text in words.story(one, link_of(loaded, one.link), now, is_running, options):
        session.output.line(f"{label:<{max(10, len(one.nodes[0]) + 2, len(one.nodes[1]) + 2)}}{text}")
    here = {node: {"known": s.known, "present": s.present, "value": s.value} for node, s in now.items()}
    extra = {"now": here, "commands": words.commands(one, options) if one.waits else []}
    session.output.document(as_document(one) | extra)
    return 0


@app.command("resolve")
def resolve(
    context: typer.Context,
    identities: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Or name them by the options below.")] = None,
    *,
    take: Annotated[str | None, typer.Option("--take", metavar="NODE", help="This node's value is to stand on both.")] = None,
    value: Annotated[
        str | None, typer.Option("--value", metavar="VALUE", help="This value is to stand, written as the entry's node has it.")
    ] = None,
    link: LinkOption = None,
    field: FieldOption = None,
    key: KeyOption = None,
    since: SinceOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would stand, change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Settles conflicts that wait for a person.

    Only says what is wanted: the running replicator writes it on both sides, within seconds. If somebody changes
    one of the two values before that, the conflict waits on, with the new values. On a terminal it asks before it
    settles several. Ends with 1 if some had changed in that very moment.

    \b
    Example:
      replicator conflicts resolve crm:17 --take erp
      replicator conflicts resolve crm:17 crm:18 --value 'ACME Ltd'
      replicator conflicts resolve --link customer --field note --take crm --dry-run
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    wish = _wish(loaded, take, value)
    filters = _selection(loaded, link, field, None, OPEN, key, since)
    chosen = _chosen(identities or [], filters, everything)
    with connected(session, loaded, "conflicts", strict=True) as (connections, _):
        require_state(connections)
        found = by_ids(connections, chosen) if chosen else select(connections, filters)[0]
        settling.check(loaded, connections, found, wish)
        _say_plan(session.output, found, wish)
        asked = not found or dry_run or yes or len(found) == 1
        if not asked and not session.output.confirm(f"Settle these {len(found):,} conflicts?"):
            session.output.aside("nothing was changed")
            session.output.document({"dry_run": False, "settling": [], "changed_meanwhile": []})
            return 1
        done = [] if dry_run else settle(connections, found, wish.wanted, wish.value, person())
        pairs = {one.nodes: one for one in found}
        is_running = bool(found) and all(running(connections, one) for one in pairs.values())
    return _say_done(session.output, found, wish, dry_run, done, is_running)


@app.command("replay")
def replay(
    context: typer.Context,
    *,
    rules: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="FIELD=RULE", help=f"RULE: {replaying.EXAMPLES}. May be given for several fields."),
    ] = None,
    link: LinkOption = None,
    since: SinceOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tells what another rule would have decided.

    Decides logged conflicts again, by the rule you name, and compares. Changes nothing: the databases are read in
    transactions that refuse every write. `not known`: the log does not hold what the rule would have asked for,
    such as when the value that stood there had been written.

    \b
    Example:
      replicator conflicts replay --rule credit_limit=owner:erp --since 30d
      replicator conflicts replay --rule 'score=merge:greatest(crm.score, erp.points)' --rule note=queue
    """
    if not rules:
        raise typer.BadParameter(f"name at least one rule: --rule FIELD=RULE, where RULE is {replaying.EXAMPLES}")
    session = open_session(context, config, as_json)
    loaded = session.load()
    selection = _selection(loaded, link, None, None, None, None, since)
    wishes = replaying.parse_wishes(loaded, rules, link)
    with connected(session, loaded, "conflicts", strict=True) as (connections, _):
        require_state(connections)
        done = replaying.replay(connections, wishes, selection)
    output = session.output
    headers = ("field", "rule now", "rule tried", "logged", *replaying.VERDICTS)
    rows = [
        (f"{d.wish.link.name}.{d.wish.field.name}", str(d.wish.field.rule), d.wish.text, d.logged, *d.verdicts.values())
        for d in done
    ]
    output.table(headers, rows, right=range(3, 8))
    for one in done:
        _say_samples(output, one)
    output.document({"since": selection.since, "rules": [replaying.as_document(one) for one in done]})
    return 0


# -- what they share ---------------------------------------------------------------------------------------------------


def _selection(
    config: Config, link: str | None, field: str | None, kind: str | None, status: str | None, key: str | None, since: str | None
) -> Selection:
    found = links_named(config, link) if link is not None else None
    fields = sorted({f.name for one in found or config.links for f in one.fields})
    if field is not None and field not in fields:
        where = f"link {link} has" if found else "no link has"
        hint = near(field, fields) or f"fields are {', '.join(fields[:12])}"
        raise ConfigurationError(f"{where} {'no' if found else 'a'} field {field!r}", hint)
    if kind is not None and kind not in KINDS:
        raise ConfigurationError(f"there is no kind {kind!r}", near(kind, KINDS) or f"kinds are {', '.join(KINDS)}")
    names = None if found is None else tuple(one.name for one in found)
    return Selection(names, field, kind, status, key, None if since is None else moment(since))


def _wish(config: Config, take: str | None, value: str | None) -> settling.Wish:
    if (take is None) == (value is None):
        raise typer.BadParameter("say what is to stand: either --take NODE or --value VALUE")
    names = [node.name for node in config.nodes]
    if take is not None and take not in names:
        raise ConfigurationError(f"there is no node {take!r}", near(take, names) or f"the nodes are {', '.join(names)}")
    return settling.Wish(take, value)


def _chosen(identities: Sequence[str], filters: Selection, everything: bool) -> Sequence[str]:
    """The ids; none if it is the options that say which."""
    ways = [bool(identities), not filters.everything, everything]
    if sum(ways) == 0:
        raise typer.BadParameter("say which: ids, or --link, --field, --key, --since, or --all")
    if sum(ways) > 1:
        raise typer.BadParameter("say which in one way: ids, or options such as --link, or --all")
    return identities


def _say_plan(output: Output, found: Sequence[Conflict], wish: settling.Wish) -> None:
    for one in found[:SHOWN]:
        stands = words.shown(wish.stands(one), 60)
        had = ", ".join(f"{edit.node} had {words.shown(edit.value, 60)}" for edit in (one.incoming, one.existing))
        before = f" (instead of what {one.wanted_by} asked for)" if one.wanted is not None else ""
        output.line(f"{one.id}  {one.link}.{one.field} of {words.record(one.keys)}: {stands} will stand{before}; {had}")
    if len(found) > SHOWN:
        output.line(f"... and {len(found) - SHOWN:,} more")


def _say_done(
    output: Output, found: Sequence[Conflict], wish: settling.Wish, dry_run: bool, done: Sequence[str], is_running: bool
) -> int:
    changed = [] if dry_run else [one.id for one in found if one.id not in done]
    if not found:
        output.line("nothing waits that this would settle")
    elif dry_run:
        output.line(f"{_counted(len(found))}; nothing was changed")
    else:
        output.line(f"{_counted(len(done))} to be settled; {words.promise(is_running)}")
    if changed:
        output.line(f"changed in this moment and waiting on: {', '.join(changed)}", "yellow")
    settled = [as_document(one) | {"stands": wish.stands(one)} for one in found if one.id not in changed]
    said = {"dry_run": dry_run, "wanted": wish.wanted, "settling": settled, "changed_meanwhile": changed}
    output.document(said | {"daemon_running": is_running})
    return 1 if changed else 0


def _counted(count: int) -> str:
    return "1 conflict" if count == 1 else f"{count:,} conflicts"


def _say_samples(output: Output, done: replaying.Replayed) -> None:
    if done.samples:
        output.line(f"\n{done.wish.link.name}.{done.wish.field.name} under {done.wish.text}, for example:")
    for sample in done.samples:
        was = "it waits" if sample.waited else f"{words.shown(sample.was, 60)} stood"
        would = "a person would have been asked" if sample.waits else f"{words.shown(sample.would_be, 60)} would have"
        output.line(f"  {sample.conflict.id}  {words.record(sample.conflict.keys)}: {was}, {would}")

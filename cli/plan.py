"""`replicator plan`: what the link files ask for that the databases do not have yet, shown like a diff, and carried out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from replicator.errors import ConfigurationError
from replicator.runtime.checks import preflight
from replicator.runtime.plan import LinkChange, Plan, make_plan
from replicator.runtime.plan_apply import apply_plan
from replicator.runtime.preview import Effect, preview
from replicator.runtime.wiring import plain_connections

from .effects import STYLES, effect_document, show_effect
from .output import Output
from .session import ConfigOption, JsonOption, open_session

STOP = "stop `replicator run` before, and start it again afterwards"


def plan(
    context: typer.Context,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Carry out what is listed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    sample: Annotated[
        int,
        typer.Option("--sample", metavar="N", min=0, help="Count with at most N rows of each table; 0: do not."),
    ] = 10_000,
    values: Annotated[bool, typer.Option("--values", help="Show the values of sample records, not only their fields.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Agree that pairs of records are forgotten.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Shows what changed link files would do.

    Compares the links with those that were last applied, and with both databases: publications, replica identities,
    slots, state tables, the order of fields. For new and changed links it also counts what would become of the rows
    that are there if all of them went through. Nothing is changed without --apply, which carries out exactly what is
    listed and copies no rows; on a terminal it asks first. Ends with 1 if there are changes, 0 when there are none
    (with --apply: when they are done).

    \b
    Example:
      replicator plan                  what has changed, as SQL where it is SQL
      replicator plan --apply          with the replicator stopped, where the plan says so
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    output = session.output
    errors = preflight(loaded, session.environ)
    if errors:
        output.failure("nothing was planned: the links or the databases have errors", "mend what is listed", errors)
        return 2
    connections = plain_connections(loaded, session.environ, "plan")
    try:
        found = make_plan(loaded, connections)
        effects = preview(loaded, session.environ, found, sample) if sample and found.links else []
        _show(output, found, effects, values)
        if not found or not apply:
            output.document(_document(found, effects, values, 0))
            return 1 if found else 0
        if found.pairs_lost and not forget:
            raise ConfigurationError(
                f"{found.pairs_lost:,} pairs of records would be forgotten, see above: nothing was changed",
                "say --forget if that is meant; it is only `match` that can find such pairs again",
            )
        question = f"Carry this out on {' and '.join(connections)}?"
        if not yes and not output.confirm(question):
            output.aside("nothing was changed")
            output.document(_document(found, effects, values, 0))
            return 1
        done: list[object] = []
        apply_plan(loaded, session.environ, connections, found, done.append)
        output.line(f"done: {len(done)} action{'' if len(done) == 1 else 's'}")
        output.document(_document(found, effects, values, len(done)))
        return 0
    finally:
        for connection in connections.values():
            connection.close()


def _show(output: Output, found: Plan, effects: Sequence[Effect], values: bool) -> None:
    if not found:
        output.line("nothing to do: the databases are as the links say")
        return
    if found.links:
        output.line("links", "bold")
    for change in found.links:
        _show_link(output, change)
    for node in found.wanted:
        actions = [action for action in found.actions if action.node == node]
        if actions:
            output.line(node, "bold")
        for action in actions:
            output.line(f"  {action.sign} {action.what}: {action.why}", STYLES[action.sign])
            for line in f"{action.sql};".splitlines() if action.sql else ():
                output.line(f"      {line}", "dim")
    if effects:
        output.line("if every row that is there went through now, each direction by itself", "bold")
    for effect in effects:
        show_effect(output, effect, values)
    counts = (len(found.links), "link"), (len(found.actions), "action")
    said = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)
    needs = STOP if found.stopped else "a running replicator may go on meanwhile"
    output.line(f"{said}; `replicator plan --apply` carries it out: {needs}")


def _show_link(output: Output, change: LinkChange) -> None:
    output.line(f"  {change.sign} {change.name}: {change.what}", STYLES[change.sign])
    for difference in change.differences:
        output.line(f"      {difference.sign} {difference.what}", STYLES[difference.sign])
    for note in change.notes:
        output.line(f"      {note}", "dim")


def _document(found: Plan, effects: Sequence[Effect], values: bool, done: int) -> dict[str, Any]:
    return {
        "changes": bool(found),
        "done": done,
        "must_be_stopped": found.stopped,
        "pairs_lost": found.pairs_lost,
        "links": [
            {
                "sign": c.sign, "link": c.name, "what": c.what, "refused_by_run": c.why,
                "differences": [{"sign": d.sign, "what": d.what} for d in c.differences], "notes": list(c.notes),
            }
            for c in found.links
        ],
        "actions": [{"node": a.node, "sign": a.sign, "what": a.what, "why": a.why, "sql": a.sql} for a in found.actions],
        "effects": [effect_document(effect, values) for effect in effects],
    }  # fmt: skip

"""`replicator init`: prepares every node, or says how it would."""

from __future__ import annotations

from typing import Annotated

import typer

from replicator.engines.postgres.setup import Action
from replicator.runtime import setup
from replicator.runtime.checks import preflight

from .output import Output
from .session import ConfigOption, JsonOption, open_session

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the SQL, change nothing.")]


def init(
    context: typer.Context,
    *,
    renew: Annotated[
        list[str] | None,
        typer.Option("--renew", metavar="FLOW", help="Go on from a new slot though changes may be missing; may be repeated."),
    ] = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Prepares the databases. Safe to run again; links that have changed since are for `replicator plan`.

    Makes the state schema, replica identities, publications, origins and slots that the links need. What is wrong
    with settings, privileges or links is found first, and then nothing is changed at all. `replicator teardown`
    takes everything back.

    A flow whose slot is gone, or whose source is another server than before (a promoted standby, a restored backup), is
    stopped until a person renews it: --renew makes a new slot, notes in replicator.gap which changes may be missing, and
    moves the checkpoint. What is missing is found and mended by `replicator reconcile --repair`; until the links were
    found equal, `replicator status` reminds of it.

    \b
    Example:
      replicator init --dry-run              every statement, for every node
      replicator init
      replicator init --renew crm_to_erp     crm's slot was lost: go on without what it held
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    errors = preflight(loaded, session.environ)
    if errors:
        hint = "mend what is listed; `replicator check` shows the whole picture"
        session.output.failure("nothing was changed: the databases are not ready for init", hint, errors)
        return 1
    report = ActionReport(session.output, dry_run)
    setup.init(loaded, session.environ, dry_run, report, renew or ())
    report.close()
    if renew and not dry_run:
        session.output.line("start `replicator run`, then `replicator reconcile --repair`: changes may be missing until then")
    elif not dry_run and report.actions:
        session.output.line("records that are there already are not copied yet: `replicator backfill --from NODE --dry-run`")
    return 0


class ActionReport:
    """Says each action as it is done, or would be."""

    def __init__(self, output: Output, dry_run: bool) -> None:
        self.output = output
        self.dry_run = dry_run
        self.actions: list[Action] = []

    def __call__(self, action: Action) -> None:
        self.actions.append(action)
        if self.dry_run:
            self.output.line(f"-- {action.node}: {action.what}", "bold")
            self.output.line(f"{action.sql.rstrip().removesuffix(';')};\n")
        else:
            self.output.line(f"{action.node}: {action.what}")

    def close(self) -> None:
        count = len(self.actions)
        if not count:
            self.output.line("nothing to do")
        elif self.dry_run:
            self.output.line(f"-- {count} actions; nothing was changed")
        actions = [{"node": a.node, "what": a.what, "sql": a.sql} for a in self.actions]
        self.output.document({"dry_run": self.dry_run, "done": 0 if self.dry_run else count, "actions": actions})

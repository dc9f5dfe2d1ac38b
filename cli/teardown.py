"""`replicator teardown`: takes back everything that `init` did."""

from __future__ import annotations

from typing import Annotated

import typer

from replicator.runtime import setup

from .init import ActionReport, DryRunOption
from .output import Output
from .session import ConfigOption, JsonOption, open_session


def teardown(
    context: typer.Context,
    *,
    dry_run: DryRunOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Takes back everything that init did.

    Removes slots, publications, origins and the state schema, and gives tables their replica identity back. Your
    own rows stay as they are. What goes with the state schema is the knowledge of which records belong together,
    and the log of conflicts. On a terminal it asks first.

    \b
    Example:
      replicator teardown --dry-run    every statement, for every node
      replicator teardown --yes
    """
    session = open_session(context, config, as_json)
    loaded = session.load(links=False)
    if not dry_run and not yes:
        planned = ActionReport(Output(as_json=True), dry_run=True)
        setup.teardown(loaded, session.environ, True, planned.actions.append)
        question = f"Remove {len(planned.actions)} things from {' and '.join(node.name for node in loaded.nodes)}?"
        if planned.actions and not session.output.confirm(question):
            session.output.aside("nothing was changed")
            session.output.document({"dry_run": False, "done": 0, "actions": []})
            return 1
    report = ActionReport(session.output, dry_run)
    setup.teardown(loaded, session.environ, dry_run, report)
    report.close()
    return 0

"""The entry point: the commands, and what becomes of an error.

Exit codes: 0 done and clean; 1 findings or differences; 2 bad usage or configuration; 3 failed while
running; 130 interrupted; 141 nobody reads its output any more (`| head`). Promises: an error is one message
and one hint, never a traceback (which may hold values) unless --debug asks for it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from replicator.errors import ReplicatorError

from .output import ClosedPipe, Output
from .session import Common, ConfigOption, JsonOption

USAGE, FAILED, INTERRUPTED, UNREAD = 2, 3, 130, 141

# name: (module, function). A module is imported when its command is named, or when all are listed: each start would pay for all.
COMMANDS = {
    "demo": ("demo", "demo"),
    "init": ("init", "init"),
    "teardown": ("teardown", "teardown"),
    "plan": ("plan", "plan"),
    "lint": ("lint", "lint"),
    "check": ("check", "check"),
    "match": ("match", "match"),
    "unmatch": ("match", "unmatch"),
    "backfill": ("backfill", "backfill"),
    "run": ("run", "run"),
    "status": ("status", "status"),
    "conflicts": ("conflicts", "app"),
    "parked": ("parked", "app"),
    "pause": ("pausing", "pause"),
    "resume": ("pausing", "resume"),
    "test": ("test", "run_tests"),
    "reconcile": ("reconcile", "reconcile"),
    "explain": ("explain", "explain"),
    "schema": ("schema", "schema"),
}


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """The commands that these arguments may name; all of them if they name none."""
    app = typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(root)
    named = [name for name in COMMANDS if name in arguments] or list(COMMANDS)
    for name in named:
        module, function = COMMANDS[name]
        found = getattr(import_module(f".{module}", __package__), function)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def root(
    context: typer.Context,
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something unexpected happens.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> int:
    """Keeps two PostgreSQL databases with different schemas in step, both ways.

    \b
    Example:
      replicator demo                  see it work, on two servers of its own
      replicator lint                  are replicator.yaml and its links right?
      replicator init                  prepare both databases (--dry-run shows how)
      replicator run                   keep them in step
    """
    context.obj = Common(config, as_json, debug)
    output = Output(as_json)
    if show_version:
        number = version("crm-erp-replicator")
        output.line(f"replicator {number}")
        output.document({"version": number})
    elif context.invoked_subcommand is None:
        output.line(context.get_help())
        output.document({"error": "no command was given", "hint": "replicator --help"})
        return USAGE
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives its exit code."""
    try:
        return _run(arguments)
    except (ClosedPipe, SystemExit):  # the second is what typer makes of it, when it is its help that nobody reads
        return UNREAD


def _run(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    output = Output("--json" in options)
    try:
        code = command_line(given)(given, prog_name="replicator", standalone_mode=False)
    except ReplicatorError as error:
        output.failure(error.message, error.hint, getattr(error, "findings", ()))
        return error.exit_code
    except ClosedPipe:
        raise
    except (typer.Abort, KeyboardInterrupt):
        output.failure("interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last one who can say something
        return _unexpected(output, error, "--debug" in options)
    if code == INTERRUPTED:
        output.failure("interrupted")
    return code if isinstance(code, int) else 0


def _unexpected(output: Output, error: Exception, debug: bool) -> int:
    """Wrong usage, which the parser reports in a family of its own; a file that is not to be had; anything else is a bug."""
    in_words = getattr(error, "format_message", None)
    if in_words is not None:
        context = getattr(error, "ctx", None)
        output.failure(in_words(), f"{context.command_path} --help" if context else "replicator --help")
        return USAGE
    if isinstance(error, OSError) and error.filename is not None:
        output.failure(f"{error.filename}: {error.strerror}", "name another file, or let us read and write this one")
        return USAGE
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
    if debug:
        output.aside("".join(traceback.format_exception(error)).rstrip(), "")
        output.failure(f"this is a bug: {place}", "please report it")
    else:
        output.failure(f"this is a bug: {place}", "run it again with `replicator --debug ...` and report what it shows")
    return FAILED

"""`replicator demo`: see it work, on two servers of its own, and have it proved at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer

from replicator.runtime.demo_run import DemoRun, Options

from . import demo_screen
from .output import FRAMES_PER_SECOND, Output
from .session import JsonOption, open_session

LINE_SECONDS = 2.0


def demo(
    context: typer.Context,
    *,
    seconds: Annotated[float, typer.Option("--seconds", min=0.5, help="How long people work on both sides.")] = 20.0,
    accounts: Annotated[int, typer.Option("--accounts", min=10, help="Companies in its world.")] = 2_000,
    seed: Annotated[int, typer.Option("--seed", help="Another number, another world.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running afterwards, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Shows it at work between two databases of its own.

    Two PostgreSQL servers are started, a CRM and an ERP, with people at work in both and the replicator between them.
    Nothing has to be installed or set up, and nothing is left behind. At the end an independent comparison says
    whether both databases tell the same story: exit code 0 if they do, 1 if not. Ctrl-C ends the work early.

    \b
    Example:
      replicator demo
      replicator demo --seconds 60 --keep      and look around with psql
      replicator demo --seconds 5 --json
    """
    output = open_session(context, None, as_json).output
    view = View(output)
    with DemoRun(Options(seconds, accounts, seed), tell=view.tell, tick=view.tick) as run:
        view.run = run
        with output.live(lambda: demo_screen.picture(run)) as redraw:
            view.redraw = redraw
            report = run.run()
        for line, style in demo_screen.report_lines(report):
            output.line(line, style)
        document = report.as_document()
        if keep:
            document["psql"] = run.psql()
        output.document(document)
        if keep:
            _stay(output, view, run)
    return 0 if report.in_sync else 1


def _stay(output: Output, view: View, run: DemoRun) -> None:
    for node, command in run.psql().items():
        output.line(f"{node}: {command}")
    output.line("replicating until Ctrl-C")
    view.silent = True
    try:
        run.stay()
    except KeyboardInterrupt:
        output.aside("stopping")


class View:
    """Draws on a terminal; elsewhere says a line now and then."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.run: DemoRun | None = None
        self.redraw: Callable[[], None] = lambda: None
        self.silent = False
        self._drawn = 0.0
        self._said = time.monotonic()

    def tell(self, text: str) -> None:
        if not self.output.terminal and not self.silent:
            self.output.line(f"{text} ...")

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= 1 / FRAMES_PER_SECOND:
            self._drawn = now
            self.redraw()
        if self.run is None or self.silent or self.output.terminal:
            return
        if now - self._said >= LINE_SECONDS and self.run.meter.measuring:
            self._said = now
            self.output.line(demo_screen.one_line(self.run))

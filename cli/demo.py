"""`replicator demo`: see it work, on servers of its own, and have it proved at the end; or one flow of the business alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer

from replicator.apply.outcome import Step
from replicator.demo.scenarios import SCENARIOS
from replicator.errors import ConfigurationError
from replicator.mapping.findings import near
from replicator.runtime.demo_follow import arrivals
from replicator.runtime.demo_run import DemoRun, Options
from replicator.runtime.demo_stage import Event
from replicator.runtime.drain import all_flows

from . import demo_screen, demo_words
from .output import FRAMES_PER_SECOND, Output
from .session import JsonOption, open_session

LINE_SECONDS = 2.0
LIST = "list"


def demo(
    context: typer.Context,
    *,
    seconds: Annotated[float, typer.Option("--seconds", min=0.5, help="How long people work in all three systems.")] = 15.0,
    accounts: Annotated[int, typer.Option("--accounts", min=10, help="Companies in its world.")] = 400,
    seed: Annotated[int, typer.Option("--seed", help="Another number, another world.")] = 1,
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", metavar="NAME", help=f"One flow of the business alone; `{LIST}` names them."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running afterwards, until Ctrl-C, to try things in psql.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Shows it at work between a CRM and two factories' ERPs, on servers of its own.

    Three PostgreSQL servers are started, with the shipped mappings between them. A world is keyed, one order is followed
    from the quote to the invoice, two people edit the same field, then everybody works at once. At the end `reconcile`
    compares every link, and a second comparison, which shares no code with the replicator, compares the databases in
    business terms: exit code 0 if both find no difference, 1 if not. Nothing has to be installed or set up, and nothing is
    left behind. Ctrl-C ends the work early.

    \b
    Example:
      replicator demo
      replicator demo --scenario list
      replicator demo --scenario complaint --keep   and look around with psql
      replicator demo --seconds 60 --accounts 2000
      replicator demo --seconds 5 --json
    """
    output = open_session(context, None, as_json).output
    logging.getLogger("replicator").setLevel(logging.ERROR)  # what is parked for a moment stands in the picture and the report
    if scenario == LIST:
        return _list(output)
    if scenario is not None and scenario not in SCENARIOS:
        hint = near(scenario, SCENARIOS) or f"there are {', '.join(SCENARIOS)}"
        raise ConfigurationError(f"there is no scenario {scenario!r}", hint)
    view = View(output, questions=scenario is not None)
    with DemoRun(Options(seconds, accounts, seed), view.tell, view.show, view.tick, view.watch) as run:
        view.run = run
        with output.live(lambda: demo_screen.picture(run)) as redraw:
            view.redraw = redraw
            good, document, lines = _one_scenario(run, scenario) if scenario else _whole(run)
        for line, style in lines:
            output.line(line, style)
        if keep:
            document |= {"psql": run.site.psql(), "config": str(run.site.config_path)}
        output.document(document)
        if keep:
            _stay(output, view, run)
    return 0 if good else 1


Outcome = tuple[bool, dict[str, object], list[tuple[str, str]]]


def _list(output: Output) -> int:
    output.table(("scenario", "what it shows"), [(one.name, one.title) for one in SCENARIOS.values()])
    output.document({"scenarios": {one.name: one.title for one in SCENARIOS.values()}})
    return 0


def _whole(run: DemoRun) -> Outcome:
    report = run.run()
    return report.in_sync, report.as_document(), list(demo_screen.report_lines(report))


def _one_scenario(run: DemoRun, name: str) -> Outcome:
    run.start()
    verdict = run.play(SCENARIOS[name])
    document = {"scenario": name, "steps": run.story[name], "in_sync": verdict.same, "differences": verdict.differences}
    return verdict.same, document, list(demo_screen.verdict_line(verdict))


def _stay(output: Output, view: View, run: DemoRun) -> None:
    for line, style in demo_words.tries(run.site.psql(), str(run.site.config_path), run.site.environ):
        output.line(line, style)
    view.follow(all_flows(run.config))
    try:
        run.stay()
    except KeyboardInterrupt:
        output.aside("stopping")


class View:
    """Draws on a terminal; elsewhere says a line now and then. `questions`: scenes show the SQL they look with."""

    def __init__(self, output: Output, questions: bool) -> None:
        self.output = output
        self.run: DemoRun | None = None
        self.redraw: Callable[[], None] = lambda: None
        self._questions = questions
        self._ways: dict[str, tuple[str, str]] | None = None  # of flows, when what arrives is to be told
        self._drawn = 0.0
        self._said = self._began = time.monotonic()

    def tell(self, text: str) -> None:
        if self._ways is None:
            self.output.line(f"{time.monotonic() - self._began:5.1f} s  {text}", "bold green")

    def show(self, event: Event) -> None:
        assert self.run is not None
        for line, style in demo_words.scene_lines(event, self.run.config, self._questions):
            self.output.line(line, style)

    def follow(self, ways: dict[str, tuple[str, str]]) -> None:
        """From now on it tells of each record that arrives, and of nothing else."""
        self._ways = ways

    def watch(self, step: Step) -> None:
        for line in arrivals(step, self._ways) if self._ways is not None else ():
            self.output.line(f"{datetime.now(UTC):%H:%M:%S}  {line}")

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= 1 / FRAMES_PER_SECOND:
            self._drawn = now
            self.redraw()
        if self.run is None or self.output.terminal:
            return
        if now - self._said >= LINE_SECONDS and self.run.meter.measuring:
            self._said = now
            self.output.line(demo_screen.one_line(self.run))

"""`replicator reconcile`: proof that both sides agree, and what does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from replicator.errors import ConfigurationError
from replicator.reconcile.link_run import LinkResult, Watch
from replicator.runtime.reconcile import WAIT_SECONDS, Options, Report
from replicator.runtime.reconcile import reconcile as compare_links

from .output import Output
from .reconcile_html import page
from .reconcile_words import NOT_RUNNING, as_document, how, notes, told, totals, verdict
from .repair import Wish, mend
from .repair import as_document as repaired
from .session import ConfigOption, JsonOption, open_session

FAILED = 3
SHOWN_EVERY = 0.1  # seconds, on a terminal
SAID_EVERY = 5.0  # elsewhere


def reconcile(
    context: typer.Context,
    links: Annotated[list[str] | None, typer.Argument(metavar="LINK", help="Links to compare; all, if none is named.")] = None,
    *,
    full: Annotated[bool, typer.Option("--full", help="Compare everything, whatever is proven already.")] = False,
    values: Annotated[bool, typer.Option("--values", help="Show the values that differ, not only their fields.")] = False,
    wait: Annotated[
        float,
        typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for changes that are on their way."),
    ] = WAIT_SECONDS,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Differences of a link that are listed; all are counted.")
    ] = 20,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the result as well.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs, by the fields' rules; says first what.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --repair: only say what would be mended.")] = False,
    prefer: Annotated[
        str | None, typer.Option("--prefer", metavar="NODE", help="With --repair: whose value stands where no rule decides.")
    ] = None,
    max_changes: Annotated[
        int | None, typer.Option("--max-changes", metavar="N", min=1, help="With --repair: at most so many records.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --repair: do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Compares both sides of links, record by record.

    It works while the replicator runs: what differs is looked at again once everything that was under way has arrived.
    The links' own programs decide what is equal. The first run compares everything; later ones what may have changed
    since. Nothing is changed on either side without --repair: that sends what differs through the flows once more (the
    owner's value, the newer edit where it is known, a merge), notes in the conflict log what is written over, leaves
    alone what no rule decides, and compares again. Ends with 1 if differences remain, with 3 if a link could not be
    compared.

    \b
    Example:
      replicator reconcile
      replicator reconcile customer order --values
      replicator reconcile --full --html report.html
      replicator reconcile --repair --dry-run
      replicator reconcile customer --repair --prefer erp --max-changes 100
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    output = session.output
    if html is not None and not html.absolute().parent.is_dir():
        raise ConfigurationError(f"there is no folder {html.absolute().parent}", "name a file in one that is there")
    wish = Wish(prefer, max_changes, dry_run, yes)
    if not repair and wish != Wish():
        raise typer.BadParameter("--dry-run, --prefer, --max-changes and --yes go with --repair")
    wish.check(loaded)

    def compare(whole: bool) -> Report:
        with _progress(output) as watch:
            report = compare_links(
                loaded, session.environ, links or (), Options(wait, whole), watch, lambda link: _show(output, link, values, limit)
            )
        _close(output, report)
        return report

    report = compare(full)
    document = {}
    if repair:
        plan, done = mend(session, loaded, output, report, wish, limit)
        document = {"repair": repaired(plan, done)}
        if done:
            report = compare(False)
    if html is not None:
        html.write_text(page(report, values, limit), encoding="utf-8")
        output.line(f"written: {html}")
    output.document({**as_document(report, values, limit), **document})
    return FAILED if report.failed else 0 if report.clean else 1


def _show(output: Output, link: LinkResult, values: bool, limit: int) -> None:
    output.line(f"{link.link}, {' and '.join(link.nodes)}: {how(link)}, {link.seconds:,.1f} s", "bold")
    if link.problem:
        output.line(f"  not compared: {link.problem}", "bold red")
        return
    if link.clean:
        output.line("  both sides agree", "green")
    for what, found in (("differ", link.differences), ("still moving", link.unsettled)):
        if not len(found):
            continue
        output.line(f"  {what}: {totals(found)}", "red")
        for one in islice(found, limit):
            output.line(f"    {told(one, values, link.nodes)}")
        if len(found) > limit:
            output.line(f"    and {len(found) - limit:,} more", "dim")
    for note in notes(link):
        output.line(f"  {note}", "dim")


def _close(output: Output, report: Report) -> None:
    if not all(report.running.values()):
        output.line(NOT_RUNNING, "yellow")
    output.line(verdict(report), "green" if report.clean else "red")


@contextmanager
def _progress(output: Output) -> Iterator[Watch]:
    """On a terminal a line that changes; elsewhere one now and then."""
    state: dict[str, str] = {"now": ""}
    told_at = time.monotonic()

    def watcher(every: float, tell: Callable[[], None]) -> Watch:
        def watch(link: str, what: str, rows: int) -> None:
            nonlocal told_at
            state["now"] = f"{link}: {what}{f', {rows:,} records' if rows else ''}"
            if time.monotonic() - told_at >= every:
                told_at = time.monotonic()
                tell()

        return watch

    with output.live(lambda: Text(state["now"], style="dim")) as draw:
        if output.terminal:
            yield watcher(SHOWN_EVERY, draw)
        else:
            yield watcher(SAID_EVERY, lambda: output.aside(state["now"]))

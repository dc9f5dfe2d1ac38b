"""The demo's moving picture, its plain line for those who have no terminal, and the report at the end, as text.

Nothing here prints: `demo` hands what comes from here to `output`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from replicator.demo.verify import Verdict
from replicator.runtime.demo_meter import happened_at, short_place
from replicator.runtime.demo_report import Report
from replicator.runtime.demo_run import DemoRun

from .output import rich_table

HEADERS = ("flow", "changes/s", "changes", "p50 ms", "p95 ms", "parked", "waits for")
NOT_DONE = ("refused", "disconnected", "failed")
SHOWN_LINKS = 9
SHOWN_MADE = 8
Lines = Iterator[tuple[str, str]]


def picture(run: DemoRun) -> RenderableType:
    parts: list[RenderableType] = [Text(f"{run.phase}{_progress(run)}", style="bold")]
    if not run.meter.flows:
        return Group(*parts)
    rates, lately = run.meter.rates(), run.meter.lately()
    rows = []
    for name, flow in run.meter.flows.items():
        totals = run.site.daemon.totals.get(name)
        late = lately[name]
        parked, waiting = (totals.parked, totals.waiting) if totals else (0, "")
        rows.append((name, f"{rates[name]:,.0f}", flow.changes, late["p50"], late["p95"], parked, waiting))
    parts.append(rich_table(HEADERS, rows, right=(1, 2, 3, 4, 5)))
    written = _by_link(run.meter.written())
    if written:
        links = (f"{link} {count:,}" for link, count in written.most_common(SHOWN_LINKS))
        parts.append(Text("rows written   " + "   ".join(links)))
    if run.conflicts is not None and run.conflicts.total:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in run.conflicts.kinds.most_common())
        parts.append(Text(f"\nconflicts      {kinds}"))
        for conflict in list(run.conflicts.latest):
            what = f"{conflict.link}.{conflict.field}" if conflict.field else conflict.link
            line = f"  {happened_at(conflict):%H:%M:%S}  {what:<32} {conflict.winner} wins  "
            parts.append(Text(f"{line}{conflict.rule} ({short_place(conflict)})", style="dim"))
    return Group(*parts)


def one_line(run: DemoRun) -> str:
    """The same, in one line."""
    rates, lately = run.meter.rates(), run.meter.lately()
    flows = (
        f"{name} {rates[name]:,.0f}/s p50 {_ms(lately[name]['p50'])} p95 {_ms(lately[name]['p95'])}" for name in run.meter.flows
    )
    conflicts = run.conflicts.total if run.conflicts else 0
    parked = sum(run.conflicts.parked.values()) if run.conflicts else 0
    return f"  {_progress(run).strip() or '...'}: {'; '.join(flows)}; {conflicts:,} conflicts; {parked:,} parked"


def report_lines(report: Report) -> Lines:
    """(line, style)."""
    yield "", ""
    versions = ", ".join(f"{node} on PostgreSQL {version}" for node, version in report.server_versions.items())
    yield versions, "dim"
    most = sorted(report.world.items(), key=lambda one: -one[1])[:SHOWN_MADE]
    made = ", ".join(f"{count:,} {what}" for what, count in most)
    yield f"the world       {sum(report.world.values()):,} rows keyed, there and over in {report.world_seconds:,.1f} s:", ""
    yield f"                {made}, ...", "dim"
    committed = sum(count for what, count in report.work.items() if what not in NOT_DONE)
    yield f"the work        {committed:,} transactions by people in all three systems in {report.seconds:,.1f} s", ""
    for flow, changes in report.changes_applied.items():
        yield f"  {flow:<20}{changes:>8,} changes in {report.transactions[flow]:,} transactions", "dim"
    ms = report.latency_ms
    yield (
        (
            f"latency         p50 {_ms(ms['p50'])}, p95 {_ms(ms['p95'])}, p99 {_ms(ms['p99'])} from commit to arrival; "
            f"all had arrived {report.catch_up_seconds:,.1f} s after the last of it"
        ),
        "",
    )
    written = ", ".join(f"{link} {count:,}" for link, count in _by_link(report.rows_written).most_common(SHOWN_LINKS))
    yield f"rows written    {written}, ...", ""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.conflicts.items())
    yield f"conflicts       {kinds or 'none'}", ""
    parked = ", ".join(f"{count:,} {reason}" for reason, count in report.parked.items())
    yield f"parked          {parked or 'nothing'}", ""
    if report.failures:
        yield f"users met {len(report.failures)} unexpected errors, the first: {report.failures[0]}", "yellow"
    yield from _proof(report)


def _proof(report: Report) -> Lines:
    found = report.reconciled
    good = "both sides agree" if not found.problems else f"{found.differences:,} differences"
    text = f"reconcile       {found.links} links, {found.records:,} records, {found.seconds:,.1f} s: {good}"
    yield text, "green" if not found.problems else "bold red"
    for problem in found.problems:
        yield f"  {problem}", ""
    yield "and, asked in plain SQL on all three:", ""
    for one in report.statements:
        differs = one["differences"]
        outcome = f"NO: {differs:,} differences" if differs else "yes"
        text = f"  {one['name']:<20}{one['words']}"
        yield f"{text}: {outcome} ({one['rows']:,} rows)", "bold red" if differs else ""
    if not report.drained:
        yield "changes were still on their way when nothing moved any more", "bold red"
    if report.in_sync:
        yield f"in sync         all three databases tell the same story ({report.rows_compared:,} rows compared)", "bold green"
        return
    yield f"NOT in sync     {report.difference_count:,} differences in business terms", "bold red"
    for difference in report.differences:
        yield f"  {difference}", ""


def verdict_line(verdict: Verdict) -> Lines:
    yield "", ""
    if verdict.same:
        count = len(verdict.statements)
        yield f"in sync: all {count} statements of the independent check hold ({verdict.rows_compared:,} rows)", "bold green"
        return
    yield f"NOT in sync: {verdict.difference_count:,} differences", "bold red"
    for difference in verdict.differences:
        yield f"  {difference}", ""


def _by_link(written: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    """Rows by link, those with both factories together."""
    counts: Counter[str] = Counter()
    for link, rows in written.items():
        counts[link.split("@")[0]] += sum(rows.values())
    return counts


def _progress(run: DemoRun) -> str:
    if run.traffic_started is None or not run.meter.measuring:
        return ""
    return f"   {min(time.monotonic() - run.traffic_started, run.options.seconds):,.0f} s of {run.options.seconds:,.0f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms" if value < 100 else f"{value:,.0f} ms"

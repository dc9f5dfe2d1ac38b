"""The demo's moving picture, its plain line for those who have no terminal, and the report at the end, as text.

Nothing here prints: `demo` hands what comes from here to `output`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from replicator.runtime.demo_meter import happened_at, short_place
from replicator.runtime.demo_report import Report
from replicator.runtime.demo_run import DemoRun

from .output import rich_table

HEADERS = ("flow", "changes/s", "changes", "p50 ms", "p95 ms", "parked", "waits for")
WORKED = ("crm ", "erp ")


def picture(run: DemoRun) -> RenderableType:
    parts: list[RenderableType] = [Text(f"{run.phase}{_progress(run)}", style="bold")]
    rates, lately = run.meter.rates(), run.meter.lately()
    rows = []
    for name, flow in run.meter.flows.items():
        totals = run.daemon.totals.get(name) if run.daemon else None
        late = lately[name]
        parked, waiting = (totals.parked, totals.waiting) if totals else (0, "")
        rows.append((name, f"{rates[name]:,.0f}", flow.changes, late["p50"], late["p95"], parked, waiting))
    parts.append(rich_table(HEADERS, rows, right=(1, 2, 3, 4, 5)))
    written = run.meter.written()
    if written:
        links = (f"{link} {sum(counts.values()):,}" for link, counts in written.items())
        parts.append(Text("rows written   " + "   ".join(links)))
    if run.conflicts is not None and run.conflicts.total:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in run.conflicts.kinds.most_common())
        parts.append(Text(f"\nconflicts      {kinds}"))
        for conflict in list(run.conflicts.latest):
            what = f"{conflict.link}.{conflict.field}" if conflict.field else conflict.link
            line = f"  {happened_at(conflict):%H:%M:%S}  {what:<26} {conflict.winner.upper()} wins  "
            parts.append(Text(f"{line}{conflict.rule} ({short_place(conflict)})", style="dim"))
    return Group(*parts)


def one_line(run: DemoRun) -> str:
    """The same, in one line."""
    rates, lately = run.meter.rates(), run.meter.lately()
    flows = (
        f"{name} {rates[name]:,.0f} changes/s, p50 {_ms(lately[name]['p50'])}, p95 {_ms(lately[name]['p95'])}"
        for name in run.meter.flows
    )
    conflicts = run.conflicts.total if run.conflicts else 0
    parked = sum(run.conflicts.parked.values()) if run.conflicts else 0
    return f"  {_progress(run).strip() or '...'}: {'; '.join(flows)}; {conflicts:,} conflicts; {parked:,} parked"


def report_lines(report: Report) -> Iterator[tuple[str, str]]:
    """(line, style)."""
    versions = ", ".join(f"{node} on PostgreSQL {version}" for node, version in report.server_versions.items())
    yield f"{versions}", "dim"
    committed = sum(count for what, count in report.work.items() if what.startswith(WORKED))
    yield (
        (
            f"what flowed     a world of {report.world_rows:,} rows, there and over in {report.world_seconds:,.1f} s; "
            f"then {committed:,} pieces of work by people on both sides in {report.seconds:,.1f} s"
        ),
        "",
    )
    for flow, changes in report.changes_applied.items():
        yield f"  {flow:<14}{changes:>8,} changes in {report.transactions[flow]:,} transactions", ""
    for link, counts in report.rows_written.items():
        done = ", ".join(f"{count:,} {_done(what)}" for what, count in counts.items())
        yield f"  {link:<14}{done}", ""
    ms = report.latency_ms
    yield (
        (
            f"latency         p50 {_ms(ms['p50'])}, p95 {_ms(ms['p95'])}, p99 {_ms(ms['p99'])} from commit to arrival; "
            f"all had arrived {report.catch_up_seconds:,.1f} s after the last of it"
        ),
        "",
    )
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.conflicts.items())
    yield f"conflicts       {kinds or 'none'}", ""
    for example in report.examples:
        yield f"  {example}", ""
    parked = ", ".join(f"{count:,} {_parked(reason)}" for reason, count in report.parked.items())
    yield f"parked          {parked or 'nothing'}", ""
    if report.failures:
        yield f"users met {len(report.failures)} unexpected errors, the first: {report.failures[0]}", "yellow"
    compared = ", ".join(f"{count:,} {kind}s" for kind, count in report.compared.items())
    yield f"compared        {report.rows_compared:,} rows ({compared})", ""
    yield from _verdict(report)


def _verdict(report: Report) -> Iterator[tuple[str, str]]:
    if not report.drained:
        yield "changes were still on their way when nothing moved any more", "bold red"
    if report.in_sync:
        yield "in sync         both databases tell the same story", "bold green"
        return
    yield f"NOT in sync     {report.difference_count:,} differences", "bold red"
    for difference in report.differences:
        yield f"  {difference}", ""
    rest = report.difference_count - len(report.differences)
    if rest > 0:
        yield f"  and {rest:,} more", ""


def _progress(run: DemoRun) -> str:
    if run.traffic_started is None or not run.meter.measuring:
        return ""
    return f"   {min(time.monotonic() - run.traffic_started, run.options.seconds):,.0f} s of {run.options.seconds:,.0f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms" if value < 100 else f"{value:,.0f} ms"


def _done(what: str) -> str:
    return {"insert": "inserted", "update": "updated", "delete": "deleted"}.get(what, what)


def _parked(reason: str) -> str:
    return "wait for a record that is not there yet (lines of quotes nobody confirmed)" if reason == "waits" else reason

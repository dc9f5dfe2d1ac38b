"""Backlogs drained and single updates, by PostgreSQL's own subscription and by our daemon in turns, several times over."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .measure import Drained, drain, generate, latencies
from .part import Document, Part, Stage
from .report import percentiles
from .schema import KINDS, NATIVE, ONE, TWO, Work, works

Drains = dict[tuple[str, str], list[Drained]]  # by work and system, one for each run


def measure(stage: Stage) -> list[Document]:
    drains: Drains = {}
    delays: dict[str, list[float]] = {}  # by system, of all runs together
    for number in range(1, stage.size.runs + 1):
        for kind in KINDS:
            title = f"run {number}/{stage.size.runs}  {kind:8}"
            with stage.system(kind) as system:
                for work in works(stage.size):
                    system.stop()
                    generate(system, work)
                    drained = drain(system, work.rows)
                    drains.setdefault((work.name, kind), []).append(drained)
                    memory = f", {drained.peak_rss_mb:.0f} MB" if drained.peak_rss_mb else ""
                    speed = f"{drained.rows_per_s:9,.0f} rows/s  {drained.cpu_us:6.1f} us of CPU a row{memory}"
                    stage.say(f"{title}  {work.name:14} {drained.seconds:7.2f} s  {speed}")
                count = min(round(stage.size.latency_seconds * stage.size.latency_rate), stage.size.inserts)
                ms = latencies(system, count, stage.size.latency_rate).ms
                delays.setdefault(kind, []).extend(ms)
                system.stop()
            stage.say(f"{title}  {'latency':14} {percentiles(ms)['p50']:7.2f} ms")
    return [
        *(_drained(stage, work, path, drains) for path in (ONE, TWO) for work in works(stage.size)),
        *(_delayed(stage, path, delays) for path in (ONE, TWO)),
    ]


def _drained(stage: Stage, work: Work, path: str, drains: Drains) -> Document:
    ours, native = drains[work.name, path], drains[work.name, NATIVE]
    speeds = [statistics.median(d.rows_per_s for d in some) for some in (ours, native)]
    cpu = [statistics.median(d.cpu_us for d in some) for some in (ours, native)]
    return {
        "work": work.name,
        "path": path,
        "runs": stage.size.runs,
        "rows": work.rows,
        "transactions": work.transactions,
        "ours_rows_per_s": round(speeds[0]),
        "native_rows_per_s": round(speeds[1]),
        "ratio": round(speeds[0] / speeds[1], 3),
        "ours_cpu_us": round(cpu[0], 1),
        "native_cpu_us": round(cpu[1], 1),
        "peak_rss_mb": round(max(d.peak_rss_mb or 0.0 for d in ours), 1),
        "ours_each": [round(d.rows_per_s) for d in ours],
        "native_each": [round(d.rows_per_s) for d in native],
    }


def _delayed(stage: Stage, path: str, delays: dict[str, list[float]]) -> Document:
    return {
        "work": "latency",
        "path": path,
        "runs": stage.size.runs,
        "updates": len(delays[path]),
        "updates_per_s": stage.size.latency_rate,
        "ours_ms": percentiles(delays[path]),
        "native_ms": percentiles(delays[NATIVE]),
    }


def show(documents: Sequence[Document], console: Console) -> None:
    speed = Table(title="Backlogs drained, rows a second (median of the runs)")
    for name in ("work", "path"):
        speed.add_column(name)
    for name in ("transactions", "native", "ours", "ratio", "CPU us/row, native", "ours", "our peak memory"):
        speed.add_column(name, justify="right")
    delay = Table(title="Milliseconds from commit on the source until visible on the target")
    for name in ("path", "updates a second"):
        delay.add_column(name)
    for name in ("native p50", "p95", "p99", "ours p50", "p95", "p99"):
        delay.add_column(name, justify="right")
    for d in documents:
        if d["work"] == "latency":
            cells = [f"{d[whose][p]:.1f}" for whose in ("native_ms", "ours_ms") for p in ("p50", "p95", "p99")]
            delay.add_row(d["path"], str(d["updates_per_s"]), *cells)
        else:
            speed.add_row(
                f"{d['work']}, {d['rows']:,} rows",
                d["path"],
                f"{d['transactions']:,}",
                f"{d['native_rows_per_s']:,}",
                f"{d['ours_rows_per_s']:,}",
                f"{d['ratio']:.2f}",
                f"{d['native_cpu_us']:.0f}",
                f"{d['ours_cpu_us']:.0f}",
                f"{d['peak_rss_mb']:.0f} MB",
            )
    console.print(speed)
    console.print(delay)


PART = Part("backlogs", measure, show)

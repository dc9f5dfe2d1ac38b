"""How throughput goes with the size of a batch, and latency with the load; results.json has the points, plots.py draws them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .measure import drain, generate, latencies
from .part import Document, Part, Stage
from .report import percentiles
from .schema import KINDS, NATIVE, inserts

SECONDS = 3.0  # of updates, for each load
FEWEST = 100  # updates


def measure(stage: Stage) -> list[Document]:
    return [*_batches(stage), *_loads(stage)]


def _batches(stage: Stage) -> list[Document]:
    """Native has no such setting: it is measured once."""
    found: list[Document] = []
    work = inserts(stage.size.growth, max(1, stage.size.growth // 1_000))
    for kind in KINDS:
        for size in (None,) if kind == NATIVE else stage.size.batch_rows:
            with stage.system(kind, settings=None if size is None else {"batch_rows": size}) as system:
                generate(system, work)
                drained = drain(system, work.rows)
                system.stop()
            of = f"batches of {size:,}" if size else ""
            stage.say(f"{kind:8}  {of:17}  {drained.rows_per_s:9,.0f} rows/s")
            found.append(
                {
                    "work": "batch size",
                    "path": kind,
                    "batch_rows": size,
                    "rows": work.rows,
                    "rows_per_s": round(drained.rows_per_s),
                    "peak_rss_mb": round(drained.peak_rss_mb, 1) if drained.peak_rss_mb else None,
                }
            )
    return found


def _loads(stage: Stage) -> list[Document]:
    found: list[Document] = []
    counts = {rate: max(FEWEST, round(rate * SECONDS)) for rate in stage.size.rates}
    for kind in KINDS:
        with stage.system(kind) as system:
            rows = max(counts.values())
            generate(system, inserts(rows, 1))
            drain(system, rows)
            for number, (rate, count) in enumerate(counts.items(), 1):
                delays = latencies(system, count, rate, -number)
                ms = percentiles(delays.ms)
                stage.say(f"{kind:8}  {delays.rate:6.0f} updates/s  p50 {ms['p50']:.1f} ms, p99 {ms['p99']:.1f} ms")
                found.append(
                    {
                        "work": "load",
                        "path": kind,
                        "wanted_per_s": rate,
                        "updates_per_s": round(delays.rate, 1),
                        "updates": len(delays.ms),
                        "ms": ms,
                    }
                )
            system.stop()
    return found


def show(documents: Sequence[Document], console: Console) -> None:
    batches = Table(title="Inserts, rows a second, by settings.batch_rows")
    loads = Table(title="Milliseconds until visible, by load")
    for table, names in (
        (batches, ("path", "batch_rows", "rows/s", "peak memory")),
        (loads, ("path", "updates/s", "p50", "p99")),
    ):
        for name in names:
            table.add_column(name, justify="left" if name == "path" else "right")
    for d in documents:
        if d["work"] == "batch size":
            memory = "-" if d["peak_rss_mb"] is None else f"{d['peak_rss_mb']:.0f} MB"
            batches.add_row(d["path"], f"{d['batch_rows'] or '-'}", f"{d['rows_per_s']:,}", memory)
        else:
            loads.add_row(d["path"], f"{d['updates_per_s']:.0f}", f"{d['ms']['p50']:.1f}", f"{d['ms']['p99']:.1f}")
    console.print(batches)
    console.print(loads)


PART = Part("curves", measure, show)

"""What was measured, as a file for programs and a table for people."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .measure import Drained
from .schema import Size, Work
from .systems import NATIVE, ONE, TWO

PERCENTILES = (50, 95, 99)


@dataclass
class Measured:
    """`drained`: by work and system, one for each run. `latencies`: by system, of all runs together."""

    version: str
    size: Size
    works: list[Work]
    drained: dict[tuple[str, str], list[Drained]] = field(default_factory=dict)
    latencies: dict[str, list[float]] = field(default_factory=dict)

    def documents(self) -> list[dict[str, Any]]:
        common = {"server_version": self.version, "runs": self.size.runs}
        found = []
        for path in (ONE, TWO):
            for work in self.works:
                native, ours = (self.drained[work.name, kind] for kind in (NATIVE, path))
                speeds = [[round(d.rows_per_s) for d in some] for some in (ours, native)]
                medians = [statistics.median(d.rows_per_s for d in some) for some in (ours, native)]
                found.append(
                    {
                        "work": work.name,
                        "path": path,
                        **common,
                        "rows": work.rows,
                        "transactions": work.transactions,
                        "ours_rows_per_s": round(medians[0]),
                        "native_rows_per_s": round(medians[1]),
                        "ratio": round(medians[0] / medians[1], 3),
                        "peak_rss_mb": round(max(d.peak_rss_mb or 0.0 for d in ours), 1),
                        "ours_each": speeds[0],
                        "native_each": speeds[1],
                    }
                )
        for path in (ONE, TWO):
            found.append(
                {
                    "work": "latency",
                    "path": path,
                    **common,
                    "updates": len(self.latencies[path]),
                    "updates_per_s": self.size.latency_rate,
                    "ours_ms": percentiles(self.latencies[path]),
                    "native_ms": percentiles(self.latencies[NATIVE]),
                }
            )
        return found


def percentiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {f"p{number}": round(cuts[number - 1], 2) for number in PERCENTILES}


def write(documents: Sequence[dict[str, Any]], path: Path) -> None:
    path.write_text(json.dumps(documents, indent=2) + "\n")


def machine() -> str:
    """The machine and the moment, in a line."""
    model = platform.processor() or platform.machine()
    memory = ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.1f} GB"
    except (OSError, ValueError):
        pass
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} x {model}{memory}, {platform.system()}, {python}{load}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def show(documents: Sequence[dict[str, Any]], console: Console) -> None:
    speed = Table(title="Backlogs drained, rows a second (median of the runs)")
    for name in ("work", "path"):
        speed.add_column(name)
    for name in ("transactions", "native", "ours", "ratio", "our peak memory"):
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
            numbers = (f"{d['native_rows_per_s']:,}", f"{d['ours_rows_per_s']:,}", f"{d['ratio']:.2f}")
            speed.add_row(
                f"{d['work']}, {d['rows']:,} rows", d["path"], f"{d['transactions']:,}", *numbers, f"{d['peak_rss_mb']:.0f} MB"
            )
    console.print(speed)
    console.print(delay)

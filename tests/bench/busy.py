"""How long single updates take to arrive while many other records of their table are being copied by `backfill`.

The records were there before `init`; the rows that are updated have come by the stream.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from .measure import drain, generate, latencies
from .part import Document, Part, Stage
from .report import percentiles
from .schema import CUSTOMERS, ONE, SOURCE, TWO, fill, inserts
from .systems import BenchError, Ours

MOST = 40_000  # updates


def measure(stage: Stage) -> list[Document]:
    return [_measure(stage, path) for path in (ONE, TWO)]


def _measure(stage: Stage, path: str) -> Document:
    records, took = stage.size.records, list[float]()
    updated = min(MOST, records)
    there = f"{SOURCE}; {fill(str(updated + 1), str(updated + records))}"
    with stage.ours(path, dataclasses.replace(CUSTOMERS, source=there)) as system:
        generate(system, inserts(updated, 10))
        drain(system, updated, whole=False)
        delays = latencies(system, updated, stage.size.latency_rate, beside=_backfill(system, took))
        system.stop()
    found = percentiles(delays.ms)
    stage.say(f"{path:8}  {records:,} records in {took[0]:.1f} s; {len(delays.ms):,} updates: p99 {found['p99']:.1f} ms")
    return {
        "work": "latency while backfilling",
        "path": path,
        "records": records,
        "backfill_s": round(took[0], 2),
        "updates": len(delays.ms),
        "updates_per_s": round(delays.rate, 1),
        "ours_ms": found,
    }


@contextmanager
def _backfill(system: Ours, took: list[float]) -> Iterator[Callable[[], bool]]:
    begun = time.monotonic()
    with system.command("backfill", "customer", "--from", "crm") as command:
        try:
            yield lambda: command.poll() is None
            code = command.wait()
        finally:
            command.kill()
    if code != 0:
        raise BenchError(f"`replicator backfill` ended with {code}:\n{system.log_tail()}")
    took.append(time.monotonic() - begun)


def show(documents: Sequence[Document], console: Console) -> None:
    table = Table(title="Milliseconds until a single update is visible, while other records are being copied")
    for name in ("path", "records", "copied in", "updates a second", "p50", "p95", "p99"):
        table.add_column(name, justify="left" if name == "path" else "right")
    for d in documents:
        cells = [f"{d['ours_ms'][p]:.1f}" for p in ("p50", "p95", "p99")]
        table.add_row(d["path"], f"{d['records']:,}", f"{d['backfill_s']:.1f} s", f"{d['updates_per_s']:.0f}", *cells)
    console.print(table)


PART = Part("busy", measure, show)

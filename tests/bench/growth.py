"""Whether ten times the backlog takes ten times as long: inserts into an empty table, transactions of one size."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .measure import drain, generate
from .part import Document, Part, Stage
from .schema import KINDS, NATIVE, ONE, TWO, inserts

TIMES = 10
PER_TRANSACTION = 1_000


def measure(stage: Stage) -> list[Document]:
    """The smaller backlog as often as there are runs, the larger one once: it is long enough."""
    small, large = stage.size.growth, stage.size.growth * TIMES
    seconds = {
        (kind, rows): [_drained(stage, kind, rows) for _ in range(stage.size.runs if rows == small else 1)]
        for kind in KINDS
        for rows in (small, large)
    }
    grown = {kind: seconds[kind, large][0] / statistics.median(seconds[kind, small]) for kind in KINDS}
    return [
        {
            "work": "growth",
            "path": path,
            "rows": [small, large],
            "ours_s": [round(statistics.median(seconds[path, rows]), 3) for rows in (small, large)],
            "ours_times": round(grown[path], 2),
            "native_s": [round(statistics.median(seconds[NATIVE, rows]), 3) for rows in (small, large)],
            "native_times": round(grown[NATIVE], 2),
        }
        for path in (ONE, TWO)
    ]


def _drained(stage: Stage, kind: str, rows: int) -> float:
    with stage.system(kind) as system:
        generate(system, inserts(rows, max(1, rows // PER_TRANSACTION)))
        seconds = drain(system, rows).seconds
        system.stop()
    stage.say(f"{kind:8}  {rows:9,} rows  {seconds:7.2f} s")
    return seconds


def show(documents: Sequence[Document], console: Console) -> None:
    table = Table(title=f"{TIMES} times the backlog: seconds, and how many times as long")
    for name in ("path", "rows", "native", "times", "ours", "times"):
        table.add_column(name, justify="left" if name == "path" else "right")
    for d in documents:
        cells = [
            cell
            for whose in ("native", "ours")
            for cell in (" / ".join(f"{s:.2f}" for s in d[f"{whose}_s"]), f"{d[f'{whose}_times']:.2f}")
        ]
        table.add_row(d["path"], " / ".join(f"{n:,}" for n in d["rows"]), *cells)
    console.print(table)


PART = Part("growth", measure, show)

"""Whether ten times the backlog takes ten times as long: inserts into an empty table, transactions of one size."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .measure import Drained, drain, generate
from .part import Document, Part, Stage
from .schema import KINDS, NATIVE, ONE, TWO, inserts

TIMES = 10
PER_TRANSACTION = 1_000


def measure(stage: Stage) -> list[Document]:
    """The smaller backlog as often as there are runs, the larger one once: it is long enough."""
    small, large = stage.size.growth, stage.size.growth * TIMES
    drains = {
        (kind, rows): [_drained(stage, kind, rows) for _ in range(stage.size.runs if rows == small else 1)]
        for kind in KINDS
        for rows in (small, large)
    }
    seconds, cpu = (
        {key: statistics.median(getattr(drained, what) for drained in some) for key, some in drains.items()}
        for what in ("seconds", "cpu_us")
    )
    return [
        {
            "work": "growth",
            "path": path,
            "rows": [small, large],
            **{
                f"{whose}_{what}": value
                for whose, kind in (("ours", path), ("native", NATIVE))
                for what, value in (
                    ("s", [round(seconds[kind, rows], 3) for rows in (small, large)]),
                    ("times", round(seconds[kind, large] / seconds[kind, small], 2)),
                    ("cpu_us", [round(cpu[kind, rows], 1) for rows in (small, large)]),
                )
            },
        }
        for path in (ONE, TWO)
    ]


def _drained(stage: Stage, kind: str, rows: int) -> Drained:
    with stage.system(kind) as system:
        generate(system, inserts(rows, max(1, rows // PER_TRANSACTION)))
        drained = drain(system, rows)
        system.stop()
    stage.say(f"{kind:8}  {rows:9,} rows  {drained.seconds:7.2f} s  {drained.cpu_us:6.1f} us of CPU a row")
    return drained


def show(documents: Sequence[Document], console: Console) -> None:
    table = Table(title=f"{TIMES} times the backlog: seconds, how many times as long, and CPU us for a row")
    for name in ("path", "rows", "native", "times", "CPU", "ours", "times", "CPU"):
        table.add_column(name, justify="left" if name == "path" else "right")
    for d in documents:
        cells = [
            cell
            for whose in ("native", "ours")
            for cell in (
                " / ".join(f"{s:.2f}" for s in d[f"{whose}_s"]),
                f"{d[f'{whose}_times']:.2f}",
                " / ".join(f"{us:.0f}" for us in d[f"{whose}_cpu_us"]),
            )
        ]
        table.add_row(d["path"], " / ".join(f"{n:,}" for n in d["rows"]), *cells)
    console.print(table)


PART = Part("growth", measure, show)

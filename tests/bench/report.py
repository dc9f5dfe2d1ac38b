"""What was measured, as a file for programs, and as the table in the project's README.

python -m tests.bench.report --readme     writes the table into README.md, from results.json
python -m tests.bench.report --plots      draws the plots again, from results.json
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import plots

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
README = HERE.parents[1] / "README.md"
BEGIN, END = "<!-- bench -->\n", "<!-- /bench -->\n"
PERCENTILES = (50, 95, 99)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {f"p{number}": round(cuts[number - 1], 2) for number in PERCENTILES}


def read(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return found


def write(documents: Sequence[dict[str, Any]], part: str, path: Path) -> None:
    """In place of what the file has of that part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [d for d in read(path) if d["part"] != part]
    path.write_text(json.dumps([*kept, *documents], indent=2) + "\n")


def machine() -> str:
    """The machine in a line."""
    model = platform.processor() or platform.machine()
    memory = ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.1f} GB"
    except (OSError, ValueError):
        pass
    return f"{os.cpu_count()} x {model}{memory}, {platform.system()}, Python {platform.python_version()}"


def moment() -> dict[str, Any]:
    """When, on what, and how busy that was with other things."""
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {"measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M}", "machine": machine(), "load_before": load}


def readme(documents: Sequence[dict[str, Any]]) -> str:
    """The table: what was done, by native (or whoever stands beside us), by our one-way and by our two-way link."""
    lines: list[str] = []
    seen = {(d["work"], d["path"]): d for d in documents}

    def line(title: str, work: str, unit: str, theirs: str, ours: str, ratio: str | None) -> None:
        paths = [seen.get((work, path)) for path in ("one-way", "two-way")]
        first = next((d for d in paths if d), None)
        if first is None:
            return
        said = (_cell(d, theirs) for d in (*paths, seen.get((work, "plain"))) if d)
        cells = [next((cell for cell in said if cell != "-"), "-")]
        for d in paths:
            beside = f" ({_at(d, ratio):.2f})" if d and ratio else ""
            cells.append(f"{_cell(d, ours)}{beside}" if d else "-")
        lines.append(f"| {title.format(**first)} | {unit} | {' | '.join(cells)} |")

    for work in ("insert", "single update", "bulk update"):
        title = f"{work}s, {{rows:,}} rows in {{transactions:,}} transactions"
        line(title, work, "rows/s", "native_rows_per_s", "ours_rows_per_s", "ratio")
        line("- CPU of all who take part", work, "us/row", "native_cpu_us", "ours_cpu_us", None)
    line("single updates, {updates_per_s}/s: p50", "latency", "ms", "native_ms.p50", "ours_ms.p50", None)
    line("- p99", "latency", "ms", "native_ms.p99", "ours_ms.p99", None)
    line("- p99 while {records:,} records are backfilled", "latency while backfilling", "ms", "", "ours_ms.p99", None)
    line("TPC-B, {clients} clients, {seconds} s: behind at the end", "tpcb", "ms", "native_lag_ms", "ours_lag_ms", "lag_ratio")
    line("- behind meanwhile, p99", "tpcb", "ms", "native_meanwhile_ms.p99", "ours_meanwhile_ms.p99", None)
    line("- transactions meanwhile", "tpcb", "1/s", "native_tps", "ours_tps", None)
    line("ten times the inserts take so many times as long", "growth", "times", "native_times", "ours_times", None)
    line("backfill of {records:,} records; beside it `COPY` to `COPY`", "backfill", "s", "pipe_s", "ours_s", "ratio")
    line("reconcile, again; beside it reladiff", "reconcile", "s", "reladiff_s", "again_s", None)
    line(
        "inserts; beside it Debezium and upserts in Python", "insert beside debezium", "rows/s",
        "debezium_rows_per_s", "ours_rows_per_s", "ratio",
    )  # fmt: skip
    if not lines:
        raise SystemExit(f"report: nothing measured in {RESULTS.name}; `make bench` does it")
    when = sorted({d["measured"] for d in documents})
    loads = [d["load_before"] for d in documents if d["load_before"] is not None]
    busy = f", load before each part {min(loads):.1f} to {max(loads):.1f}" if loads else ""
    on = ", ".join(sorted({f"PostgreSQL {d['server_version']} on {d['machine']}" for d in documents}))
    head = ("| work | unit | native, or who is named | ours, one way | ours, both ways |", "|---|---|---:|---:|---:|")
    span = when[0] if when[0] == when[-1] else f"{when[0]} to {when[-1]}"
    return "\n".join((*head, *lines, "", f"{on}; {span} UTC{busy}.", ""))


def _at(document: dict[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if name else None
    return value


def _cell(document: dict[str, Any], path: str) -> str:
    value = _at(document, path)
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{2 if value < 100 else 0}f}"


def put(table: str, path: Path) -> None:
    """Between the two comments, which stay."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"report: {path.name} has no place for the table: a line {BEGIN.strip()} and a line {END.strip()}")
    path.write_text(f"{before}{begin}{table}{end}{after}")


def main(arguments: Sequence[str]) -> int:
    documents = read(RESULTS)
    if "--readme" in arguments:
        put(readme(documents), README)
    if "--plots" in arguments:
        plots.write(documents, HERE)
    if not set(arguments) & {"--readme", "--plots"}:
        print(readme(documents), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

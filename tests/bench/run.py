"""`make bench`: PostgreSQL's own subscription and our daemon, on the same two servers, by turns.

BENCH_QUICK=1     small backlogs, one run: under a minute
BENCH_VERSION=15  another PostgreSQL than the newest found
BENCH_PROFILE=DIR py-spy (pip install py-spy) records where each daemon spends its time; the figures suffer

README.md, beside this file, says what the figures mean.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from replicator.demo.servers import Installation, Server, installation
from replicator.errors import ReplicatorError

from . import report
from .measure import drain, generate, latencies
from .report import Measured
from .schema import FULL, QUICK, Size, works
from .systems import KINDS, NATIVE, BenchError, Native, Ours, System

RESULTS = Path(__file__).with_name("results.json")


def measure(
    found: Installation,
    size: Size,
    console: Console,
    settings: dict[str, str] | None = None,
    profiles: Path | None = None,
) -> Measured:
    """All of it, on two servers that are made for it and removed afterwards. `settings`: the servers', for tests."""
    result = Measured(found.release, size, works(size))
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Server(found, settings) as source,
        Server(found, settings) as target,
    ):
        for number in range(1, size.runs + 1):
            for kind in KINDS:
                servers = (source, target)
                system = Native(servers) if kind == NATIVE else Ours(servers, kind, Path(folder), profiles)
                with system:
                    _run(system, result, f"run {number}/{size.runs}  {kind:8}", console)
    return result


def _run(system: System, result: Measured, title: str, console: Console) -> None:
    for work in result.works:
        system.stop()
        generate(system, work)
        drained = drain(system, work.rows)
        result.drained.setdefault((work.name, system.kind), []).append(drained)
        memory = f", {drained.peak_rss_mb:.0f} MB" if drained.peak_rss_mb else ""
        console.print(
            f"{title}  {work.name:14} {drained.seconds:7.2f} s  {drained.rows_per_s:9,.0f} rows/s{memory}", highlight=False
        )
    delays = latencies(system, result.size)
    system.stop()
    result.latencies.setdefault(system.kind, []).extend(delays)
    middle = report.percentiles(delays)["p50"]
    console.print(f"{title}  {'latency':14} {middle:7.2f} ms", highlight=False)


def main() -> int:
    console = Console(width=None if sys.stdout.isatty() else 120)
    size = QUICK if os.environ.get("BENCH_QUICK", "0") not in ("", "0") else FULL
    version = os.environ.get("BENCH_VERSION")
    profiles = os.environ.get("BENCH_PROFILE")
    begun = time.monotonic()
    try:
        found = installation(int(version) if version else None)
        console.print(f"PostgreSQL {found.release} on {report.machine()}", highlight=False)
        result = measure(found, size, console, profiles=Path(profiles) if profiles else None)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except ReplicatorError as error:
        print(f"bench: {error.message}; {error.hint}", file=sys.stderr)
        return 1
    documents = result.documents()
    report.show(documents, console)
    report.write(documents, RESULTS)
    name = os.path.relpath(RESULTS)
    console.print(f"{time.monotonic() - begun:.0f} s; written to {name}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: our daemon and PostgreSQL's own subscription, on the same two servers, by turns; and what else is worth a comparison.

BENCH_ONLY=NAME   one part, or several with commas between; the other parts' results stay as they are
BENCH_QUICK=1     small backlogs, one run, a few minutes: to see that it works; results go to quick/
BENCH_VERSION=15  another PostgreSQL than the newest found
BENCH_PROFILE=DIR py-spy (pip install py-spy) records where each daemon spends its time; the figures suffer

README.md, beside this file, says what the figures mean.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from replicator.demo.servers import installation
from replicator.errors import ReplicatorError

from . import backlogs, busy, curves, debezium, existing, growth, plots, report, tpcb
from .part import Part, staged
from .schema import FULL, QUICK
from .systems import BenchError

PARTS = (backlogs.PART, growth.PART, tpcb.PART, busy.PART, debezium.PART, existing.PART, curves.PART)


def chosen(names: str) -> list[Part]:
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    unknown = wanted - {part.name for part in PARTS}
    if unknown:
        raise BenchError(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PARTS)}")
    return [part for part in PARTS if not wanted or part.name in wanted]


def main() -> int:
    console = Console(width=None if sys.stdout.isatty() else 120)
    quick = os.environ.get("BENCH_QUICK", "0") not in ("", "0")
    results = report.HERE / "quick" / report.RESULTS.name if quick else report.RESULTS
    version = os.environ.get("BENCH_VERSION")
    profiles = os.environ.get("BENCH_PROFILE")
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and daemons end with it
    try:
        found = installation(int(version) if version else None)
        for part in chosen(os.environ.get("BENCH_ONLY", "")):
            at, moment = time.monotonic(), report.moment()
            where = f"PostgreSQL {found.release} on {moment['machine']}, load {moment['load_before']}"
            console.print(f"== {part.name}: {where}", highlight=False)
            with staged(found, QUICK if quick else FULL, console, profiles=Path(profiles) if profiles else None) as stage:
                documents = part.measure(stage)
            part.show(documents, console)
            if documents:  # else it was skipped, and what is known of it stays
                known = {"part": part.name, **moment, "server_version": found.release}
                report.write([{**known, **document} for document in documents], part.name, results)
            console.print(f"{time.monotonic() - at:.0f} s for {part.name}", highlight=False)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except ReplicatorError as error:
        print(f"bench: {error.message}; {error.hint}", file=sys.stderr)
        return 1
    drawn = plots.write(report.read(results), results.parent)
    names = ", ".join(os.path.relpath(path) for path in (results, *drawn))
    console.print(f"{time.monotonic() - begun:.0f} s; written to {names}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

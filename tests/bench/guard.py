"""The guard against slowdowns, for CI: what a row costs us, in rows of PostgreSQL's own subscription, beside what it did cost.

    python -m tests.bench.guard            measures, beside what is stored
    python -m tests.bench.guard --store    measures three times, and stores the middle in guard.json

Time is of no use on a machine that does other things as well. So a row's cost is the processors' time of all who work for it, and
the time in which none of them works or wants to: what sleeps, or waits in vain. It is told as a multiple of the processors' time
that native needs for the same row on the same machine in the same minute. That moves little with the machine and its load; what
makes us slower moves it.
"""

from __future__ import annotations

import json
import statistics
import sys
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from replicator.demo.servers import Installation, installation

from .measure import drain, generate
from .part import staged
from .schema import KINDS, NATIVE, QUICK, inserts, singles
from .systems import System

STORED = Path(__file__).with_name("guard.json")
LIMIT = 2.0  # so many times the stored cost
INSERTS, SINGLES = 40_000, 10_000
AGAIN = 20  # looks until it is asked again which processes there are
# What is measured is the work, not the disk. Before version 16 a subscription's worker is started once in 5 s at most.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "wal_retrieve_retry_interval": "50ms"}


def costs(found: Installation, console: Console) -> dict[str, float]:
    """By path and work: our cost of a row, in native's."""
    ours: dict[tuple[str, str], float] = {}
    native: dict[str, float] = {}
    with staged(found, QUICK, console, SETTINGS) as stage:
        for kind in KINDS:
            with stage.system(kind) as system:
                for work in (inserts(INSERTS, 40), singles(SINGLES, INSERTS)):
                    system.stop()
                    generate(system, work)
                    idle = _Idle(system)
                    drained = drain(system, work.rows, look=idle.look)
                    idle_us = idle.share * drained.seconds / work.rows * 1e6
                    if kind == NATIVE:
                        native[work.name] = drained.cpu_us
                    else:
                        ours[kind, work.name] = drained.cpu_us + idle_us
                    stage.say(
                        f"{kind:8}  {work.name:14}  {drained.seconds:6.2f} s; a row {drained.cpu_us:6.1f} us of CPU,"
                        f" {idle_us:6.1f} us nobody at work"
                    )
                system.stop()
    return {f"{kind}, {name}": round(us / native[name], 2) for (kind, name), us in ours.items()}


class _Idle:
    """How often, of many looks, no process of a system was on a processor, waited for one, or for a disk."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._looks = 0
        self._idle = 0
        self._pids: list[int] = []

    def look(self) -> None:
        if self._looks % AGAIN == 0:
            self._pids = self._system.at_work()
        self._looks += 1
        self._idle += not any(map(_busy, self._pids))

    @property
    def share(self) -> float:
        return self._idle / self._looks if self._looks else 0.0


def _busy(pid: int) -> bool:
    """One of its threads, by /proc."""
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # it has just ended
            if path.read_text().rpartition(")")[2].split(maxsplit=1)[0] in "RD":
                return True
    return False


def too_slow(measured: dict[str, float], stored: dict[str, float]) -> list[str]:
    """In words; nothing if all is well."""
    return [
        f"{name}: a row costs {measured[name]:.1f} times as much as native's; it was {was:.1f}, and the limit is {was * LIMIT:.1f}"
        for name, was in stored.items()
        if measured[name] > was * LIMIT
    ]


def main(arguments: list[str]) -> int:
    console = Console(width=120)
    runs = [costs(installation(None), console) for _ in range(3 if "--store" in arguments else 1)]
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    stored: dict[str, float] = json.loads(STORED.read_text()) if STORED.exists() else {}
    for name, cost in middle.items():
        console.print(f"{name:24} {cost:6.2f}  stored {stored.get(name, 0.0):6.2f}", highlight=False)
    if "--store" in arguments:
        STORED.write_text(json.dumps(middle, indent=2) + "\n")
        return 0
    slow = too_slow(middle, stored)
    console.print("\n".join(slow))
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

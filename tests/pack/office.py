"""A CRM, the ERPs of two factories, and the shipped links between them, with a daemon that runs: where the pack's tests live.

People work through `sales`, `service` and the `factories`, which speak SQL to their own database alone. What should arrive
elsewhere is waited for (`eventually`); that something does not come is told by `settle`: after it nothing is on its way.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from replicator.demo.servers import Server, installations
from replicator.demo.world import schema_files
from replicator.mapping.config import load_config
from replicator.model.config import Config
from replicator.runtime.daemon import Daemon
from replicator.runtime.drain import Drain
from replicator.runtime.setup import init
from tests.conftest import FAST
from tests.pack.factory import Factory
from tests.pack.sales import Sales
from tests.pack.service import Service

PATIENCE = 60.0  # seconds, for what takes a fraction of one on a machine with nothing else to do
MAPPINGS = Path(__file__).parents[2] / "mappings" / "crm_erp"
FACTORIES = {"erp_north": "NORTH", "erp_south": "SOUTH"}
BOTH = tuple(FACTORIES.values())
NODES = ("crm", *FACTORIES)
CONFIG = """
nodes:
  crm: {{engine: postgres, dsn: "${{CRM_DSN}}"}}
  erp_north: {{engine: postgres, dsn: "${{ERP_NORTH_DSN}}", class: erp, code: NORTH}}
  erp_south: {{engine: postgres, dsn: "${{ERP_SOUTH_DSN}}", class: erp, code: SOUTH}}
mappings: {mappings}
settings: {{lock_timeout_ms: 500}}
"""


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found = json.loads(self.out.splitlines()[-1])
        assert isinstance(found, dict)
        return found


@dataclass
class Office:
    folder: Path
    environ: dict[str, str]
    config: Config
    connections: dict[str, psycopg.Connection]
    sales: Sales
    service: Service
    factories: dict[str, Factory]
    daemon: Daemon | None = None
    _thread: threading.Thread | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def north(self) -> Factory:
        return self.factories["NORTH"]

    @property
    def south(self) -> Factory:
        return self.factories["SOUTH"]

    def word(self, kind: str = "Oak") -> str:
        """Never the same twice, so that nothing is equal by chance."""
        return f"{kind} {next(self._numbers)}"

    def customer(self, **columns: Any) -> tuple[str, UUID]:
        """The name and account of one that sales has keyed and that both factories know by now."""
        name = self.word("Customer")
        account = self.sales.account(name, f"AT{name.split()[1]:0>8}", **columns)
        self.everywhere(lambda factory: factory.party(name) is not None)
        return name, account

    def product(self, *made_in: str, **columns: Any) -> tuple[str, UUID]:
        """The code and key of one that sales has keyed and that these factories know by now."""
        sku = self.word("Product")
        product = self.sales.product(sku, *made_in, **columns)
        self.eventually(lambda: [self.factories[code].item(sku) is not None for code in made_in], [True] * len(made_in))
        return sku, product

    # -- the daemon

    def start(self) -> None:
        self.daemon = Daemon(self.config, self.environ)
        self._thread = threading.Thread(target=self._run, name="the office's daemon")
        self._thread.start()

    def _run(self) -> None:
        assert self.daemon is not None
        try:
            self.daemon.run()
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            self.daemon.failed = self.daemon.failed or error  # type: ignore[assignment]

    def stop(self) -> None:
        if self.daemon is not None and self._thread is not None:
            self.daemon.stop.set()
            self._thread.join()
        self.daemon = self._thread = None

    @contextmanager
    def closed_for_lunch(self) -> Iterator[None]:
        """No replicator runs meanwhile: what people do on several sides is at the same time for it."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def at_once(self, *nodes: str) -> Iterator[None]:
        """What is done on several nodes meanwhile is committed within a moment, in this order: before the others can know."""
        with ExitStack() as stack:
            for node in reversed(nodes or NODES):
                stack.enter_context(self.connections[node].transaction())
            yield

    def process(self) -> subprocess.Popen[bytes]:
        """A replicator as a DBA runs it, in place of the one in this process."""
        with (self.folder / "run.log").open("ab") as log:
            return subprocess.Popen([*self._command, "run"], env={**os.environ, **self.environ}, stdout=log, stderr=log)

    @property
    def _command(self) -> list[str]:
        return [str(Path(sys.executable).parent / "replicator"), "-c", str(self.folder / "replicator.yaml")]

    def command(self, *arguments: str) -> Answer:
        """A command as a person types it."""
        done = subprocess.run(
            [*self._command, *arguments],
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    # -- waiting

    def eventually(self, look: Callable[[], Any], wanted: Any = True, seconds: float = PATIENCE) -> float:
        """Waits until `look` gives what is wanted; the seconds that it took."""
        __tracebackhide__ = True
        started = time.monotonic()
        while (found := look()) != wanted:
            taken = time.monotonic() - started
            if taken > seconds or (self.daemon is not None and self.daemon.failed is not None):
                failed = f"\nthe daemon: {self.daemon.failed}" if self.daemon is not None and self.daemon.failed else ""
                raise AssertionError(
                    f"after {taken:.1f} s\n  it is     {found!r}\n  and not   {wanted!r}{failed}\n{self.set_aside()}"
                )
            time.sleep(0.01)
        return time.monotonic() - started

    def everywhere(self, look: Callable[[Factory], Any], wanted: Any = True) -> float:
        """Waits until every factory gives what is wanted; the seconds that it took."""
        return self.eventually(lambda: [look(factory) for factory in self.factories.values()], [wanted] * len(self.factories))

    def settle(self, seconds: float = PATIENCE) -> None:
        """Until everything that was committed anywhere has gone everywhere, with all that it gave rise to."""
        assert self.daemon is not None
        end = time.monotonic() + seconds
        with ExitStack() as stack:
            mine = {node: stack.enter_context(psycopg.connect(self.dsn(node), autocommit=True)) for node in NODES}
            drain, seen = Drain(self.config, self.daemon, mine), -1
            while seen != (now := sum(totals.batches for totals in list(self.daemon.totals.values()))):
                seen = now
                drain.mark()
                while not drain.done():
                    assert self.daemon.failed is None, self.daemon.failed
                    assert time.monotonic() < end, f"not settled after {seconds} s\n{self.set_aside()}"
                    time.sleep(0.01)

    def agrees(self) -> None:
        """Nothing is on its way, nothing is parked, and `reconcile` finds no difference in any link."""
        self.settle()
        assert self.parked() == []
        answer = self.command("reconcile", "--values")
        told = [line for line in answer.out.splitlines() if "both sides agree" not in line]
        assert answer.code == 0, "\n".join([*told, answer.err])

    # -- what there is to see

    def dsn(self, node: str) -> str:
        return self.environ[f"{node.upper()}_DSN"]

    def set_aside(self) -> str:
        """What is parked and what has clashed lately, for the message of a test that fails."""
        lines = []
        for node, connection in self.connections.items():
            if connection.execute("SELECT to_regclass('replicator.parked')").fetchone() == (None,):
                continue
            for row in connection.execute(
                "SELECT flow, link, key, reason, message FROM replicator.parked ORDER BY id"
            ).fetchall():
                lines.append(f"parked on {node}: {row}")
            clashes = "SELECT flow, link, kind, field, winner, rule FROM replicator.conflict ORDER BY id DESC LIMIT 5"
            lines += [f"logged on {node}: {row}" for row in connection.execute(clashes).fetchall()]
        return "\n".join(lines) or "nothing is parked"

    def parked(self) -> list[tuple[Any, ...]]:
        sql = "SELECT flow, link, key, reason, message FROM replicator.parked ORDER BY id"
        return [row for connection in self.connections.values() for row in connection.execute(sql).fetchall()]


@contextmanager
def databases(folder: Path, versions: tuple[int, int, int]) -> Iterator[Office]:
    """Three databases with the demo's schemas and what every installation has from the first day; `init` was not run.
    `versions`: of PostgreSQL for the CRM, the factory in the north and that in the south."""
    found = {one.version: one for one in installations()}
    with ExitStack() as stack:
        servers: dict[int, Server] = {}
        environ = {}
        for node, version in zip(NODES, versions, strict=True):
            if version not in servers:
                servers[version] = stack.enter_context(Server(found[version], FAST))
            environ[f"{node.upper()}_DSN"] = servers[version].create_database(node)
        (folder / "replicator.yaml").write_text(CONFIG.format(mappings=MAPPINGS))
        connections = {}
        for node in NODES:
            connections[node] = stack.enter_context(psycopg.connect(environ[f"{node.upper()}_DSN"], autocommit=True))
            schema = "crm.sql" if node == "crm" else "erp.sql"
            connections[node].execute(schema_files().joinpath(schema).read_text(encoding="utf-8").encode())
        config, findings = load_config(folder / "replicator.yaml", environ)
        assert config is not None, "\n".join(map(str, findings))
        sales, service = Sales(connections["crm"]), Service(connections["crm"])
        factories = {code: Factory(connections[node], code) for node, code in FACTORIES.items()}
        office = Office(folder, environ, config, connections, sales, service, factories)
        for number, factory in enumerate(factories.values()):
            factory.opens(number)
            sales.knows_factory(factory.code)
        try:
            yield office
        finally:
            office.stop()


@contextmanager
def running(folder: Path, versions: tuple[int, int, int]) -> Iterator[Office]:
    with databases(folder, versions) as office:
        init(office.config, office.environ, False, lambda action: None)
        office.start()
        yield office

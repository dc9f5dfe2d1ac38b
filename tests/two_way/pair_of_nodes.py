"""Two databases with different schemas, linked both ways, driven step by step: what the two-way tests stand on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from replicator.apply.outcome import Step
from replicator.demo.servers import Server
from replicator.engines.postgres.writer import PostgresWriter
from replicator.errors import NodeUnavailable, StructureChanged
from replicator.exchange import Exchange
from replicator.mapping.config import load_config
from replicator.model.config import Config
from replicator.model.stamp import days_ago
from replicator.runtime.setup import init
from replicator.runtime.wiring import Opened, node_pairs, open_exchange
from tests.databases import empty

CONFIG = """
nodes:
  crm: {engine: postgres, dsn: "${CRM_DSN}"}
  erp: {engine: postgres, dsn: "${ERP_DSN}"}
mappings: mappings
settings: {batch_rows: 20000, lock_timeout_ms: 500}
"""


class Crash(Exception):
    """The daemon dies here."""


@dataclass
class Failpoint:
    """Lets the sessions' calls through until `calls` of them were made, then crashes before or after that call."""

    calls: int | None = None
    after: bool = False
    hit: str = ""

    def around(self, name: str, call: Any, *args: Any, **options: Any) -> Any:
        if self.calls is None:
            return call(*args, **options)
        self.calls -= 1
        if self.calls > 0:
            return call(*args, **options)
        self.calls, self.hit = None, name
        if self.after:
            call(*args, **options)
        raise Crash(name)


@dataclass
class Pair:
    """`crm` and `erp` are the users' connections."""

    crm: psycopg.Connection
    erp: psycopg.Connection
    config: Config
    environ: dict[str, str]
    failpoint: Failpoint = field(default_factory=Failpoint)
    erp_clock: int = 0  # microseconds by which the ERP's clock is ahead
    opened: Opened | None = None
    steps: list[Step] = field(default_factory=list)

    @property
    def exchange(self) -> Exchange:
        if self.opened is None:
            while self.opened is None:
                try:
                    self.opened = open_exchange(self.config, node_pairs(self.config)[0], self.environ)
                except NodeUnavailable as error:  # the dead daemon's sessions are still going away
                    assert "55006" in str(error.__cause__ and getattr(error.__cause__, "sqlstate", "")), error
            for session in self.opened.sessions:
                if isinstance(session, PostgresWriter):
                    for name in ("commit", "execute", "query", "load"):
                        setattr(session, name, partial(self.failpoint.around, name, getattr(session, name)))
            self._set_clock(self.opened.exchange)
        return self.opened.exchange

    def _set_clock(self, exchange: Exchange) -> None:
        """Lets commit times and the time of day of the ERP be as its clock would say."""
        if not self.erp_clock:
            return
        to_erp, from_erp = exchange.flows
        reading, advanced = from_erp.clock.reading, to_erp._state.advance
        from_erp.clock.reading = lambda time: reading(time + self.erp_clock)  # type: ignore[method-assign]

        def advance(*args: Any) -> tuple[int, int]:
            position, clock = advanced(*args)
            return position, clock + self.erp_clock

        to_erp._state.advance = advance  # type: ignore[method-assign]

    def crash(self) -> None:
        """The daemon is gone: sessions are cut, memory is lost."""
        if self.opened is not None:
            self.opened.close()
            self.opened = None

    def set_clocks_right(self) -> None:
        """The ERP's clock is right again, and nothing remembers that it was not."""
        self.settle()  # what was said of the time has been read
        self.crash()
        self.erp_clock = 0
        forget_the_future(self.crm, self.erp)

    def turn(self, flow: int | None = None) -> list[Step]:
        """One turn of both flows, or a step of one of them."""
        exchange = self.exchange
        try:
            if flow is None:
                steps = exchange.turn()
            else:
                step = exchange.flows[flow].step()
                steps = [step] if step else []
        except (Crash, StructureChanged):  # the daemon starts anew
            self.crash()
            return []
        self.steps += steps
        return steps

    def settle(self) -> None:
        """Until everything that users have committed has gone both ways, and nothing is left to do."""
        self.failpoint.calls = None
        effects = any(flow.stream.stream._assembler._listening for flow in self.exchange.flows)  # type: ignore[attr-defined]
        if self._rest() and effects:
            while self._rest():  # what was written had effects, and these have effects
                pass

    def _rest(self) -> bool:
        """Whether anything was written until what had been committed before has arrived."""
        quiet, began = 0, len(self.steps)
        targets = {0: _position(self.crm), 1: _position(self.erp)}
        while quiet < 2:
            worked = bool(self.turn())
            flows = self.exchange.flows
            behind = any(flow.drained < targets[i] or flow.owes for i, flow in enumerate(flows))
            quiet = 0 if worked or behind else quiet + 1
            if not worked:
                self.exchange.wait(0.02)
        return any(step.batch.rows for step in self.steps[began:])

    def rows(self, node: str, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        connection = self.crm if node == "crm" else self.erp
        return connection.execute(sql, params or None).fetchall()  # type: ignore[call-overload, no-any-return]

    def conflicts(self) -> list[tuple[Any, ...]]:
        sql = "SELECT flow, link, kind, field, winner, rule FROM replicator.conflict ORDER BY id"
        return self.rows("crm", sql) + self.rows("erp", sql)

    def parked(self) -> list[tuple[Any, ...]]:
        sql = "SELECT flow, link, key, reason, sqlstate, message FROM replicator.parked ORDER BY id"
        return self.rows("crm", sql) + self.rows("erp", sql)


def forget_the_future(*nodes: psycopg.Connection) -> None:
    """After a clock was ahead, stamps stand still until the time has come to them, and the newer of two edits is not known
    to be newer: tests that come within those seconds would take their edits for edits of one moment."""
    for node in nodes:
        node.execute("UPDATE replicator.checkpoint SET stamp = least(stamp, %s)", (days_ago(0),))


def _position(connection: psycopg.Connection) -> int:
    # An empty transaction's WAL would not reach the stream; a flushed message moves the end that keepalives report.
    row = connection.execute(
        "SELECT pg_logical_emit_message(false, 'test', '')::text, pg_current_wal_insert_lsn() - '0/0'"
    ).fetchone()
    assert row is not None
    return int(row[1])


def write_links(folder: Path, links: dict[str, str]) -> Path:
    (folder / "mappings").mkdir(parents=True, exist_ok=True)
    for name, text in links.items():
        (folder / "mappings" / f"{name}.yaml").write_text(text)
    path = folder / "replicator.yaml"
    path.write_text(CONFIG)
    return path


@contextmanager
def linked(
    server: Server, folder: Path, name: str, crm: str, erp: str, links: dict[str, str], other: Server | None = None
) -> Iterator[Pair]:
    """Empty databases on `server` with these schemas and links, initialised and ready to run. `other`: where the ERP is."""
    dsns = {"CRM_DSN": empty(server, f"{name}_crm"), "ERP_DSN": empty(other or server, f"{name}_erp")}
    config, findings = load_config(write_links(folder, links), dsns)
    assert config is not None, "\n".join(map(str, findings))
    with (
        psycopg.connect(dsns["CRM_DSN"], autocommit=True) as one,
        psycopg.connect(dsns["ERP_DSN"], autocommit=True) as two,
    ):
        one.execute(crm)  # type: ignore[call-overload]
        two.execute(erp)  # type: ignore[call-overload]
        pair = Pair(one, two, config, dsns)
        init(config, dsns, False, lambda action: None)
        try:
            yield pair
        finally:
            pair.crash()
            for connection, slot in ((pair.crm, "replicator_crm_to_erp"), (pair.erp, "replicator_erp_to_crm")):
                with suppress(psycopg.OperationalError):  # its server is gone: so is the slot
                    _drop_slot(connection, slot)


def _drop_slot(connection: psycopg.Connection, slot: str) -> None:
    """Slots are the server's, not the database's: the next test wants the same names."""
    connection.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", (slot,))
    while connection.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s AND active", (slot,)).fetchone():
        pass
    connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (slot,))

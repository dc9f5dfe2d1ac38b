"""Everything that goes wrong: on the network, with the servers, with the daemon, and what users and operators do to each other.

A fault is over when its function returns; until then it may have disturbed anybody. Each is a method that is named as it is counted.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import psycopg
from psycopg import sql

from replicator.demo.servers import Server
from replicator.errors import NodeUnavailable
from replicator.mapping.chosen import links_named
from replicator.model.link import Link
from replicator.runtime.pausing import go_on, stand_still
from tests.chaos.supervisor import Supervisor
from tests.chaos.users import TABLES
from tests.network.proxy import Proxy
from tests.two_way.pair_of_nodes import Pair

ROLE = "flows"  # the daemon's, so that settings can be made for it alone
AT_WORK_SECONDS = 8.0  # to come back after a fault; another fault may keep it from that
Node = Literal["crm", "erp"]


class Faults:
    """`survived`: how many of each kind are over."""

    def __init__(self, pair: Pair, servers: dict[str, Server], proxies: dict[str, Proxy], daemon: Supervisor) -> None:
        self._pair, self._servers, self._proxies, self._daemon = pair, servers, proxies, daemon
        self.survived: Counter[str] = Counter()
        self.failures: list[BaseException] = []

    # -- kinds that take connections away

    def cut(self, r: random.Random, node: Node) -> None:
        self._proxies[node].cut()

    def half_closed(self, r: random.Random, node: Node) -> None:
        self._proxies[node].half_close()

    def stalled(self, r: random.Random, node: Node) -> None:
        self._proxies[node].stall(r.uniform(0.2, 2.0))

    def delayed(self, r: random.Random, node: Node) -> None:
        self._proxies[node].delay(r.uniform(0.005, 0.05), r.uniform(0.3, 1.5))

    def refused(self, r: random.Random, node: Node) -> None:
        self._proxies[node].refuse()
        time.sleep(r.uniform(0.3, 2.0))  # the fault itself, here and below
        self._proxies[node].accept()

    def daemon_killed(self, r: random.Random, node: Node) -> None:
        self._daemon.kill()
        time.sleep(r.uniform(0, 0.5))
        self._daemon.start()

    def daemon_stopped(self, r: random.Random, node: Node) -> None:
        self._daemon.stop()
        self._daemon.start()

    def server_restarted(self, r: random.Random, node: Node) -> None:
        self._servers[node].restart("immediate")

    def server_killed(self, r: random.Random, node: Node) -> None:
        self._servers[node].kill()
        time.sleep(r.uniform(0, 1.5))
        self._servers[node].start()

    # -- kinds that a database does to its sessions

    def terminated(self, r: random.Random, node: Node) -> None:
        self._to_sessions(r, node, "pg_terminate_backend")

    def cancelled(self, r: random.Random, node: Node) -> None:
        self._to_sessions(r, node, "pg_cancel_backend")

    def statement_timeout(self, r: random.Random, node: Node) -> None:
        self._for_a_while(r, node, "statement_timeout", f"{r.choice((2, 10, 50))}ms")

    def read_only(self, r: random.Random, node: Node) -> None:
        self._for_a_while(r, node, "default_transaction_read_only", "on")

    def row_locks(self, r: random.Random, node: Node) -> None:
        with self._connected(node) as connection, connection.transaction():
            some = f"SELECT FROM {TABLES[node][0]} ORDER BY {TABLES[node][1]} DESC LIMIT 300"
            rows = f"SELECT FROM {TABLES[node][0]} TABLESAMPLE BERNOULLI (30) FOR UPDATE SKIP LOCKED"
            connection.execute(r.choice((f"{some} FOR UPDATE SKIP LOCKED", rows)))  # type: ignore[call-overload]
            time.sleep(r.uniform(0.3, 3.0))

    def table_lock(self, r: random.Random, node: Node) -> None:
        with self._connected(node) as connection, connection.transaction():
            mode = r.choice(("ACCESS EXCLUSIVE", "SHARE"))
            connection.execute(f"LOCK TABLE {r.choice((TABLES[node][0], TABLES[node][2]))} IN {mode} MODE")  # type: ignore[call-overload]
            time.sleep(r.uniform(0.3, 2.5))

    def deadlock(self, r: random.Random, node: Node) -> None:
        """Records are locked one after the other, in an order that nobody else keeps."""
        with self._connected(node) as connection, connection.transaction():
            table, key = TABLES[node][:2]
            for _ in range(8):
                one = f"SELECT {key} FROM {table} ORDER BY random() LIMIT 1"
                connection.execute(f"UPDATE {table} SET tag = tag WHERE {key} = ({one})")  # type: ignore[call-overload]
                time.sleep(r.uniform(0, 0.1))

    def paused(self, r: random.Random, node: Node) -> None:
        """A link stands still for a while, both ways."""
        links = links_named(self._pair.config, r.choice(("customer", "contact")))
        try:
            with self._connected("crm") as crm, self._connected("erp") as erp:
                stand_still({"crm": crm, "erp": erp}, links, "chaos")
            time.sleep(r.uniform(0.5, 3.0))
        finally:  # it may stand still on one node only, if the other went away
            self._resume(links)

    def _resume(self, links: list[Link]) -> None:
        while True:
            with (
                suppress(psycopg.OperationalError, NodeUnavailable),
                self._connected("crm") as crm,
                self._connected("erp") as erp,
            ):
                go_on(self._pair.config, {"crm": crm, "erp": erp}, links, dry_run=False)
                return
            time.sleep(0.1)

    # -- how

    def _connected(self, node: Node) -> psycopg.Connection[Any]:
        return psycopg.connect(self._pair.environ[f"{node.upper()}_DSN"], autocommit=True)

    def _to_sessions(self, r: random.Random, node: Node, what: str) -> None:
        with self._connected(node) as connection:
            ours = "SELECT pid FROM pg_stat_activity WHERE usename = %s ORDER BY random() LIMIT %s"
            call = sql.SQL("SELECT {}(pid) FROM ({}) AS p").format(sql.Identifier(what), sql.SQL(ours))
            connection.execute(call, (ROLE, r.randint(1, 3)))

    def _for_a_while(self, r: random.Random, node: Node, setting: str, value: str) -> None:
        with self._connected(node) as connection:
            connection.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(sql.Identifier(ROLE), sql.Identifier(setting), value))
            self._to_sessions(r, node, "pg_terminate_backend")
            time.sleep(r.uniform(0.5, 2.0))
        self.calm(node)

    def calm(self, node: Node) -> None:
        """Nothing is set for the daemon any more; the server may be away at the moment."""
        while True:
            with suppress(psycopg.OperationalError), self._connected(node) as connection:
                connection.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(sql.Identifier(ROLE)))
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (ROLE,))
                return
            time.sleep(0.1)

    # -- two hands

    @property
    def _hands(self) -> tuple[tuple[Callable[[random.Random, Node], None], ...], ...]:
        """Each is at one thing at a time, beside the other."""
        network = (self.cut, self.half_closed, self.stalled, self.delayed, self.refused)
        processes = (self.daemon_killed, self.daemon_stopped, self.server_restarted, self.server_killed)
        database = (self.terminated, self.cancelled, self.statement_timeout, self.read_only)
        people = (self.row_locks, self.row_locks, self.table_lock, self.deadlock, self.deadlock, self.paused)
        return (*network, *processes), (*database, *people)

    @property
    def kinds(self) -> set[str]:
        return {kind.__name__ for hand in self._hands for kind in hand}

    def rage(self, seed: int, seconds: float) -> None:
        """For so long, and until each kind came once."""
        threads = [threading.Thread(target=self._hand, args=(n, seed, seconds), name=f"faults {n}") for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for node in self._servers:
            self.calm(node)  # type: ignore[arg-type]

    def _hand(self, number: int, seed: int, seconds: float) -> None:
        r, end = random.Random(f"{seed} hand {number}"), time.monotonic() + seconds
        kinds = self._hands[number]
        wanted = r.sample(kinds, len(kinds))
        try:
            while wanted or time.monotonic() < end:
                kind = wanted.pop() if wanted else r.choice(kinds)
                node: Node = r.choice(("crm", "erp"))
                try:
                    kind(r, node)
                except (psycopg.OperationalError, NodeUnavailable):  # the other hand had the server, or it gave way
                    self.survived[f"{kind.__name__} (given way)"] += 1
                else:
                    self.survived[kind.__name__] += 1
                if number == 0 and r.random() < 0.7:  # mostly the next one is to find it at work
                    self._daemon.wait_at_work(AT_WORK_SECONDS)
                time.sleep(r.uniform(0, 1.5))  # the random moment of the next
        except BaseException as error:  # noqa: BLE001 - the test looks at them
            self.failures.append(error)

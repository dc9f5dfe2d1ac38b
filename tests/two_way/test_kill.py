"""The daemon killed with SIGKILL at random moments under load, dozens of times: nothing lost, nothing twice.

Also: SIGTERM ends it within seconds, and either server restarted under it is survived.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from replicator.demo.servers import Installation, Server
from tests.two_way.pair_of_nodes import Pair, linked

KILLS = int(os.environ.get("REPLICATOR_KILLS", "15"))
PAUSE_SECONDS = (
    0.008  # at most, between two things that a user does: some 200 a second on each side, not all there is of a processor
)

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL, city text, code text);
CREATE TABLE crm.contact (id bigserial PRIMARY KEY, account_id uuid NOT NULL REFERENCES crm.account, name text NOT NULL);
"""
ERP = """
CREATE SCHEMA erp;
CREATE SEQUENCE erp.code;
CREATE TABLE erp.customer (no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company varchar(80) NOT NULL, town text,
    code text NOT NULL DEFAULT 'C-' || nextval('erp.code'));
CREATE TABLE erp.person (pid serial PRIMARY KEY, customer_no integer NOT NULL REFERENCES erp.customer, full_name text NOT NULL);
"""
LINKS = {
    "customer": """
link: customer
crm: {table: crm.account, key: id}
erp: {table: erp.customer, key: no}
fields:
  - {crm: name, erp: company}
  - {crm: city, erp: town}
  - {crm: code, erp: code, to: crm}
""",
    "contact": """
link: contact
crm: {table: crm.contact, key: id}
erp: {table: erp.person, key: pid}
fields:
  - {crm: account_id, erp: customer_no, link: customer}
  - {crm: name, erp: full_name}
""",
}


@contextmanager
def daemon(pair: Pair, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(Path(sys.executable).parent / "replicator"), "-c", str(folder / "replicator.yaml"), "run"]
    with (folder / "daemon.log").open("ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **pair.environ}, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def running(folder: Path) -> int:
    """How often a daemon said that it runs."""
    log = folder / "daemon.log"
    return log.read_text().count("running") if log.exists() else 0


class Users:
    """One writer on each side, busy until stopped. Every record they make has a name of its own."""

    def __init__(self, pair: Pair) -> None:
        self._pair, self._stop = pair, threading.Event()
        self.made = {"crm": 0, "erp": 0}
        self.acknowledged: set[str] = set()
        self._threads = [threading.Thread(target=self._work, args=(node,)) for node in ("crm", "erp")]

    def __enter__(self) -> Users:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, node: str) -> None:
        r = random.Random(node)
        dsn = self._pair.environ[f"{node.upper()}_DSN"]
        while not self._stop.is_set():
            try:
                with psycopg.connect(dsn, autocommit=True) as connection:
                    while not self._stop.is_set():
                        self._act(r, node, connection)
                        time.sleep(r.random() * PAUSE_SECONDS)
            except psycopg.OperationalError:
                time.sleep(0.05)  # its server is being restarted: a user tries again

    def _act(self, r: random.Random, node: str, connection: psycopg.Connection) -> None:
        account, contact = ("crm.account", "crm.contact") if node == "crm" else ("erp.customer", "erp.person")
        name, city = ("name", "city") if node == "crm" else ("company", "town")
        key, reference, person = ("id", "account_id", "name") if node == "crm" else ("no", "customer_no", "full_name")
        dice = r.random()
        if dice < 0.4:
            with connection.transaction():
                self.made[node] += 1
                mine = f"{node}-{self.made[node]}"
                sql = f"INSERT INTO {account} ({name}, {city}) VALUES (%s, '0') RETURNING {key}"
                row = connection.execute(sql, (mine,)).fetchone()  # type: ignore[arg-type]
                assert row is not None
                connection.execute(f"INSERT INTO {contact} ({reference}, {person}) VALUES (%s, %s)", (row[0], mine))  # type: ignore[arg-type]
            self.acknowledged.add(mine)
        else:
            sql = f"UPDATE {account} SET {city} = %s WHERE {key} = (SELECT {key} FROM {account} ORDER BY random() LIMIT 1)"
            connection.execute(sql, (f"{node}-{r.random()}",))  # type: ignore[arg-type]


def wait_until(what: Callable[[], bool], seconds: float, message: str) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, message
        time.sleep(0.05)


def contents(pair: Pair) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Both sides in the CRM's terms, contacts under their customer's name."""
    crm = pair.rows(
        "crm",
        "SELECT a.name, a.city, a.code, c.name FROM crm.account a LEFT JOIN crm.contact c ON c.account_id = a.id ORDER BY 1, 4",
    )
    erp = pair.rows(
        "erp",
        "SELECT a.company, a.town, a.code, c.full_name FROM erp.customer a LEFT JOIN erp.person c ON c.customer_no = a.no ORDER BY 1, 4",
    )
    return sorted(crm), sorted(erp)


def check_equal(pair: Pair, users: Users) -> None:
    crm, erp = contents(pair)
    names = [row[0] for row in crm]
    assert len(names) == len(set(names)), "a customer is there twice"
    assert users.acknowledged <= set(names), "a customer is missing"
    assert all(row[0] == row[3] for row in crm), "a contact is missing or with the wrong customer"
    assert crm == erp
    assert pair.parked() == []


def test_killed_at_random_moments_under_load(server: Server, tmp_path: Path) -> None:
    r = random.Random(1)
    with linked(server, tmp_path, "kill", CRM, ERP, LINKS) as pair:
        with Users(pair) as users:
            for _ in range(KILLS):
                started = running(tmp_path)
                with daemon(pair, tmp_path) as process:
                    wait_until(lambda started=started: running(tmp_path) > started, 20, "the daemon does not start")  # type: ignore[misc]
                    time.sleep(r.uniform(0, 0.7))  # the random moment itself, not a wait for something
                    assert process.poll() is None, (tmp_path / "daemon.log").read_text()[-2000:]
        with daemon(pair, tmp_path):
            wait_until(lambda: contents(pair)[0] == contents(pair)[1], 60, "the two sides do not become equal")
        pair.settle()
        check_equal(pair, users)


def test_sigterm_stops_within_seconds(server: Server, tmp_path: Path) -> None:
    with linked(server, tmp_path, "term", CRM, ERP, LINKS) as pair, Users(pair), daemon(pair, tmp_path) as process:
        wait_until(lambda: bool(pair.rows("erp", "SELECT FROM erp.customer WHERE company LIKE 'crm-%'")), 20, "nothing arrives")
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_servers_restarted_while_it_runs(installation: Installation, tmp_path: Path, mode: str) -> None:
    with Server(installation) as own, linked(own, tmp_path, "restart", CRM, ERP, LINKS) as pair:
        with Users(pair) as users, daemon(pair, tmp_path) as process:
            wait_until(lambda: running(tmp_path) > 0, 30, "the daemon does not run")
            for _ in range(2):
                made = sum(users.made.values())
                own.restart(mode)  # type: ignore[arg-type]
                wait_until(lambda made=made: sum(users.made.values()) > made + 20, 30, "users stand still")  # type: ignore[misc]
            assert process.poll() is None, (tmp_path / "daemon.log").read_text()[-2000:]
        pair.crm = psycopg.connect(pair.environ["CRM_DSN"], autocommit=True)
        pair.erp = psycopg.connect(pair.environ["ERP_DSN"], autocommit=True)
        with daemon(pair, tmp_path):
            wait_until(lambda: contents(pair)[0] == contents(pair)[1], 60, "the two sides do not become equal")
        pair.settle()
        check_equal(pair, users)

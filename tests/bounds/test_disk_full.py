"""A disk is full, of the target's tables or of the source's log: the flow waits and says so, nothing is lost or parked, the other
way goes on, and when there is room again so does the flow, by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from replicator.demo.installations import server_account
from replicator.demo.places import give, temporary_folder
from replicator.demo.servers import Installation, Server
from tests.conftest import FAST
from tests.two_way.pair_of_nodes import Pair, linked
from tests.two_way.test_kill import daemon, running, wait_until

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id bigserial PRIMARY KEY, name text, note text);
CREATE TABLE crm.remark (id bigserial PRIMARY KEY, text text);
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.customer (no bigserial PRIMARY KEY, company text, note text){place};
CREATE TABLE erp.remark (no bigserial PRIMARY KEY, text text);
"""
LINKS = {
    "customer": """
link: customer
crm: {table: crm.account, key: id}
erp: {table: erp.customer, key: no}
fields:
  - {crm: name, erp: company}
  - {crm: note, erp: note}
""",
    "remark": """
link: remark
crm: {table: crm.remark, key: id}
erp: {table: erp.remark, key: no}
fields:
  - {crm: text, erp: text}
""",
}
FULL = "No space left on device"


class Disk:
    """A small one that can be filled up to the last byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                if file.write(bytes(4096)) < 4096:
                    break

    def free(self) -> None:
        self._ballast.unlink()


@contextmanager
def disk(megabytes: int) -> Iterator[Disk]:
    account, folder = server_account(), temporary_folder(server_account())
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(folder)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            pytest.skip(f"a small disk of one's own needs the right to mount: {answer.stderr.strip()}")
        try:
            data = folder / "data"
            data.mkdir()
            give(account, data)
            yield Disk(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        os.rmdir(folder)


def logged(folder: Path, *words: str) -> bool:
    return any(all(word in line for word in words) for line in (folder / "daemon.log").read_text().splitlines())


def test_of_the_target(installation: Installation, tmp_path: Path) -> None:
    with disk(16) as small, Server(installation, FAST) as own:
        with psycopg.connect(own.dsn(), autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{small.folder / 'data'}'")  # type: ignore[call-overload]
        with linked(own, tmp_path, "full", CRM, ERP.format(place=" TABLESPACE small"), LINKS) as pair:
            with daemon(pair, tmp_path) as process:
                pair.crm.execute("INSERT INTO crm.account (name) VALUES ('before')")
                arrives(pair, "erp", "SELECT company FROM erp.customer", ["before"])
                small.fill()
                pair.crm.execute(
                    "INSERT INTO crm.account (name, note) SELECT 'n' || i, repeat('x', 1000) FROM generate_series(1, 1000) i"
                )
                wait_until(lambda: logged(tmp_path, "crm_to_erp waits", "SQLSTATE 53100"), 30, "the fault is not met")
                assert logged(tmp_path, "crm_to_erp waits", FULL, "make room")
                # The other way goes on, and what follows takes its place behind what waits.
                pair.erp.execute("INSERT INTO erp.remark (text) VALUES ('meanwhile')")
                arrives(pair, "crm", "SELECT text FROM crm.remark", ["meanwhile"])
                pair.crm.execute("UPDATE crm.account SET name = 'after' WHERE name = 'n7'")
                pair.crm.execute("DELETE FROM crm.account WHERE name = 'n8'")
                assert pair.rows("erp", "SELECT count(*) FROM erp.customer") == [(1,)]
                assert pair.parked() == []
                small.free()
                both = "SELECT count(*), count(*) FILTER (WHERE {name} = 'after') FROM {table}"
                found = both.format(name="company", table="erp.customer")
                wait_until(lambda: pair.rows("erp", found) == [(1000, 1)], 60, "it does not go on by itself")
                assert pair.rows("crm", both.format(name="name", table="crm.account")) == [(1000, 1)]
                wait_until(lambda: logged(tmp_path, "crm_to_erp goes on"), 10, "and does not say so")
                assert process.poll() is None
            assert running(tmp_path) == 1
            assert pair.parked() == []
            assert pair.conflicts() == []
            pair.erp.execute("DROP SCHEMA erp CASCADE")


def test_of_the_source(installation: Installation, tmp_path: Path) -> None:
    """Its log cannot be written any more: the server itself goes down. What users were told is committed arrives."""
    account = server_account()
    settings = {**FAST, "fsync": "on", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    with disk(96) as small, Server(installation, settings) as own, Server(installation, FAST) as other:
        own.stop()
        shutil.copytree(own.data / "pg_wal", small.folder / "data", dirs_exist_ok=True)
        for path in (small.folder / "data").rglob("*"):
            give(account, path)
        (small.folder / "data").chmod(0o700)
        shutil.rmtree(own.data / "pg_wal")
        (own.data / "pg_wal").symlink_to(small.folder / "data")
        own.start()
        with linked(own, tmp_path, "full", CRM, ERP.format(place=""), LINKS, other) as pair:
            with daemon(pair, tmp_path) as process:
                pair.crm.execute("INSERT INTO crm.account (name) VALUES ('0')")
                arrives(pair, "erp", "SELECT company FROM erp.customer", ["0"])
                pair.erp.execute("INSERT INTO erp.remark (text) VALUES ('before')")
                arrives(pair, "crm", "SELECT text FROM crm.remark", ["before"])
                small.fill()
                done = until_it_fails(pair.crm)
                wait_until(lambda: FULL in own.log_tail(200), 30, f"the fault is not met\n{own.log_tail()}")
                wait_until(lambda: logged(tmp_path, "crm", "trying again"), 30, "nothing is said")
                pair.erp.execute("INSERT INTO erp.remark (text) VALUES ('meanwhile')")
                own.stop("immediate")
                small.free()
                own.start()
                pair.crm = psycopg.connect(pair.environ["CRM_DSN"], autocommit=True)
                kept = [int(name) for (name,) in pair.rows("crm", "SELECT name FROM crm.account")]
                assert set(kept) >= set(range(done + 1))
                found = "SELECT company::int FROM erp.customer ORDER BY 1"
                arrives(pair, "erp", found, sorted(kept))
                arrives(pair, "crm", "SELECT text FROM crm.remark ORDER BY 1", ["before", "meanwhile"])
                assert process.poll() is None
            assert pair.parked() == []
            assert pair.conflicts() == []


def until_it_fails(user: psycopg.Connection) -> int:
    """How many commits a user was told of."""
    done = 0
    try:
        while done < 300:
            user.execute("INSERT INTO crm.account (name) VALUES (%s)", (str(done + 1),))
            done += 1
            user.execute("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000))")
    except psycopg.OperationalError:
        return done
    raise AssertionError("the log has room for 300 MB")


def arrives(pair: Pair, node: str, sql: str, wanted: list[object]) -> None:
    wait_until(lambda: [row[0] for row in pair.rows(node, sql)] == wanted, 60, f"{node} has not what is wanted: {sql}")

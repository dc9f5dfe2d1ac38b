"""The daemon's memory does not follow the size of what users do: one transaction of any number of rows, large values, a long
backlog, many changes that wait.

`REPLICATOR_BOUNDS_ROWS` rows (2,000,000 for the whole) and values of `REPLICATOR_BOUNDS_MB` (50).
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from replicator.demo.servers import Installation, Server
from tests.bounds.taken import peak_mb
from tests.conftest import FAST
from tests.two_way.pair_of_nodes import Pair, linked
from tests.two_way.test_kill import daemon, wait_until

ROWS = int(os.environ.get("REPLICATOR_BOUNDS_ROWS", "200000"))
MB = int(os.environ.get("REPLICATOR_BOUNDS_MB", "20"))
PEAK_MB = 200
PEAK_MB_OF_PARTS = 116 + ROWS // 50_000  # in small batches; of each edit some bytes stay until it has come back
SECONDS = 60 + ROWS / 1000

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.firm (id bigserial PRIMARY KEY, name text, note text);
CREATE TABLE crm.person (id bigserial PRIMARY KEY, firm bigint, name text);
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.firm (no bigserial PRIMARY KEY, title text, remark text);
CREATE TABLE erp.person (no bigserial PRIMARY KEY, firm_no bigint REFERENCES erp.firm, title text);
"""
FIRM = """
link: firm
crm: {table: crm.firm, key: id}
erp: {table: erp.firm, key: no}
fields:
  - {crm: name, erp: title}
  - {crm: note, erp: remark}
"""
PERSON = """
link: person
crm: {table: crm.person, key: id}
erp: {table: erp.person, key: no}
fields:
  - {crm: firm, erp: firm_no, link: firm}
  - {crm: name, erp: title}
"""
LINKS = {"both ways": {"firm": FIRM, "person": PERSON}, "one way": {"firm": FIRM.replace("fields:", "flow: crm -> erp\nfields:")}}
COUNTED = "SELECT count(*) FROM erp.firm"


def counts(pair: Pair, sql: str, wanted: int) -> None:
    wait_until(lambda: pair.rows("erp", sql) == [(wanted,)], SECONDS, f"{wanted} is not what this finds on erp: {sql}")


def in_small_batches(pair: Pair, folder: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Else a batch is all there is, or most of it."""
    config = folder / "replicator.yaml"
    config.write_text(config.read_text().replace("batch_rows: 20000", "batch_rows: 2000"))
    return daemon(pair, folder)


@pytest.mark.parametrize("way", LINKS)
def test_one_transaction_of_very_many_rows(server: Server, tmp_path: Path, way: str) -> None:
    with linked(server, tmp_path, "bounds", CRM, ERP, LINKS[way]) as pair, in_small_batches(pair, tmp_path) as running:
        pair.crm.execute("INSERT INTO crm.firm (name) SELECT 'name ' || i FROM generate_series(1, %s) i", (ROWS,))
        counts(pair, COUNTED, ROWS)
        pair.crm.execute("UPDATE crm.firm SET name = name || '!'")
        counts(pair, f"{COUNTED} WHERE title LIKE '%!'", ROWS)
        assert peak_mb(running.pid) < PEAK_MB_OF_PARTS
        if way == "both ways":  # all pairs are known on both sides, and the way back goes by them
            pair.erp.execute("UPDATE erp.firm SET title = title || '?' WHERE no % 1000 = 0")
            found = "SELECT count(*) FROM crm.firm WHERE name LIKE '%!?'"
            wait_until(lambda: pair.rows("crm", found) == [(ROWS // 1000,)], SECONDS, "the way back")
        assert peak_mb(running.pid) < PEAK_MB_OF_PARTS


def test_told_to_stop_in_the_middle_of_a_large_transaction(server: Server, tmp_path: Path) -> None:
    """It does not write it to its end first; whoever runs next does, from its beginning."""
    with linked(server, tmp_path, "bounds", CRM, ERP, LINKS["both ways"]) as pair:
        slow = (
            "CREATE FUNCTION erp.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$"
        )
        pair.erp.execute(slow)
        pair.erp.execute("CREATE TRIGGER slow AFTER INSERT ON erp.firm EXECUTE FUNCTION erp.slow()")
        pair.erp.execute("ALTER TABLE erp.firm ENABLE ALWAYS TRIGGER slow")
        with in_small_batches(pair, tmp_path) as running:
            pair.crm.execute("INSERT INTO crm.firm (name) SELECT 'name ' || i FROM generate_series(1, 200000) i")
            minted = "SELECT last_value > 20000 FROM erp.firm_no_seq"
            wait_until(lambda: pair.rows("erp", minted) == [(True,)], SECONDS, "it is not being written")
            started = time.monotonic()
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0
            assert time.monotonic() - started < 5
            assert pair.rows("erp", COUNTED) == [(0,)]
        pair.erp.execute("DROP TRIGGER slow ON erp.firm")
        with in_small_batches(pair, tmp_path):
            counts(pair, COUNTED, 200_000)


def test_a_backlog_of_many_transactions(server: Server, tmp_path: Path) -> None:
    with linked(server, tmp_path, "bounds", CRM, ERP, LINKS["both ways"]) as pair:
        pair.crm.execute(
            f"DO $$ BEGIN FOR k IN 1..{ROWS // 20} LOOP"
            " INSERT INTO crm.firm (name) SELECT 'name ' || i FROM generate_series(1, 20) i; COMMIT; END LOOP; END $$"
        )
        with daemon(pair, tmp_path) as running:
            counts(pair, COUNTED, ROWS // 20 * 20)
            assert peak_mb(running.pid) < PEAK_MB


def test_large_values(server: Server, tmp_path: Path) -> None:
    """Of which several do not fit into the memory that there may be. Some bytes of each have to be escaped on the way."""
    count, large = 400 // MB, MB * 65536
    with linked(server, tmp_path, "bounds", CRM, ERP, LINKS["both ways"]) as pair, daemon(pair, tmp_path) as running:
        pair.crm.execute(
            "INSERT INTO crm.firm (name, note) SELECT 'n' || i, repeat('0123456789abcdef', %s) FROM generate_series(1, %s) i",
            (large, count),
        )
        counts(pair, COUNTED, count)
        pair.crm.execute("UPDATE crm.firm SET name = name || '!'")
        counts(pair, f"{COUNTED} WHERE title LIKE '%!'", count)
        assert peak_mb(running.pid) < 250
        value = "repeat(E'01234567\\\\abcd\\te\\n', %s)"
        pair.crm.execute(f"UPDATE crm.firm SET note = {value}", (large,))  # type: ignore[call-overload]
        same = f"SELECT count(*) FROM erp.firm WHERE md5(remark) = (SELECT md5({value % large}))"
        counts(pair, same, count)
        # The old value travels beside the new one: libpq's buffer, which doubles, the message and its values.
        assert peak_mb(running.pid) < 400


def test_very_many_changes_that_wait_for_one_record(server: Server, tmp_path: Path) -> None:
    with linked(server, tmp_path, "bounds", CRM, ERP, LINKS["both ways"]) as pair, in_small_batches(pair, tmp_path) as running:
        rows = ROWS // 5
        pair.crm.execute("INSERT INTO crm.person (firm, name) SELECT 1, 'name ' || i FROM generate_series(1, %s) i", (rows,))
        counts(pair, "SELECT count(*) FROM replicator.parked WHERE reason = 'waits'", rows)
        pair.crm.execute("UPDATE crm.person SET name = 'changed' WHERE id = 1")
        pair.crm.execute("INSERT INTO crm.firm (id) VALUES (1)")
        counts(pair, "SELECT count(*) FROM erp.person", rows)
        assert pair.rows("erp", "SELECT title FROM erp.person WHERE title NOT LIKE 'name %'") == [("changed",)]
        assert pair.parked() == []
        # What is known of each, so that what follows keeps its place, is in memory: 1 kB.
        assert peak_mb(running.pid) < 120 + rows // 1000


def test_a_row_for_which_there_is_no_memory(server: Server, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "replicator"), "-c", str(tmp_path / "replicator.yaml"), "run"]
    most = 900_000_000  # of addresses, which is more than of memory

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    with linked(server, tmp_path, "bounds", CRM, ERP, LINKS["both ways"]) as pair:
        pair.crm.execute("INSERT INTO crm.firm (note) VALUES (repeat('0123456789abcdef', 16 * 1000 * 1000))")
        result = subprocess.run(
            command,
            env={**os.environ, **pair.environ},
            preexec_fn=little,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 3, result.stderr
        assert "crm: a row" in result.stderr
        assert "is more than this process has memory for" in result.stderr
        assert "Traceback" not in result.stderr
        assert pair.rows("erp", COUNTED) == [(0,)]
        with daemon(pair, tmp_path):  # what has enough goes on from there
            counts(pair, COUNTED, 1)


def test_the_other_stream_stays_while_a_large_transaction_is_written(installation: Installation, tmp_path: Path) -> None:
    """For longer than the servers wait for a sign of life (a minute, by default)."""
    slow = "SET session_replication_role = replica; CREATE FUNCTION erp.slow() RETURNS trigger LANGUAGE plpgsql AS"
    slow += " $$ BEGIN PERFORM pg_sleep(0.15); RETURN NULL; END $$; CREATE TRIGGER slow AFTER INSERT ON erp.firm EXECUTE FUNCTION erp.slow();"
    with (
        Server(installation, {**FAST, "wal_sender_timeout": "6s"}) as own,
        linked(own, tmp_path, "bounds", CRM, ERP, LINKS["both ways"]) as pair,
        in_small_batches(pair, tmp_path) as running,
    ):
        pair.erp.execute(slow)  # type: ignore[call-overload]
        pair.crm.execute("INSERT INTO crm.firm (name) SELECT 'name ' || i FROM generate_series(1, 200000) i")
        started = time.monotonic()
        counts(pair, COUNTED, 200_000)
        assert time.monotonic() - started > 6
        pair.erp.execute("UPDATE erp.firm SET title = 'back' WHERE no = 1")
        found = "SELECT count(*) FROM crm.firm WHERE name = 'back'"
        wait_until(lambda: pair.rows("crm", found) == [(1,)], SECONDS, "the way back")
        assert running.poll() is None
        assert "connection lost" not in (tmp_path / "daemon.log").read_text()

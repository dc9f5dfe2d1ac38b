"""A backfill under live traffic on both sides, killed with SIGKILL time and again: resumed, complete, equal."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import psycopg

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import linked
from tests.two_way.test_kill import CRM, ERP, LINKS, Users

KILLS = int(os.environ.get("REPLICATOR_KILLS", "5"))
RECORDS = int(os.environ.get("REPLICATOR_RECORDS", "8000"))

FULL = """
INSERT INTO crm.account (name, city) SELECT 'old-' || i, 'c' FROM generate_series(1, {records}) i;
INSERT INTO crm.contact (account_id, name) SELECT id, 'of ' || name FROM crm.account WHERE name LIKE 'old-%0';
"""
ACCOUNTS = "SELECT name, city, code FROM crm.account ORDER BY 1"
CUSTOMERS = "SELECT company, town, code FROM erp.customer ORDER BY 1"


def test_killed_and_resumed_under_load(server: Server, tmp_path: Path) -> None:
    with linked(server, tmp_path, "killed_backfill", CRM + FULL.format(records=RECORDS), ERP, LINKS) as pair:
        environ = {**os.environ, **pair.environ}
        command = [str(Path(sys.executable).parent / "replicator"), "-c", str(tmp_path / "replicator.yaml")]
        backfill = [*command, "backfill", "--from", "crm"]
        log = (tmp_path / "backfill.log").open("ab")
        progress = "SELECT COALESCE(sum(records), 0) FROM replicator.backfill"
        reached = []
        with Users(pair):
            for number in range(KILLS):
                process = subprocess.Popen([*backfill, "--rate", str(RECORDS // 4)], env=environ, stdout=log, stderr=log)
                goal = RECORDS * (number + 1) // (KILLS + 3) - random.Random(number).randint(0, 500)
                while int(pair.rows("erp", progress)[0][0]) < goal:
                    assert process.poll() is None, (tmp_path / "backfill.log").read_text()
                process.kill()
                process.wait()
                reached.append(int(pair.rows("erp", progress)[0][0]))
            assert reached == sorted(reached)
            done = subprocess.run([*backfill, "--json"], env=environ, capture_output=True, text=True, check=False, timeout=120)
            assert done.returncode == 0, done.stdout + done.stderr
        subprocess.run([*command, "run", "--until-idle", "1"], env=environ, check=True, timeout=120, stdout=log, stderr=log)
        log.close()
        assert pair.parked() == []
        accounts = pair.rows("crm", ACCOUNTS)
        assert pair.rows("erp", CUSTOMERS) == accounts
        assert len({name for name, *_ in accounts}) == len(accounts)
        assert sum(name.startswith("old-") for name, *_ in accounts) > 0.9 * RECORDS
        people = _people(pair.crm, "crm.contact c JOIN crm.account a ON a.id = c.account_id", "a.name, c.name")
        assert _people(pair.erp, "erp.person c JOIN erp.customer a ON a.no = c.customer_no", "a.company, c.full_name") == people


def _people(connection: psycopg.Connection, table: str, columns: str) -> list[tuple[str, str]]:
    return connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2").fetchall()  # type: ignore[arg-type]

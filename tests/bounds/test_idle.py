"""A daemon on a pair where nobody works: next to nothing is done and nothing grows, neither in the process nor on the servers, while
other databases of these servers are busy.

`REPLICATOR_IDLE_SECONDS`: for how long (3600 for the whole).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psycopg

from replicator.demo.servers import Installation, Server
from tests.bounds.taken import cpu_seconds, memory_mb
from tests.conftest import FAST
from tests.two_way.pair_of_nodes import Pair, linked
from tests.two_way.test_kill import CRM, ERP, LINKS, daemon, wait_until

SECONDS = float(os.environ.get("REPLICATOR_IDLE_SECONDS", "20"))
WARM_SECONDS = 8.0  # what is done once, such as preparing statements, is done by then
SEGMENT = 16 * 1024 * 1024

KEPT = """
    SELECT slot_name, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
           pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint
    FROM pg_replication_slots ORDER BY 1"""
STATE = """
    SELECT COALESCE(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
    WHERE relnamespace = 'replicator'::regnamespace AND relkind = 'r'"""


def test_an_idle_pair(installation: Installation, tmp_path: Path) -> None:
    with Server(installation, FAST) as own, linked(own, tmp_path, "idle", CRM, ERP, LINKS) as pair:
        busy = psycopg.connect(own.create_database("busy"), autocommit=True)
        busy.execute("CREATE TABLE filler (line text)")
        with busy, daemon(pair, tmp_path) as process:
            pair.crm.execute("INSERT INTO crm.account (name) VALUES ('a')")
            wait_until(lambda: bool(pair.rows("erp", "SELECT FROM erp.customer")), 30, "nothing arrives")
            time.sleep(WARM_SECONDS)
            memory, cpu = memory_mb(process.pid), cpu_seconds(process.pid)
            committed, state = transactions(busy), sizes(pair)
            began = time.monotonic()
            while time.monotonic() < began + SECONDS:
                busy.execute("INSERT INTO filler SELECT repeat('x', 100) FROM generate_series(1, 5000)")
                time.sleep(0.25)
            minutes = (time.monotonic() - began) / 60
            cpu, committed = (cpu_seconds(process.pid) - cpu) / minutes, (transactions(busy) - committed) / minutes
            grown = memory_mb(process.pid) - memory
            figures = f"{cpu:.2f} s of CPU and {committed:.0f} transactions a minute, {grown:.1f} MB more"
            (tmp_path / "figures").write_text(figures)  # for whoever runs it for an hour
            assert cpu < 3, figures
            assert committed < 1200, figures  # mostly: what people may want, asked every second
            assert grown < 5, figures
            more = [now - before for now, before in zip(sizes(pair), state, strict=True)]
            assert max(more) < 130_000, more  # a vacuum's own maps
            busy.execute("SELECT pg_logical_emit_message(false, 'filler', 'x'), pg_switch_wal()")
            wait_until(
                lambda: all(max(kept, 0) < SEGMENT and behind < SEGMENT for _, behind, kept in busy.execute(KEPT).fetchall()),
                30,
                f"WAL of other databases is kept: {busy.execute(KEPT).fetchall()}",
            )
            assert process.poll() is None


def sizes(pair: Pair) -> list[int]:
    """Bytes of the replicator's own tables on both nodes."""
    return [int(pair.rows(node, STATE)[0][0]) for node in ("crm", "erp")]


def transactions(connection: psycopg.Connection) -> int:
    """Of the pair's databases, all that were ever begun there."""
    row = connection.execute(
        "SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database WHERE datname IN ('idle_crm', 'idle_erp')"
    ).fetchone()
    assert row is not None
    return int(row[0])

"""`run --metrics`: what a Prometheus reads, while all is well and while it is not."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest
from replicator_cli.run import endpoint

from .conftest import Site
from .history_site import conflict, insert, prepare, until, waiting
from .serving import scrape, served


def test_figures(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(site)
    waiting(site)
    conflict(site, "erp", kind="insert_exists")
    insert(site, "erp", "parked", flow="crm_to_erp", link="customer", key=["x"], reason="refused", message="no", payload="{}")
    site.db("crm").execute("INSERT INTO crm.account (name) VALUES ('ACME'), ('Beta')")
    with served(site, monkeypatch) as port:
        until(lambda: scrape(port).get(("rows_written_total", "crm_to_erp", "insert")) == 2)
        until(lambda: scrape(port).get(("state_rows", "customer", "erp", "crosswalk")) == 2)
        until(lambda: scrape(port).get(("slot_active", "crm_to_erp")) == 1)
        found = scrape(port)
        locks = site.rows(
            "crm",
            "SELECT a.state, l.mode FROM pg_stat_activity a LEFT JOIN pg_locks l ON l.pid = a.pid"
            " WHERE a.application_name = 'replicator metrics' AND a.state <> 'active'",
        )
    assert locks in ([], [("idle", None)])
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    told = {re.sub("_(count|sum|bucket)$", "", name) for name, *_ in found}
    assert [name for name in told if f"`replicator_{name}`" not in readme and f"`_{name}`" not in readme] == []
    expected = {
        ("node_up", "crm"): 1, ("node_up", "erp"): 1,
        ("flow_connected", "crm_to_erp"): 1, ("flow_connected", "erp_to_crm"): 1, ("flow_blocked", "crm_to_erp"): 0,
        ("transactions_total", "crm_to_erp"): 1, ("changes_total", "crm_to_erp"): 2,
        ("conflicts", "crm_to_erp", "insert_exists", "customer"): 1,
        ("conflicts", "erp_to_crm", "update_origin_differs", "customer"): 1,
        ("conflicts_open", "customer"): 1, ("conflicts_open", "line"): 0,
        ("parked", "crm_to_erp", "refused"): 1,
        ("state_rows", "", "crm", "conflict"): 1, ("state_rows", "customer", "erp", "ledger"): 0,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected
    assert found["batches_total", "crm_to_erp"] >= 1
    assert 0 < found["lag_seconds", "crm_to_erp"] < 60
    assert 0 <= found["lag_bytes", "crm_to_erp"] < 1_000_000
    assert found["slot_kept_bytes", "erp_to_crm"] >= 0
    assert abs(found["clock_distance_seconds", "crm", "erp"]) < 0.1
    assert 0 <= found["sample_age_seconds", "crm"] < 5
    assert found["parked_oldest_seconds", "crm_to_erp", "refused"] >= 0
    assert found["slot_state", "crm_to_erp", "reserved"] == 1
    assert found["slot_state", "crm_to_erp", "lost"] == 0
    assert found["loop_still_seconds", "crm-erp"] < 5
    assert found["batch_changes_count", "crm_to_erp"] == found["batches_total", "crm_to_erp"]
    assert found["batch_changes_sum", "crm_to_erp"] == 2
    assert found["batch_changes_bucket", "crm_to_erp", "1"] < found["batch_changes_bucket", "crm_to_erp", "10"]
    assert found["batch_changes_bucket", "crm_to_erp", "+Inf"] == found["batches_total", "crm_to_erp"]
    steps = {key[2]: seconds for key, seconds in found.items() if key[:2] == ("step_seconds_total", "crm_to_erp")}
    assert set(steps) == {"read", "prepare", "copy", "write", "commit", "mirror"}
    assert min(steps.values()) > 0
    assert sum(steps.values()) < 60


def test_a_node_away(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ready.instead("erp", port="1")
    with served(ready, monkeypatch) as port:
        until(lambda: scrape(port)["node_up", "crm"] == 1)
        ready.db("crm").execute("INSERT INTO crm.account (name) SELECT 'n' || i FROM generate_series(1, 50) i")
        until(lambda: scrape(port)["lag_bytes", "crm_to_erp"] > 1000)
        found = scrape(port)
    assert found["node_up", "erp"] == 0
    assert found["slot_active", "crm_to_erp"] == 0
    assert found["flow_connected", "crm_to_erp"] == found["flow_connected", "erp_to_crm"] == 0
    assert not [key for key in found if key[0] == "clock_distance_seconds"]


def test_a_table_that_is_locked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds a lock is not waited for at a scrape."""
    prepare(site)
    with served(site, monkeypatch) as port:
        until(lambda: scrape(port).get(("node_up", "crm")) == 1)
        with site.db("crm").transaction():
            site.db("crm").execute("LOCK TABLE replicator.conflict IN ACCESS EXCLUSIVE MODE")
            until(lambda: scrape(port)["node_up", "crm"] == 0)
            started = time.monotonic()
            assert scrape(port)["node_up", "erp"] == 1
            assert time.monotonic() - started < 1
        until(lambda: scrape(port)["node_up", "crm"] == 1)


def test_the_option(ready: Site) -> None:
    ready.db("crm").execute("INSERT INTO crm.account (name) VALUES ('ACME')")
    result = ready("run", "--until-idle", "0.5", "--metrics", "127.0.0.1:0")
    assert result.code == 0, result.err
    assert result.one_line("metrics: http://127.0.0.1:")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = ready("run", "--once", "--metrics", str(taken.getsockname()[1]))
    assert busy.code == 2
    assert "Address already in use" in busy.one_line("metrics cannot be served on 127.0.0.1:")
    for wrong in ("host", "host:port", "1:2:3", "70000", ""):
        assert ready("run", "--metrics", wrong).code == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9187", ("127.0.0.1", 9187)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:9187", ("::1", 9187)),
        ("db.local:80", ("db.local", 80)),
    ],
)
def test_places(text: str, value: tuple[str, int]) -> None:
    assert endpoint(text) == value


def test_a_slot_near_its_limit_and_one_that_is_gone(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    db = ready.db("crm")
    ready.instead("erp", port="1")  # so that nobody reads the slot
    db.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'")
    db.execute("SELECT pg_reload_conf()")
    try:
        with served(ready, monkeypatch) as port:
            until(lambda: 0 < scrape(port).get(("slot_safe_bytes", "crm_to_erp"), 0) < 2**31)
            db.execute("SELECT pg_drop_replication_slot('replicator_crm_to_erp')")
            until(lambda: scrape(port)["slot_state", "crm_to_erp", "missing"] == 1)
            assert scrape(port)["slot_state", "crm_to_erp", "reserved"] == 0
    finally:
        db.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
        db.execute("SELECT pg_reload_conf()")

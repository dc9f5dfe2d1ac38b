"""`/healthz` and `/readyz`: what a service manager and a load balancer are told."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from replicator.errors import ReplicatorError
from replicator.mapping.config import load_config
from replicator.runtime import health
from replicator.runtime.daemon import Daemon

from .conftest import PASSWORD, Site
from .history_site import until
from .serving import asked, scrape, served


def test_all_well_then_a_table_that_is_locked(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    erp = ready.db("erp")
    with served(ready, monkeypatch) as port:
        until(lambda: asked(port, "/readyz") == (200, "ok\n"))
        assert asked(port, "/healthz") == (200, "ok\n")
        assert asked(port, "/")[0] == asked(port, "/metrics/x")[0] == 404
        with erp.transaction():
            erp.execute("LOCK TABLE replicator.checkpoint IN ACCESS EXCLUSIVE MODE")  # no single change is at fault
            ready.db("crm").execute("INSERT INTO crm.account (name) VALUES ('ACME')")
            until(lambda: asked(port, "/readyz")[0] == 503)
            reason = asked(port, "/readyz")[1]
            assert asked(port, "/healthz")[0] == 200
        until(lambda: asked(port, "/readyz")[0] == 200)
    assert reason.startswith("crm_to_erp: waits: erp: ")
    assert "lock timeout" in reason


def test_a_loop_that_does_not_come_round(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step is in a statement that does not end. It is no failure, so only time tells."""
    (ready.folder / "replicator.yaml").write_text(
        (ready.folder / "replicator.yaml").read_text() + "settings: {lock_timeout_ms: 60000}\n"
    )
    monkeypatch.setattr(health, "STILL_SECONDS", 2.0)
    erp = ready.db("erp")
    with served(ready, monkeypatch) as port:
        until(lambda: asked(port, "/readyz")[0] == 200)
        with erp.transaction():
            erp.execute("LOCK TABLE erp.customer IN ACCESS EXCLUSIVE MODE")
            ready.db("crm").execute("INSERT INTO crm.account (name) VALUES ('ACME')")
            until(lambda: asked(port, "/healthz")[0] == 503)
            assert "crm-erp: no step has begun for " in asked(port, "/healthz")[1]
            assert asked(port, "/readyz")[0] == 503
        until(lambda: asked(port, "/healthz") == (200, "ok\n"))


def test_a_node_away(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ready.instead("erp", port="1")
    with served(ready, monkeypatch) as port:
        until(lambda: "cannot connect" in asked(port, "/readyz")[1])
        code, text = asked(port, "/readyz")
        assert asked(port, "/healthz") == (200, "ok\n")  # to start it again would not help
    assert code == 503
    assert [line.split(":")[0] for line in text.splitlines()] == ["crm_to_erp", "erp_to_crm"]
    assert "erp: cannot connect to 127.0.0.1:1" in text
    assert PASSWORD not in text


def test_a_second_replicator_that_stands_by(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(ready, monkeypatch) as first:
        until(lambda: asked(first, "/readyz")[0] == 200)
        with served(ready, monkeypatch) as second:
            until(lambda: scrape(second)["standby", "crm-erp"] == 1)
            code, text = asked(second, "/readyz")
            assert asked(second, "/healthz") == (200, "ok\n")
        assert scrape(first)["standby", "crm-erp"] == 0
    assert code == 503
    assert text.startswith("crm_to_erp: not connected: standing by: ")


def test_reasons(site: Site) -> None:
    config, _ = load_config(site.folder / "replicator.yaml", site.environ)
    assert config is not None
    daemon = Daemon(config, {})
    assert health.dead(daemon) == []
    assert health.unready(daemon)[0] == "crm_to_erp: not connected: still connecting"
    pair = ("crm", "erp")
    daemon.tried[pair] = time.monotonic() - 10_000
    assert len(health.dead(daemon)) == 1
    daemon.exchanges[pair] = cast(Any, SimpleNamespace(turned=time.monotonic() - health.STILL_SECONDS / 2))
    assert health.dead(daemon) == []
    daemon.failed = ReplicatorError("the slot is gone")
    assert health.dead(daemon) == ["the slot is gone"]

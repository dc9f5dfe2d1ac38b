"""`replicator status`: from the databases alone, and with an exit code that a monitor can use."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import uuid
from typing import Any

import pytest

from replicator.apply.outcome import STEPS
from replicator.runtime import daemon, status

from .conftest import Site
from .history_site import prepare, until, waiting
from .serving import served

WATCH = [sys.executable, "-c", "import sys; from replicator_cli.main import main; sys.exit(main())", "status", "--watch"]


def test_before_init(site: Site) -> None:
    result = site("status")
    assert result.code == 1
    assert "run `replicator init`" in result.one_line("crm_to_erp: S001 not initialised")


def test_after_a_run(ready: Site) -> None:
    ready.db("crm").execute("INSERT INTO crm.account (name) VALUES ('ACME'), ('Beta')")
    assert ready("run", "--once").code == 0
    result = ready("status")
    assert result.code == 0
    assert "inactive" in result.one_line("crm_to_erp")
    assert result.one_line("customer ").split() == ["customer", "2"]
    document = ready("status", "--json").document
    assert document["initialised"] is True
    assert document["pairs"] == {"contact": 0, "customer": 2}
    flow = document["flows"][0]
    assert flow["flow"] == "crm_to_erp"
    assert flow["checkpoint"]["seconds_ago"] < 60
    assert flow["slot"]["state"] == "inactive"
    assert flow["behind_bytes"] >= 0
    assert document["problems"] == []


def test_waiting_is_no_problem_and_refused_is_one(ready: Site) -> None:
    db = ready.db("crm")
    lead, won = uuid.uuid4(), uuid.uuid4()
    db.execute("INSERT INTO crm.account (id, name, stage) VALUES (%s, 'later', 'lead'), (%s, 'now', 'won')", (lead, won))
    db.execute("INSERT INTO crm.contact (account_id, name) VALUES (%s, 'Ann')", (lead,))
    assert ready("run", "--once").code == 0
    parked = ready("status")
    assert parked.code == 0, parked.out
    assert parked.one_line("crm_to_erp", "1 waits")
    db.execute("INSERT INTO crm.contact (account_id, name) VALUES (%s, repeat('too long ', 9))", (won,))
    assert ready("run", "--once").code == 0
    refused = ready("status")
    assert refused.code == 1
    assert "`replicator parked list --on erp --reason refused`" in refused.one_line("S003 1 record is parked: refused")
    assert ready("status", "--json").document["flows"][0]["parked"] == {"refused": 1, "waits": 1}


def test_a_slot_that_is_gone(ready: Site) -> None:
    ready.db("erp").execute("SELECT pg_drop_replication_slot('replicator_erp_to_crm')")
    result = ready("status")
    assert result.code == 1
    assert "may be missing on crm" in result.one_line(
        "erp_to_crm: S002 cannot go on: erp has no replication slot replicator_erp_to_crm"
    )


def test_a_node_away(ready: Site) -> None:
    ready.instead("erp", port="1")
    result = ready("status")
    assert result.code == 3
    assert result.lines("crm_to_erp", "inactive")
    assert result.lines("erp", "cannot connect to 127.0.0.1:1")
    document = ready("status", "--json")
    assert document.code == 3
    assert document.document["unreachable"][0]["code"] == "K050"


def test_what_waits_for_a_person(site: Site) -> None:
    prepare(site)
    assert not site("status").lines("waits for a person")
    waiting(site)
    result = site("status")
    assert result.code == 0
    assert result.one_line("1 conflict waits for a person: `replicator conflicts list --open`")
    flows = {flow["flow"]: flow for flow in site("status", "--json").document["flows"]}
    assert flows["erp_to_crm"]["conflicts"]["open"] == 1
    assert flows["crm_to_erp"]["conflicts"]["open"] == 0


def test_watched_through_a_pipe(ready: Site) -> None:
    """Frame below frame, and a node that goes away does not end it."""
    environ = {**os.environ, **ready.environ}
    with subprocess.Popen(
        [*WATCH, "0.2"], cwd=ready.folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        try:
            assert watching.stdout is not None
            frames = 0
            for line in watching.stdout:
                frames += line.startswith("crm_to_erp")
                if frames == 3:
                    break
        finally:
            watching.send_signal(signal.SIGINT)
            _, err = watching.communicate(timeout=20)
    assert watching.returncode == 0
    assert err == ""


def test_watched_on_a_terminal(ready: Site) -> None:
    ready.instead("erp", port="1")
    ours, theirs = pty.openpty()
    environ = {**os.environ, **ready.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(WATCH, cwd=ready.folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as watching:
        seen = b""

        def drawn_twice() -> bool:
            nonlocal seen
            seen += os.read(ours, 65536)
            return seen.count(b"crm_to_erp") >= 2 and seen.count(b"cannot connect to 127.0.0.1:1") >= 2

        try:
            until(drawn_twice)
        finally:
            watching.send_signal(signal.SIGINT)
            os.close(theirs)
            while watching.poll() is None:
                try:
                    os.read(ours, 65536)
                except OSError:  # the other end is closed
                    break
            watching.wait(20)
            os.close(ours)
    assert watching.returncode == 0
    assert b"\x1b[1A" in seen  # the second stands where the first one stood
    assert b"hush7hush" not in seen


def test_what_cannot_be_watched(ready: Site) -> None:
    assert ready("status", "--watch", "--json").code == 2
    assert ready("status", "--watch", "0").code == 2
    assert ready("status", "5").code == 2


def test_where_the_time_goes(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "TIDY_SECONDS", 0.3)
    with served(ready, monkeypatch):

        def pace() -> Any:
            ready.db("crm").execute("INSERT INTO crm.account (name) SELECT 'n' || i FROM generate_series(1, 20) i")
            return ready("status", "--json").document["flows"][0]["pace"]

        until(lambda: pace() is not None)
        found = pace()
        assert found["changes"] >= 20
        assert found["seconds"] > 0.2
        assert found["shares"].keys() == set(STEPS)
        assert min(found["shares"].values()) >= 0
        assert 0 < sum(found["shares"].values()) < 1.05
        headed = [line for line in ready("status").out.splitlines() if line.startswith("lately")]
        assert headed[0].split() == ["lately", "changes/s", *STEPS, "waiting"]
    monkeypatch.setattr(status, "LATELY_SECONDS", 0.0)
    assert ready("status", "--json").document["flows"][0]["pace"] is None  # it speaks of lately only

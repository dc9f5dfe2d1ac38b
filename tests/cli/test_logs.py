"""What a run writes: objects that a collector can take apart, and never a secret or a cell value."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from .conftest import PASSWORD, Result, Site

REPLICATOR = [sys.executable, "-c", "import sys; from replicator_cli.main import main; sys.exit(main())"]
WRONG = "wr0ng7hush"
TOO_LONG = "confidential-and-much-too-long"


def events(result: Result) -> list[dict[str, Any]]:
    """Every line must be one."""
    return [json.loads(line) for line in result.err.splitlines()]


def event(result: Result, words: str) -> dict[str, Any]:
    found = [one for one in events(result) if words in one["message"]]
    assert len(found) == 1, result.err
    return found[0]


def test_objects_say_what_is_known(ready: Site) -> None:
    won = uuid.uuid4()
    ready.db("crm").execute("INSERT INTO crm.account (id, name) VALUES (%s, 'ACME')", (won,))
    ready.db("crm").execute("INSERT INTO crm.contact (account_id, name) VALUES (%s, %s)", (won, TOO_LONG))
    result = ready("run", "--once", "--log-format", "json")
    assert result.code == 0, result.err
    assert all({"time", "level", "message"} <= one.keys() for one in events(result))
    assert event(result, ": running")["nodes"] == ["crm", "erp"]
    parked = event(result, "1 parked of contact: refused")
    known = {"level": "warning", "flow": "crm_to_erp", "link": "contact", "reason": "refused", "sqlstate": "22001", "count": 1}
    assert {name: parked[name] for name in known} == known
    assert event(result, "stopped: crm_to_erp")["transactions"] == 2
    assert TOO_LONG not in result.out + result.err


def test_the_end_of_a_run_is_an_object_too(ready: Site) -> None:
    ready.db("crm").execute("SELECT pg_drop_replication_slot('replicator_crm_to_erp')")
    gone = ready("run", "--until-idle", "1", "--log-format", "json")
    assert gone.code == 3
    said = event(gone, "has no replication slot")
    known = {"level": "error", "flow": "crm_to_erp", "node": "crm", "slot": "replicator_crm_to_erp"}
    assert {name: said[name] for name in known} == known
    assert "init --renew crm_to_erp" in said["hint"]
    (ready.folder / "links" / "contact.yaml").write_text("link: contact\n")
    wrong = ready("run", "--once", "--log-format", "json")
    assert wrong.code == 2
    assert {finding["path"] for finding in event(wrong, "the configuration has")["findings"]} == {"links/contact.yaml"}


def test_from_the_environment(ready: Site) -> None:
    ready.monkeypatch.setenv("REPLICATOR_LOG_FORMAT", "json")
    assert events(ready("run", "--once"))
    assert "INFO stopped" in ready("run", "--once", "--log-format", "human").err
    ready.monkeypatch.setenv("REPLICATOR_LOG_FORMAT", "yaml")
    assert ready("run", "--once").code == 2


SPOILED = {
    "wrong password": (lambda dsn: dsn.replace(PASSWORD, WRONG), "password authentication failed"),
    "no such host": (lambda dsn: _with_password(dsn, WRONG).replace("127.0.0.1", "nowhere.invalid"), "nowhere.invalid"),
    "no server": (lambda dsn: _with_password(dsn, WRONG).replace("127.0.0.1:", "127.0.0.1:1"), "cannot connect"),
    "an @ in it": (lambda dsn: _with_password(dsn, f"a@{WRONG}"), "%40"),
    "a / in it": (lambda dsn: _with_password(dsn, f"{WRONG}/b"), "%2F"),
    "digits and a /": (lambda dsn: _with_password(dsn, f"77/{WRONG}"), "%2F"),
    "words": (lambda dsn: f"host=127.0.0.1 port=1 password={WRONG} dbname", "is not one that PostgreSQL understands"),
    "words and a host": (lambda dsn: f"host=127.0.0.1 port=1 password='{WRONG} x' dbname=erp", "cannot connect to 127.0.0.1:1"),
}


def _with_password(dsn: str, password: str) -> str:
    assert PASSWORD in dsn
    return dsn.replace(PASSWORD, password)


@pytest.mark.parametrize("spoiled", SPOILED)
def test_a_dsn_that_does_not_work_keeps_its_secret(ready: Site, spoiled: str) -> None:
    spoil, said = SPOILED[spoiled]
    ready.environ["ERP_DSN"] = spoil(ready.environ["ERP_DSN"])
    for arguments in (
        ("run", "--once"),
        ("run", "--once", "--log-format", "json"),
        ("--debug", "run", "--once", "--json"),
        ("status",),
        ("status", "--json"),
        ("check",),
        ("check", "--json"),
        ("lint",),
        ("--debug", "reconcile"),
        ("conflicts", "list"),
    ):
        result = ready(*arguments)
        assert result.code in ((0, 2) if "lint" in arguments else (1, 2, 3)), arguments
        assert WRONG not in result.out + result.err, arguments
        assert said in result.out + result.err, arguments


def test_a_running_daemon_keeps_it(ready: Site, tmp_path: Path) -> None:
    """A server that throws it out and comes back, a change that is refused: in its log, its arguments, and its sessions."""
    db = ready.db("crm")
    log = tmp_path / "log"
    with (
        log.open("wb") as written,
        subprocess.Popen(
            [*REPLICATOR, "--debug", "run", "--metrics", "0", "--report-every", "100ms", "--log-format", "json"],
            cwd=ready.folder, env={**os.environ, **ready.environ}, stdout=written, stderr=written,
        ) as running,
    ):  # fmt: skip

        def said(words: str, times: int = 1) -> bool:
            assert running.poll() is None, log.read_text()
            return log.read_text().count(words) >= times

        from .history_site import until

        try:
            until(lambda: said(": running"))
            for node in ("crm", "erp"):
                ready.db(node).execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'replicator%'"
                )
            until(lambda: said("trying again") and said(": running", 2))
            won = uuid.uuid4()
            db.execute("INSERT INTO crm.account (id, name) VALUES (%s, 'ACME')", (won,))
            db.execute("INSERT INTO crm.contact (account_id, name) VALUES (%s, %s)", (won, TOO_LONG))
            until(lambda: said("1 parked of contact"))
            status = ready("status")
            arguments = subprocess.run(
                ["ps", "-o", "args=", "-p", str(running.pid)], capture_output=True, text=True, check=True
            ).stdout
            sessions = str(ready.rows("erp", "SELECT application_name, query FROM pg_stat_activity"))
        finally:
            running.send_signal(signal.SIGTERM)
        running.wait(20)
    text = log.read_text()
    assert "replicator_cli.main" in arguments
    assert "replicator" in sessions
    for secret in (PASSWORD, TOO_LONG):
        assert secret not in text + status.out + status.err + arguments
    assert PASSWORD not in sessions
    away = [one for one in map(json.loads, text.splitlines()) if "trying again" in one["message"]]
    assert away
    assert {one["node"] for one in away} <= {"crm", "erp"}

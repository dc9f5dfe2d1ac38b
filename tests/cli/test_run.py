"""`replicator run`: carries rows both ways, stops when told or when there is nothing left, refuses what cannot go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from replicator_cli.run import seconds

from .conftest import Site

CUSTOMERS = "SELECT company, town FROM erp.customer ORDER BY 1"
ACCOUNTS = "SELECT name, city FROM crm.account ORDER BY 1"


def test_until_idle_carries_both_ways(ready: Site) -> None:
    ready.db("crm").execute("INSERT INTO crm.account (name, city) VALUES ('ACME', 'Wien')")
    ready.db("erp").execute("INSERT INTO erp.customer (company, town) VALUES ('Beta', 'Graz')")
    result = ready("run", "--until-idle", "0.5")
    assert result.code == 0, result.err
    both = [("ACME", "Wien"), ("Beta", "Graz")]
    assert ready.rows("erp", CUSTOMERS) == ready.rows("crm", ACCOUNTS) == both
    assert ready.rows("crm", "SELECT FROM crm.account WHERE erp_no IS NULL") == []
    assert "1 transactions" in result.one_line("stopped: crm_to_erp")
    assert not result.out


def test_once_with_json(ready: Site) -> None:
    ready.db("crm").execute("INSERT INTO crm.account (name) SELECT 'n' || i FROM generate_series(1, 50) i")
    result = ready("run", "--once", "--json")
    assert result.code == 0, result.err
    assert ready.rows("erp", "SELECT count(*) FROM erp.customer") == [(50,)]
    flows = result.document["flows"]
    assert flows["crm_to_erp"]["rows_written"]["insert"] == 50
    assert all(json.loads(line)["level"] == "info" for line in result.err.splitlines())


def test_dry_run(ready: Site) -> None:
    result = ready("run", "--dry-run")
    assert result.code == 0
    assert "customer, contact" in result.one_line("crm_to_erp", "replicator_crm_to_erp", "inactive").replace(
        "contact, customer", "customer, contact"
    )
    assert result.out.splitlines()[-1] == "nothing was started"
    flows = ready("run", "--dry-run", "--json").document["flows"]
    assert [flow["links"] for flow in flows] == [["contact", "customer"], ["customer"]]
    assert all("/" in flow["starts_at"] for flow in flows)


def test_not_initialised(site: Site) -> None:
    for arguments in (["run"], ["run", "--dry-run"], ["run", "--until-idle", "1"]):
        result = site(*arguments)
        assert result.code == 2
        assert result.one_line("not initialised: crm_to_erp, erp_to_crm")
        assert "replicator init" in result.err


def test_one_shot_and_a_server_away(ready: Site) -> None:
    ready.instead("erp", port="1")
    result = ready("run", "--until-idle", "1")
    assert result.code == 3
    assert result.one_line("erp: cannot connect to 127.0.0.1:1")


def test_a_slot_that_is_gone_stops_it(ready: Site) -> None:
    ready.db("crm").execute("SELECT pg_drop_replication_slot('replicator_crm_to_erp')")
    result = ready("run", "--until-idle", "1")
    assert result.code == 3
    assert "may be missing on erp" in result.one_line("has no replication slot replicator_crm_to_erp")


def test_reports_and_stops_on_a_signal(ready: Site) -> None:
    environ = {**os.environ, **ready.environ}
    command = [sys.executable, "-c", "import sys; from replicator_cli.main import main; sys.exit(main())"]
    command += ["run", "--report-every", "200ms", "--log-format", "json"]
    with subprocess.Popen(
        command, cwd=ready.folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        ready.db("crm").execute("INSERT INTO crm.account (name) VALUES ('ACME')")
        end = time.monotonic() + 30
        events = []
        for line in running.stderr:
            events.append(json.loads(line))
            if events[-1].get("flow") == "crm_to_erp" and events[-1]["transactions"] == 1:
                break
            assert time.monotonic() < end, events
        running.send_signal(signal.SIGTERM)
        out, rest = running.communicate(timeout=20)
    assert running.returncode == 0, rest
    assert not out
    assert "stopping after the batch in hand" in rest
    assert ready.rows("erp", "SELECT company FROM erp.customer") == [("ACME",)]


@pytest.mark.parametrize(("text", "value"), [("10s", 10), ("500ms", 0.5), ("5m", 300), ("2", 2), ("1.5h", 5400), ("0", 0)])
def test_times(text: str, value: float) -> None:
    assert seconds(text) == value


def test_links_are_compared_in_turns(ready: Site) -> None:
    ready.db("crm").execute("INSERT INTO crm.account (name) SELECT 'n' || i FROM generate_series(1, 5) i")
    assert ready("run", "--once").code == 0
    command = [sys.executable, "-c", "import sys; from replicator_cli.main import main; sys.exit(main())"]
    command += ["run", "--reconcile-every", "400ms", "--log-format", "json"]
    with subprocess.Popen(
        command, cwd=ready.folder, env={**os.environ, **ready.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        compared: dict[str, int] = {}
        for line in running.stderr:
            event = json.loads(line)
            if "differences" in event:
                compared[event["link"]] = event["differences"]
            if len(compared) == 2:
                break
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=20)
    assert running.returncode == 0
    assert compared == {"customer": 0, "contact": 0}
    status = ready("status")
    assert "0" in status.one_line("customer", "s ago")
    assert {one["link"] for one in ready("status", "--json").document["reconciled"]} == {"customer", "contact"}
    assert ready("run", "--reconcile-every", "0").code == 2

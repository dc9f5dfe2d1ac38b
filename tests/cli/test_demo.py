"""`replicator demo`: the whole story, a scenario alone, and what is left running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from replicator.demo.scenarios import SCENARIOS
from replicator.demo.scenarios.invitation import TRIES

from .conftest import Site

MAIN = "import sys; from replicator_cli.main import main; sys.exit(main())"
LINKS = list((Path(__file__).parents[2] / "mappings" / "crm_erp").glob("*.yaml"))
PROMISED = {
    "in_sync", "seconds", "changes_applied", "conflicts", "latency_ms", "rows_compared", "differences",
    "parked", "rows_written", "server_versions", "reconciled", "statements", "story", "world",
}  # fmt: skip


def test_the_whole_story_ends_in_sync(offline: Site) -> None:
    result = offline("demo", "--seconds", "3", "--json", "--accounts", "60")
    document = result.document
    assert document.keys() >= PROMISED
    assert document["differences"] == []
    assert document["reconciled"]["problems"] == []
    assert document["reconciled"]["links"] == 2 * len([path for path in LINKS if not path.stem.endswith("_test")])
    assert document["in_sync"] is True
    assert result.code == 0
    assert 3 <= document["seconds"] < 15
    flows = {f"{a}_to_{b}" for factory in ("erp_north", "erp_south") for a, b in (("crm", factory), (factory, "crm"))}
    assert document["changes_applied"].keys() == flows
    assert all(changes > 100 for changes in document["changes_applied"].values())
    assert 0 < document["latency_ms"]["p50"] <= document["latency_ms"]["p95"] <= document["latency_ms"]["p99"] < 60_000
    assert document["rows_compared"] > 1_000
    assert document["failures"] == []
    assert document["parked"] == {}
    assert document["story"].keys() == {"order", "conflict"}


def test_scenarios_are_listed(offline: Site) -> None:
    assert offline("demo", "--scenario", "list", "--json").document["scenarios"].keys() == SCENARIOS.keys()
    unknown = offline("demo", "--scenario", "complain")
    assert unknown.code == 2
    assert "complaint" in unknown.err


def test_a_scenario_alone_shows_what_was_typed_and_what_came_of_it(offline: Site) -> None:
    result = offline("demo", "--scenario", "split")
    assert result.code == 0, result.err
    text = result.out
    assert "crm> insert into crm.quote" in text
    assert re.search(r"erp_north: order_no +party .*\n +SO-\d+ +Brenner", text)
    assert re.search(r"within [\d,]+ ms", text)
    assert "in sync: all" in text


@pytest.fixture
def left_running(offline: Site) -> Iterator[subprocess.Popen[str]]:
    """Its lines are read by the test."""
    command = [sys.executable, "-c", MAIN, "demo", "--scenario", "warranty", "--keep"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ})
    timer = threading.Timer(180, process.kill)
    timer.start()
    yield process
    timer.cancel()
    if process.poll() is None:
        process.kill()
    process.wait()


def test_what_is_left_running_shows_what_arrives_until_it_is_interrupted(left_running: subprocess.Popen[str]) -> None:
    assert left_running.stdout is not None
    dsns: dict[str, str] = {}
    for line in left_running.stdout:
        if found := re.match(r" +(\w+) +psql '(.*)'", line):
            dsns[found[1]] = found[2]
        if line.startswith("what arrives:"):
            break
    assert dsns.keys() == {"crm", "erp_north", "erp_south"}
    one = TRIES[0]
    with psycopg.connect(dsns[one.node], autocommit=True) as connection:
        connection.execute(one.types.encode())
    arrived = next(line for line in left_running.stdout if "crm -> erp_north  phone" in line)
    assert "phone = +44 20 7946 0999" in arrived
    left_running.send_signal(signal.SIGINT)
    left_running.stdout.read()
    assert left_running.wait(60) == 0

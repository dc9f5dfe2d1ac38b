"""One replicator at a time: a second one stands by, and takes over when the first dies, however it dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from .conftest import Site

COMMAND = [sys.executable, "-c", "import sys; from replicator_cli.main import main; sys.exit(main())"]


@contextmanager
def started(site: Site, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """`replicator run` as a process; what it logs is in the folder."""
    with (site.folder / f"{name}.log").open("wb") as log:
        command = [*COMMAND, "run", "--log-format", "json"]
        process = subprocess.Popen(command, cwd=site.folder, env={**os.environ, **site.environ}, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def said(site: Site, name: str) -> list[str]:
    lines = (site.folder / f"{name}.log").read_text().splitlines()
    return [json.loads(line)["message"] for line in lines if line.endswith("}")]


def becomes(what: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)


def test_a_second_replicator_stands_by_and_takes_over(ready: Site) -> None:
    made = 0

    def carried() -> bool:
        return ready.rows("erp", "SELECT count(*) FROM erp.customer") == [(made,)]

    with started(ready, "first") as first:
        becomes(lambda: any("running" in line for line in said(ready, "first")), 20, "the first does not start")
        with started(ready, "second") as second:
            becomes(lambda: any("standing by" in line for line in said(ready, "second")), 20, "\n".join(said(ready, "second")))
            (line,) = [line for line in said(ready, "second") if "standing by" in line]
            assert f":{first.pid} from 127.0.0.1" in line
            assert "has replicator_erp_to_crm" in line
            made = 50
            ready.db("crm").execute("INSERT INTO crm.account (name) SELECT 'n' || i FROM generate_series(1, 50) i")
            becomes(carried, 10, "changes do not arrive")
            assert not any("running" in line for line in said(ready, "second"))
            runners = {flow["slot"]["runner"] for flow in ready("status", "--json").document["flows"]}
            assert len(runners) == 1
            assert runners.pop().endswith(f":{first.pid}")
            ready.db("crm").execute("INSERT INTO crm.account (name) SELECT 'm' || i FROM generate_series(1, 2000) i")
            made = 2050
            first.kill()
            first.wait()
            died = time.monotonic()
            ready.db("erp").execute("INSERT INTO erp.customer (company) VALUES ('from the ERP')")
            made += 1
            becomes(carried, 10, "nobody takes over")
            becomes(
                lambda: ready.rows("crm", "SELECT count(*) FROM crm.account") == [(made,)], 10, "nobody takes over the way back"
            )
            assert time.monotonic() - died < 10
            assert any("taking over" in line for line in said(ready, "second"))
            names = "SELECT count(*), count(DISTINCT company) FROM erp.customer"
            assert ready.rows("erp", names) == [(made, made)]
            assert f":{second.pid}" in ready("status").one_line("crm_to_erp", "active")


def test_a_run_that_is_to_end_does_not_stand_by_for_ever(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replicator_cli.run.ONE_SHOT_PATIENCE", 0.2)
    with started(ready, "first"):
        becomes(lambda: any("running" in line for line in said(ready, "first")), 20, "the first does not start")
        for arguments in (["--once"], ["--until-idle", "1"]):
            result = ready("run", *arguments)
            assert result.code == 3
            assert result.lines("has replicator_erp_to_crm")

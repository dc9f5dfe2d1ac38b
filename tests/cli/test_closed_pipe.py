"""A command whose output nobody reads any more (`| head`) ends without a word: no traceback, no bug, nothing at the process's end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .conftest import Site

COMMAND = [sys.executable, "-c", "import sys; from replicator_cli.main import main; sys.exit(main())"]
UNREAD = 141


def told(site: Site, *arguments: str, both: bool = False) -> tuple[int, str]:
    """Exit code and standard error of the command when the reader of its output is gone. `both`: as with `2>&1`."""
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=site.folder,
        env={**os.environ, **site.environ},
        stdout=writing,
        stderr=writing if both else subprocess.PIPE,
    )
    os.close(writing)
    said = process.communicate(timeout=60)[1] or b""
    return process.returncode, said.decode()


@pytest.mark.parametrize("arguments", ["lint --offline", "lint --offline --json", "--help", "lint -c no.yaml --json"])
def test_nobody_reads(offline: Site, arguments: str) -> None:
    assert told(offline, *arguments.split()) == (UNREAD, "")


def test_nobody_reads_what_went_wrong(offline: Site) -> None:
    assert told(offline, "lint", "-c", "no.yaml", both=True) == (UNREAD, "")


def test_status_that_is_no_longer_watched(ready: Site) -> None:
    """Whoever watched goes away between two frames."""
    process = subprocess.Popen(
        [*COMMAND, "status", "--watch", "0.1"],
        cwd=ready.folder,
        env={**os.environ, **ready.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b"-- ")
    process.stdout.close()
    assert process.wait(60) == UNREAD
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("arguments", ["check", "conflicts list", "run --once --json"])
def test_commands_that_ask_the_servers(ready: Site, arguments: str) -> None:
    code, said = told(ready, *arguments.split())
    assert code == UNREAD
    assert "bug" not in said
    assert "Traceback" not in said


def test_a_run_goes_on_when_nobody_reads_its_log(ready: Site) -> None:
    ready.db("crm").execute("INSERT INTO crm.account (name) VALUES ('ACME')")
    assert told(ready, "run", "--once", both=True) == (0, "")
    assert ready.db("erp").execute("SELECT company FROM erp.customer").fetchall() == [("ACME",)]

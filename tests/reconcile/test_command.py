"""`replicator reconcile` as people run it: words, JSON, the page, exit codes, least privilege, and being interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import PASSWORD, Site, folder, offline, pair, site  # noqa: F401 - fixtures
from tests.two_way.test_least_privilege import ROLE, grants


@pytest.fixture
def ready(site: Site) -> Site:  # noqa: F811
    """Two customers and a contact in step; `crm 3` of the ERP is changed behind the replicator's back."""
    assert site("init").code == 0
    site.db("crm").execute("INSERT INTO crm.account (name, city) VALUES ('Ada <b>', 'Graz'), ('Bob', 'Linz')")
    site.db("crm").execute("INSERT INTO crm.contact (account_id, name) SELECT id, 'c ' || name FROM crm.account")
    assert site("run", "--once").code == 0
    return site


def spoil(site: Site) -> None:  # noqa: F811
    # Captured, but by a daemon that is not running: it counts.
    site.db("erp").execute("UPDATE erp.customer SET town = 'Ulm' WHERE company = 'Bob'")


def test_before_init(site: Site) -> None:  # noqa: F811
    result = site("reconcile")
    assert result.code == 2
    assert "run `replicator init` first" in result.err


def test_both_sides_agree(ready: Site) -> None:
    result = ready("reconcile")
    assert result.code == 0, result.out
    assert result.one_line("customer, crm and erp: all of 2 records compared (nothing is proven yet)")
    assert result.one_line("no replicator is running")
    assert result.one_line("2 links compared in", "both sides agree")
    again = ready("reconcile", "customer")
    assert again.one_line("customer, crm and erp: nothing has changed since it was equal at 20")
    assert not again.lines("contact")
    document = ready("reconcile", "--full", "--json").document
    assert document["clean"] is True
    assert [(link["link"], link["how"], link["differences"]) for link in document["links"]] == [
        ("customer", "whole", 0),
        ("contact", "whole", 0),
    ]
    assert set(document["links"][0]["positions"]) == {"crm", "erp"}


def test_differences_and_the_page(ready: Site) -> None:
    spoil(ready)
    result = ready("reconcile", "--html", "report.html")
    assert result.code == 1
    line = result.one_line("differs: ")
    assert re.search(r"differs: crm \S+ = erp 2: city$", line)
    assert "Ulm" not in result.out
    page = (ready.folder / "report.html").read_text()
    assert "1 difference" in page
    assert "Ulm" not in page
    assert "http" not in page
    shown = ready("reconcile", "--values", "--html", "report.html")
    assert shown.one_line("city 'Linz' on crm, 'Ulm' on erp")
    assert "&#x27;Ulm&#x27;" in (ready.folder / "report.html").read_text()
    document = ready("reconcile", "--json", "--values").document
    (sample,) = document["links"][0]["samples"]
    assert (sample["kind"], sample["fields"]) == ("differs", {"city": {"crm": "Linz", "erp": "Ulm"}})
    assert ready("reconcile", "--json", "--limit", "0").document["links"][0]["samples"] == []
    assert ready("run", "--once").code == 0
    assert ready("reconcile").code == 0


def test_wrong_usage(ready: Site) -> None:
    result = ready("reconcile", "nothing")
    assert result.code == 2
    assert "there is no link 'nothing'" in result.err
    assert ready("reconcile", "--html", "nowhere/report.html").code == 2


def test_a_link_that_cannot_be_compared(ready: Site) -> None:
    ready.db("erp").execute("CREATE ROLE half LOGIN PASSWORD 'hush7hush'; GRANT USAGE ON SCHEMA erp, replicator TO half")
    try:
        ready.db("erp").execute("GRANT SELECT ON erp.customer, erp.person TO half; GRANT SELECT ON replicator.link TO half")
        ready.db("erp").execute("GRANT SELECT ON replicator.checkpoint, replicator.crosswalk_customer TO half")
        administrator = dict(ready.environ)
        ready.instead("erp", user="half")
        result = ready("reconcile")
        ready.environ = administrator
        assert result.code == 3
        assert result.lines("not compared: erp: permission denied")
    finally:
        ready.db("erp").execute("DROP OWNED BY half; DROP ROLE half")


def test_with_the_documented_grants(ready: Site) -> None:
    administrator = dict(ready.environ)
    tables = {"crm": ("account", "contact"), "erp": ("customer", "person")}
    for node, names in tables.items():
        ready.db(node).execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[call-overload]
        for table in names:
            for statement in grants(node, table):
                ready.db(node).execute(statement)  # type: ignore[call-overload]
        ready.instead(node, user=ROLE)
    try:
        assert ready("reconcile").code == 0
        assert ready("reconcile").lines("nothing has changed since")
        # Rows that this role does not see: nothing can be proven of those it does.
        ready.db("erp").execute("ALTER TABLE erp.person ENABLE ROW LEVEL SECURITY")
        ready.db("erp").execute(f"CREATE POLICY few ON erp.person TO {ROLE} USING (pid > 1)")  # type: ignore[call-overload]
        hidden = ready("reconcile", "contact", "--json").document["links"][0]
        assert (hidden["how"], hidden["proven"], hidden["kinds"]) == ("whole", False, {"missing": 1})
        assert "row security" in hidden["why"]
    finally:
        ready.environ = administrator
        for node in tables:
            ready.db(node).execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")  # type: ignore[call-overload]


def test_interrupted_nothing_remains(ready: Site) -> None:
    """Ctrl-C while it compares: it ends at once, with its sessions, and leaves no proof and no table."""
    with psycopg.connect(ready.environ["ERP_DSN"]) as blocker:
        blocker.execute("LOCK TABLE erp.customer IN ACCESS EXCLUSIVE MODE")  # it cannot go on
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "replicator"), "-c", str(ready.folder / "replicator.yaml"), "reconcile"],
            env={**os.environ, **ready.environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        wait_for(lambda: bool(ready.rows("erp", WAITING)))
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        assert time.monotonic() - started < 10
    assert process.returncode == 130, out
    assert "interrupted" in out
    assert "Traceback" not in out
    wait_for(lambda: not ready.rows("erp", "SELECT FROM pg_stat_activity WHERE application_name LIKE 'replicator reconcile%'"))
    for node in ("crm", "erp"):
        assert ready.rows(node, "SELECT count(*) FROM replicator.proof") == [(0,)]
        assert ready.rows(node, "SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == [(0,)]


WAITING = "SELECT FROM pg_stat_activity WHERE application_name = 'replicator reconcile' AND wait_event_type = 'Lock'"


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_progress_goes_to_standard_error(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replicator_cli.reconcile.SAID_EVERY", 0.0)
    result = ready("reconcile", "--json")
    assert re.search(r"customer: compares, \d+ records", result.err)
    assert result.document["clean"]

"""`replicator check`: each thing that can be wrong with a server is one clear finding, and `init` refuses it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from replicator.demo.servers import Server
from replicator.runtime import clocks
from tests.conftest import FAST

from .conftest import CRM, ERP, PASSWORD, Site


def test_all_is_well(site: Site) -> None:
    result = site("check")
    assert result.code == 0
    assert result.one_line("K040 note: not initialised yet")
    assert result.out.splitlines()[-1] == "everything is as it should be"
    assert "logical" in result.one_line("PostgreSQL", "crm")


def test_json(ready: Site) -> None:
    document = ready("check", "--json").document
    assert document["ok"] is True
    assert [node["node"] for node in document["nodes"]] == ["crm", "erp"]
    assert all(node["wal_level"] == "logical" and abs(node["clock_ms"]) < 100 for node in document["nodes"])
    assert {finding["severity"] for finding in document["findings"]} == {"note"}


def test_wrong_password(site: Site) -> None:
    site.instead("crm", password="wrong")
    result = site("check")
    assert result.code == 1
    assert "wrong password: check the DSN" in result.one_line("crm: K050", "password authentication failed")
    assert "PostgreSQL" in result.one_line("erp ", "logical")  # the other is still looked at
    assert site("init").code == 1


def test_server_down(site: Site) -> None:
    site.instead("erp", port="1")
    result = site("check")
    assert result.code == 1
    assert "check that the server runs" in result.one_line("erp: K050", "cannot connect to 127.0.0.1:1")


def test_no_such_database(site: Site) -> None:
    site.instead("erp", dbname="nowhere")
    result = site("check")
    assert result.code == 1
    assert "the database does not exist" in result.one_line("erp: K050")


def test_dsn_that_is_none(site: Site) -> None:
    site.environ["ERP_DSN"] = f"postgresql//me:{PASSWORD}@host/db"
    result = site("check")
    assert result.code == 1
    assert result.one_line("erp: K050", "not one that PostgreSQL understands")


@pytest.fixture
def replica_level(site: Site) -> Iterator[Site]:
    """Both databases on a server that cannot decode its WAL."""
    with Server(settings={**FAST, "wal_level": "replica"}) as server:
        site.environ = {"CRM_DSN": server.create_database("crm"), "ERP_DSN": server.create_database("erp")}
        for node, ddl in (("CRM", CRM), ("ERP", ERP)):
            with psycopg.connect(site.environ[f"{node}_DSN"]) as connection:
                connection.execute(ddl)
        yield site


def test_wal_level(replica_level: Site) -> None:
    result = replica_level("check")
    assert result.code == 1
    assert "ALTER SYSTEM SET wal_level = 'logical'" in result.one_line("crm: K002 wal_level is replica")
    refused = replica_level("init")
    assert refused.code == 1
    assert refused.one_line("crm: K002")
    assert refused.one_line("nothing was changed")
    with psycopg.connect(replica_level.environ["CRM_DSN"]) as connection:
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'replicator'").fetchall() == []


@pytest.fixture
def crowded(site: Site) -> Iterator[Site]:
    """No free slot on the CRM's server."""
    db = site.db("crm")
    free = int(db.execute("SELECT current_setting('max_replication_slots')").fetchone()[0])  # type: ignore[index]
    for number in range(free):
        db.execute("SELECT pg_create_physical_replication_slot(%s)", (f"taken_{number}",))
    yield site
    db.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'taken_%'")


def test_no_free_slot(crowded: Site) -> None:
    result = crowded("check")
    assert result.code == 1
    assert "ALTER SYSTEM SET max_replication_slots = " in result.one_line("crm: K003", "0 of 20 are free")
    assert crowded("init").code == 1
    assert crowded.rows("erp", "SELECT FROM pg_namespace WHERE nspname = 'replicator'") == []


@pytest.fixture
def unprivileged(site: Site) -> Iterator[Site]:
    """The ERP is entered by a role that may read one table."""
    db = site.db("erp")
    db.execute(f"CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'")
    db.execute("GRANT USAGE ON SCHEMA erp TO clerk")
    db.execute("GRANT SELECT ON erp.customer TO clerk")
    admin = site.environ["ERP_DSN"]
    site.instead("erp", user="clerk")
    yield site
    site.environ["ERP_DSN"] = admin
    db.execute("DROP OWNED BY clerk")
    db.execute("DROP ROLE clerk")


def test_missing_privileges(unprivileged: Site) -> None:
    result = unprivileged("check")
    assert result.code == 1
    assert 'ALTER ROLE "clerk" REPLICATION' in result.one_line("erp: K010")
    assert "GRANT CREATE ON DATABASE" in result.one_line("erp: K011")
    assert 'GRANT INSERT, UPDATE, DELETE ON "erp"."customer" TO "clerk"' in result.one_line("erp: erp.customer: K021")
    assert result.one_line("erp: erp.customer: K023 only the owner")
    assert "SELECT, INSERT, UPDATE, DELETE" in result.one_line("erp: erp.person: K021")
    refused = unprivileged("init")
    assert refused.code == 1
    assert refused.one_line("erp: K010")


def test_clocks_apart(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = clocks.server_clock

    def one_is_ahead(connection: psycopg.Connection) -> int:
        ahead = 5_000_000 if connection.info.dbname == "erp" else 0
        return real(connection) + ahead

    monkeypatch.setattr(clocks, "server_clock", one_is_ahead)
    result = site("check")
    assert result.code == 1
    line = result.one_line("crm and erp: K030")
    assert "the clock of erp is 5,0" in line or "the clock of erp is 4,9" in line
    assert "the limit is 1,000 ms" in line
    assert "`rule: latest` may keep erp's though crm's was later" in line
    assert "timedatectl" in line
    status = site("status")
    assert "ahead of crm's by 5,0" in status.one_line("clocks") or "ahead of crm's by 4,9" in status.one_line("clocks")
    assert "more than the limit of 1,000 ms" in status.one_line("clocks")
    assert site("status", "--json").document["clocks"][0]["ahead_ms"] == pytest.approx(5000, abs=100)


def test_an_update_that_does_not_tell_what_was_before(ready: Site) -> None:
    ready.db("crm").execute("ALTER TABLE crm.account REPLICA IDENTITY DEFAULT")
    result = ready("check")
    line = result.one_line("crm: crm.account: K024 warning")
    assert "every update counts as an edit of all fields of link customer" in line
    assert 'ALTER TABLE "crm"."account" REPLICA IDENTITY FULL' in line
    assert not result.lines("erp: erp.customer: K024")


def test_commit_timestamps_are_not_wanted(site: Site) -> None:
    assert "track_commit_timestamp" not in site("check").out


def test_after_init_something_is_gone(ready: Site) -> None:
    ready.db("crm").execute("DROP PUBLICATION replicator_crm_to_erp")
    ready.db("erp").execute("SELECT pg_drop_replication_slot('replicator_erp_to_crm')")
    result = ready("check")
    assert result.code == 1
    assert "run `replicator init`" in result.one_line("crm: K041", "publication replicator_crm_to_erp")
    assert "init --renew erp_to_crm" in result.one_line("erp: K042", "no replication slot replicator_erp_to_crm")


def test_a_slot_of_another_database(ready: Site) -> None:
    """A second pair of databases on the same two servers, with the same node names."""
    first = dict(ready.environ)
    for node in ("crm", "erp"):
        ready.db(node).execute(f"CREATE DATABASE {node}_test")
        ready.instead(node, dbname=f"{node}_test")
    try:
        for node, ddl in (("CRM", CRM), ("ERP", ERP)):
            with psycopg.connect(ready.environ[f"{node}_DSN"]) as connection:
                connection.execute(ddl)
        result = ready("check")
        assert result.code == 1
        assert result.one_line("crm: K044 slot replicator_crm_to_erp on this server belongs to another database, crm")
        assert ready("init").code == 1
        assert ready("teardown", "--yes").code == 0  # and takes nothing from the first pair
        for node in ("crm", "erp"):
            assert ready.rows(node, "SELECT count(*) FROM pg_replication_origin") == [(1,)]
    finally:
        ready.environ = first
        for node in ("crm", "erp"):
            ready.db(node).execute(f"DROP DATABASE {node}_test")

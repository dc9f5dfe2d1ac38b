"""A slot's bad end: said before it comes, never passed over in silence, and a person's word to go on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from replicator.demo.installations import run_as, server_account
from replicator.demo.servers import Installation, Server
from tests.conftest import FAST
from tests.databases import empty

from .conftest import CRM, ERP, Site
from .test_standby import becomes, started


@contextmanager
def standby_of(primary: Server, **settings: str) -> Iterator[Server]:
    """A copy that follows the server."""
    standby = Server(primary.installation, FAST)
    standby._prepare()  # folders, settings and log, as for any; then what is in there becomes the copy
    standby._prepared = True
    for place in standby.data.iterdir():
        shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
    command = [standby.tool("pg_basebackup"), "-D", str(standby.data), "-R", "-c", "fast", "-d", primary.dsn("postgres")]
    try:
        copied = run_as(server_account(), command)
        assert copied.returncode == 0, copied.stderr
        with (standby.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        standby.start()
        yield standby
    finally:
        standby.close()


@pytest.fixture(scope="module")
def servers(installation: Installation) -> Iterator[dict[str, Server]]:
    """One server for each node. The CRM's keeps little WAL for those who do not read it."""
    made = {
        "crm": Server(installation, {**FAST, "max_slot_wal_keep_size": "96MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}),
        "erp": Server(installation, FAST),
    }
    try:
        for server in made.values():
            server.start()
        yield made
    finally:
        for server in made.values():
            server.close()


@pytest.fixture
def own(
    servers: dict[str, Server], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    """After `init`, with a customer that both sides have."""
    environ = {f"{node.upper()}_DSN": empty(server, node) for node, server in servers.items()}
    site = Site(folder, environ, monkeypatch, capsys)
    for node, ddl in (("crm", CRM), ("erp", ERP)):
        site.db(node).execute(ddl)
    assert site("init").code == 0
    site.db("crm").execute("INSERT INTO crm.account (name, city) VALUES ('known', 'Wien')")
    assert site("run", "--once").code == 0
    yield site
    assert site("teardown").code == 0
    for connection in site.connections.values():
        connection.close()


def write_wal(site: Site, segments: int) -> None:
    for _ in range(segments):
        site.db("crm").execute("SELECT pg_logical_emit_message(false, 'filler', 'x'), pg_switch_wal()")
    site.db("crm").execute("CHECKPOINT")


def stands(site: Site, problem: str, *, said: str = "between") -> None:
    """The flow stops, everybody says why and what to type, and nothing was carried over."""
    for arguments in (["run", "--once"], ["plan"]):
        stopped = site(*arguments)
        assert stopped.code == 3, stopped.out + stopped.err
        assert said in stopped.one_line("crm_to_erp cannot go on", problem, "may be missing on erp")
        assert "replicator init --renew crm_to_erp" in stopped.err
    assert site("check").one_line("K042", "crm_to_erp cannot go on", problem)
    assert site("status").one_line("crm_to_erp: S002 cannot go on", problem)


def renew_and_mend(site: Site, *flows: str) -> None:
    """Goes on by a person's word; what was missed is found and mended; then there is nothing more to say."""
    wanted = [word for flow in flows or ("crm_to_erp",) for word in ("--renew", flow)]
    dry = site("init", *wanted, "--dry-run")
    assert dry.code == 0, dry.err
    assert dry.one_line("-- erp: checkpoint of flow crm_to_erp")
    assert site("run", "--once").code == 3
    renewed = site("init", *wanted)
    assert renewed.code == 0, renewed.err
    site.db("crm").execute("INSERT INTO crm.account (name) VALUES ('after')")
    assert site("run", "--once").code == 0
    names = {name for (name,) in site.rows("erp", "SELECT company FROM erp.customer")}
    assert "after" in names
    assert "missed" not in names
    assert site("status").code == 1
    assert site("status").one_line("crm_to_erp: S007 went on without the changes of crm between", "customer")
    assert site("reconcile", "--repair").code == 0
    assert site("status").code == 0, site("status").out
    assert site.rows("erp", "SELECT count(*) FROM erp.customer WHERE company = 'missed'") == [(1,)]
    assert site("init", *wanted).one_line("can go on where it is")


def test_a_slot_that_was_dropped(own: Site) -> None:
    own.db("crm").execute("INSERT INTO crm.account (name) VALUES ('missed')")
    own.db("crm").execute("SELECT pg_drop_replication_slot('replicator_crm_to_erp')")
    stands(own, "crm has no replication slot replicator_crm_to_erp")
    renew_and_mend(own)


def test_a_slot_that_was_made_again_by_somebody(own: Site) -> None:
    own.db("crm").execute("INSERT INTO crm.account (name) VALUES ('missed')")
    own.db("crm").execute("SELECT pg_drop_replication_slot('replicator_crm_to_erp')")
    own.db("crm").execute("SELECT pg_create_logical_replication_slot('replicator_crm_to_erp', 'pgoutput')")
    stands(own, "it is not the slot we knew")
    renew_and_mend(own)


def test_wal_is_warned_of_and_then_lost(own: Site) -> None:
    own.db("crm").execute("INSERT INTO crm.account (name) VALUES ('missed')")
    assert not own("status").lines("S006")
    write_wal(own, 4)
    for command, code in (("status", "crm_to_erp: S006"), ("check", "crm: K050")):
        warned = own(command).one_line(code, "slot replicator_crm_to_erp on crm holds back", "max_slot_wal_keep_size is 96.0 MB")
        assert "start the replicator" in warned
    write_wal(own, 8)
    write_wal(own, 1)
    assert own.rows("crm", "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'replicator_crm_to_erp'") == [("lost",)]
    stands(own, "slot replicator_crm_to_erp was invalidated")
    if own.db("crm").info.server_version >= 170000:
        assert own("status").one_line("S002", "wal removed")
    renew_and_mend(own)


def test_a_slot_that_nobody_read_for_too_long(own: Site) -> None:
    crm = own.db("crm")
    if crm.info.server_version < 180000:
        pytest.skip("idle_replication_slot_timeout came with PostgreSQL 18")
    crm.execute("ALTER SYSTEM SET idle_replication_slot_timeout = '1s'")
    crm.execute("SELECT pg_reload_conf()")
    try:
        becomes(lambda: crm.execute("SHOW idle_replication_slot_timeout").fetchone() == ("1s",), 10, "")
        assert own("check").one_line("K051", "idle_replication_slot_timeout is 1s")
        crm.execute("INSERT INTO crm.account (name) VALUES ('missed')")
        found = (
            "SELECT FROM pg_replication_slots WHERE slot_name = 'replicator_crm_to_erp' AND invalidation_reason = 'idle_timeout'"
        )
        # The server looks when it makes a checkpoint.
        becomes(lambda: crm.execute("CHECKPOINT") and crm.execute(found).fetchone() is not None, 30, "the slot is kept")
    finally:
        crm.execute("ALTER SYSTEM RESET idle_replication_slot_timeout")
        crm.execute("SELECT pg_reload_conf()")
    stands(own, "slot replicator_crm_to_erp was invalidated (idle timeout")
    assert own("status").one_line("S002", "idle_replication_slot_timeout, which should be 0 on crm")
    renew_and_mend(own)


def test_a_backup_that_was_restored_with_its_slots(own: Site, servers: dict[str, Server]) -> None:
    """As a copy of the disk is: the server, the timeline and the slot are those of the checkpoint, and what was carried over since is
    gone. What is written up to where the checkpoint is would be passed over."""
    crm = servers["crm"]
    own.connections.pop("crm").close()
    crm.stop()
    backup = crm.data.with_name("backup")
    subprocess.run(["cp", "-a", crm.data, backup], check=True)
    crm.start()
    own.db("crm").execute("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000))")
    own.db("crm").execute("INSERT INTO crm.account (name) VALUES ('lost')")
    assert own("run", "--once").code == 0
    own.connections.pop("crm").close()
    crm.stop()
    shutil.rmtree(crm.data)
    backup.rename(crm.data)
    crm.start()
    own.db("crm").execute("INSERT INTO crm.account (name) VALUES ('missed')")
    stands(own, "a backup was restored", said="of timeline 1")
    assert own.rows("erp", "SELECT count(*) FROM erp.customer WHERE company = 'lost'") == [(1,)]
    for flow in ("crm_to_erp", "erp_to_crm"):
        own("init", "--renew", flow)
    own.db("crm").execute("INSERT INTO crm.account (name) VALUES ('after')")
    assert own("run", "--once").code == 0
    assert own.rows("erp", "SELECT count(*) FROM erp.customer WHERE company = 'after'") == [(1,)]


def test_a_word_that_is_not_meant_changes_nothing(own: Site) -> None:
    before = own.rows("erp", "SELECT lsn FROM replicator.checkpoint")
    assert "can go on where it is" in own("init", "--renew", "crm_to_erp").err
    mistyped = own("init", "--renew", "crm_to_er")
    assert mistyped.code == 2
    assert "crm_to_erp" in mistyped.err
    assert own.rows("erp", "SELECT lsn FROM replicator.checkpoint") == before
    assert own.rows("erp", "SELECT count(*) FROM replicator.gap") == [(0,)]


def test_a_standby_that_was_promoted(own: Site, servers: dict[str, Server]) -> None:
    """It is told at once, though the control file names the new timeline only later, and what it never got is mended."""
    with standby_of(servers["crm"]) as standby:
        own.db("crm").execute("INSERT INTO crm.account (name) VALUES ('before')")
        assert own("run", "--once").code == 0
        with psycopg.connect(standby.dsn("crm"), autocommit=True) as there:
            becomes(
                lambda: bool(there.execute("SELECT 1 FROM crm.account WHERE name = 'before'").fetchone()), 20, standby.log_tail()
            )
            there.execute("SELECT pg_promote()")
            there.execute("INSERT INTO crm.account (name) VALUES ('missed')")
        former = own.environ["CRM_DSN"]
        own.connections.pop("crm").close()
        own.environ["CRM_DSN"] = standby.dsn("crm")
        stands(own, "a standby was promoted or a backup restored", said="of timeline 1")
        assert own("status").one_line("erp_to_crm", "0/")
        renew_and_mend(own)
        assert own("teardown").code == 0
        own.connections.pop("crm").close()
        own.environ["CRM_DSN"] = former


@contextmanager
def failover_standby(own: Site, servers: dict[str, Server]) -> Iterator[Server]:
    """One that has the slot of what was made by `init`, and that the primary waits for before it sends changes on."""
    crm = own.db("crm")
    if crm.info.server_version < 170000:
        pytest.skip("slots on standbys came with PostgreSQL 17")
    crm.execute("SELECT pg_create_physical_replication_slot('standby', true)")
    settings = {"primary_slot_name": "standby", "hot_standby_feedback": "on", "sync_replication_slots": "on"}
    try:
        with standby_of(servers["crm"], **settings) as standby, psycopg.connect(standby.dsn("crm"), autocommit=True) as there:

            def has_it() -> bool:
                # Where its slot starts moves on with what is read and confirmed.
                crm.execute("UPDATE crm.account SET note = clock_timestamp()::text; SELECT pg_log_standby_snapshot()")
                found = "SELECT FROM pg_replication_slots WHERE slot_name = 'replicator_crm_to_erp' AND synced AND NOT temporary"
                return there.execute(found).fetchone() is not None

            with started(own, "meanwhile"):
                becomes(has_it, 60, standby.log_tail())
            yield standby
    finally:
        with psycopg.connect(servers["crm"].dsn("crm"), autocommit=True) as connection:
            becomes(
                lambda: (
                    not connection.execute("SELECT FROM pg_replication_slots WHERE slot_name = 'standby' AND active").fetchall()
                ),
                20,
                "",
            )
            connection.execute("SELECT pg_drop_replication_slot('standby')")


def promoted(own: Site, standby: Server) -> None:
    with psycopg.connect(standby.dsn("crm"), autocommit=True) as there:
        there.execute("SELECT pg_promote()")
    own.connections.pop("crm").close()
    own.environ["CRM_DSN"] = standby.dsn("crm")


def back_to(own: Site, former: str) -> None:
    assert own("teardown").code == 0
    if "crm" in own.connections:
        own.connections.pop("crm").close()
    own.environ["CRM_DSN"] = former


def test_a_promoted_standby_that_has_the_slot_goes_on(own: Site, servers: dict[str, Server]) -> None:
    former = own.environ["CRM_DSN"]
    with failover_standby(own, servers) as standby:
        own.db("crm").execute("INSERT INTO crm.account (name) VALUES ('before')")
        assert own("run", "--once").code == 0
        own.db("crm").execute("INSERT INTO crm.account (name) VALUES ('between')")
        own.db("erp").execute("INSERT INTO erp.customer (company) VALUES ('other way')")
        with psycopg.connect(standby.dsn("crm"), autocommit=True) as there:
            becomes(
                lambda: bool(there.execute("SELECT 1 FROM crm.account WHERE name = 'between'").fetchone()), 20, standby.log_tail()
            )
        promoted(own, standby)
        own.db("crm").execute("INSERT INTO crm.account (name) VALUES ('after')")
        assert not own("status").lines("S002")
        assert not own("check").lines("K042")
        result = own("run", "--once")
        assert result.code == 0, result.err
        assert result.one_line("crm_to_erp: a standby of crm was promoted")
        names = ["after", "before", "between", "known", "other way"]
        assert own.rows("erp", "SELECT company FROM erp.customer ORDER BY 1") == [(name,) for name in names]
        assert own.rows("crm", "SELECT name FROM crm.account ORDER BY 1") == [(name,) for name in names]
        assert own.rows("erp", "SELECT FROM replicator.gap") == []
        assert not own("run", "--once").lines("promoted")
        back_to(own, former)


def test_a_promoted_standby_that_had_not_got_everything_stops_the_flow(own: Site, servers: dict[str, Server]) -> None:
    former = own.environ["CRM_DSN"]
    with failover_standby(own, servers) as standby:
        with psycopg.connect(standby.dsn("postgres"), autocommit=True) as there:
            there.execute("ALTER SYSTEM SET primary_conninfo = ''")
            there.execute("SELECT pg_reload_conf()")
            becomes(lambda: not there.execute("SELECT FROM pg_stat_wal_receiver").fetchall(), 20, standby.log_tail())
        own.db("crm").execute("INSERT INTO crm.account (name) VALUES ('only there')")
        assert own("run", "--once").code == 0
        promoted(own, standby)
        stands(own, "a standby was promoted or a backup restored", said="of timeline 1")
        assert own.rows("erp", "SELECT count(*) FROM erp.customer WHERE company = 'only there'") == [(1,)]
        back_to(own, former)

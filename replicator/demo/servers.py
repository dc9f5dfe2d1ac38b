"""Real PostgreSQL servers for tests, demo and bench, made in under a second and gone without a trace.

Promises of a `Server`:
- It dies with us, even when we are killed with SIGKILL. A watcher (a shell, forked twice before it
  becomes the server) holds the reading end of a pipe of ours; when the pipe closes without a word it
  sends the server SIGINT (fast shutdown), then harder signals, and removes a temporary directory.
  PR_SET_PDEATHSIG would not do: it fires when the *thread* that started the server ends, and a change
  of user clears it. A forked child of ours that lives on also keeps the pipe, hence the server, alive.
- It sits in a session of its own: Ctrl-C in the terminal reaches us, not the server.
- `kill` and `stop` return when every process of the server is gone: all of them inherit the server's
  standard output, a second pipe, and we wait for its end.
- The port stays the same over restarts. It is taken from below the range the system gives to
  outgoing connections, else a client that tries again and again may take (or connect to) it itself.
- Each server is initialised anew (0.4 s) and not copied from a template: copies would all have the
  same system identifier, by which the replicator recognises a server.
"""

from __future__ import annotations

import atexit
import os
import selectors
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from replicator.demo.installations import (
    Installation,
    ServerError,
    clean_environment,
    installation,
    installations,
    reachable,
    run_as,
    server_account,
)
from replicator.demo.places import free_port, give, private_folder, socket_folder, temporary_folder

__all__ = ["Installation", "Server", "ServerError", "installation", "installations"]

DEFAULTS = {
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "track_commit_timestamp": "on",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
SUPERUSER = "postgres"
PORT_ATTEMPTS = 8

# $1 and $2: directories to remove if we die ("" for none); then the server's command.
# In the watcher `$$` is the shell that becomes the server. "done" on the pipe sends the watcher home.
WATCHED = r"""
first=$1 second=$2
shift 2
exec 3<&0
( (
    exec >/dev/null 2>&1
    read -r word <&3 && exit 0
    kill -INT $$
    tries=0
    while kill -0 $$ && [ $tries -lt 150 ]; do
        tries=$((tries + 1))
        [ $tries -eq 80 ] && kill -QUIT $$
        [ $tries -eq 130 ] && kill -KILL $$
        sleep 0.1
    done
    rm -rf -- "$first" "$second"
) & )
exec "$@" 3<&- </dev/null
"""


class Server:
    """A PostgreSQL server on 127.0.0.1. As a context manager it starts, and at the end stops and cleans up.

    `directory` None: a temporary one, removed by `close`. A given one is kept and, if a server lived there
    before, taken up again. `settings` go over the defaults; fsync is on unless they say otherwise.
    """

    def __init__(
        self,
        found: Installation | None = None,
        settings: dict[str, str] | None = None,
        directory: Path | None = None,
        port: int | None = None,
        *,
        auth: Literal["trust", "scram-sha-256"] = "trust",
        password: str = "demo",
        start_timeout: float = 60.0,
    ) -> None:
        self.installation = found or installation()
        self.settings = {**DEFAULTS, **(settings or {})}
        self.directory = directory
        self.port = port
        self._temporary = directory is None
        self._port_is_settled = port is not None
        self._auth = auth
        self._password = password
        self._start_timeout = start_timeout
        self._prepared = False
        self._account = server_account()
        self._sockets: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0  # the process that started the server: forked children leave it alone

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- where it is

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """Over TCP. With password authentication the superuser's password is part of it."""
        secret = f":{quote(self._password, safe='')}" if self._auth != "trust" and user == SUPERUSER else ""
        return f"postgresql://{quote(user, safe='')}{secret}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    @property
    def data(self) -> Path:
        assert self.directory is not None, "the server was never started"
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.data.parent / "server.log"

    @property
    def socket_directory(self) -> Path:
        assert self._sockets is not None, "the server was never started"
        return self._sockets

    @property
    def pid(self) -> int | None:
        """The postmaster, if it is running."""
        return self._process.pid if self._process is not None and self.alive() else None

    def tool(self, name: str) -> str:
        """The path of one of the installation's programs, such as pgbench."""
        return str(reachable(self.installation, self._account) / name)

    def log_tail(self, lines: int = 20) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except (OSError, AssertionError):
            return ""

    # -- life and death

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the server (making it first, the first time) and returns when it takes connections."""
        if self.alive():
            return
        self._reap()
        if not self._prepared:
            self._prepare()
            self._prepared = True
        for _ in range(PORT_ATTEMPTS):
            if not self._port_is_settled:
                self.port = free_port()
            before = self.log.stat().st_size if self.log.exists() else 0
            self._launch()
            if self._ready():
                self._port_is_settled = True
                return
            said = self.log.read_bytes()[before:].decode(errors="replace")
            self.stop("immediate", 5)
            if self._port_is_settled or "could not bind" not in said:
                break
        raise ServerError(
            f"PostgreSQL {self.installation.release} did not start in {self.directory}:\n{self.log_tail()}",
            "the server's own words above say why; a port in use or a setting it does not know are the usual reasons",
        )

    def stop(self, mode: Literal["fast", "immediate"] = "fast", timeout: float = 30.0) -> None:
        """Ends the server if it runs. A fast shutdown that takes longer than `timeout` becomes an immediate one."""
        process = self._process
        if process is None:
            return
        wanted = [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL]
        for number in wanted if mode == "fast" else wanted[1:]:
            if process.poll() is None:
                process.send_signal(number)
            try:
                process.wait(timeout)
                break
            except subprocess.TimeoutExpired:
                continue
        self._reap()

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """kill -9 of the postmaster, as if the power had failed; returns when its children are gone too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reap()

    def close(self) -> None:
        """Stops, and removes what was temporary."""
        self.stop("immediate" if self._temporary else "fast")
        atexit.unregister(self._close_at_exit)
        if self._sockets is not None and self._sockets.parent != self.directory:
            shutil.rmtree(self._sockets, ignore_errors=True)
        if self._temporary and self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None
        self._sockets = None
        self._prepared = False

    def create_database(self, name: str) -> str:
        """Makes an empty database and returns its DSN."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(name)

    # -- how

    def _prepare(self) -> None:
        self.directory = temporary_folder(self._account) if self.directory is None else self.directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        atexit.register(self._close_at_exit)
        self._owner = os.getpid()
        private_folder(self._account, self.data)
        self._sockets = socket_folder(self._account, self.directory)
        if not (self.data / "demo.conf").exists():  # our last word: without it, initdb was interrupted or not ours
            self._initialise()
            with (self.data / "postgresql.conf").open("a") as file:
                file.write("\ninclude 'demo.conf'\n")
        lines = (f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in self.settings.items())
        (self.data / "demo.conf").write_text("\n".join(lines) + "\n")
        (self.data / "demo.conf").chmod(0o644)

    def _initialise(self) -> None:
        command = [self.tool("initdb"), "-D", str(self.data), "-U", SUPERUSER, "--no-sync", "--locale=C", "-E", "UTF8"]
        secret = self.data.parent / "password"
        if self._auth != "trust":
            secret.touch(mode=0o600)
            secret.write_text(self._password + "\n")
            give(self._account, secret)
            command.append(f"--pwfile={secret}")
        answer = run_as(self._account, [*command, "-A", self._auth])
        secret.unlink(missing_ok=True)
        if answer.returncode != 0:
            raise ServerError(f"initdb failed in {self.data}:\n{answer.stderr.strip()}", "see initdb's own words above")

    def _launch(self) -> None:
        scrap = str(self.directory) if self._temporary else ""
        apart = str(self._sockets) if self.socket_directory.parent != self.directory else ""
        server = [self.tool("postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self._sockets)]
        user = None if self._account is None else self._account.uid
        group = None if self._account is None else self._account.gid
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", WATCHED, "server", scrap, apart, *server],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env=clean_environment(),
                user=user,
                group=group,
                extra_groups=None if self._account is None else [],
                start_new_session=True,
            )

    def _ready(self) -> bool:
        """Waits until the server takes connections; False if it ended instead, or took too long."""
        assert self._process is not None
        end = time.monotonic() + self._start_timeout
        while time.monotonic() < end:
            try:
                self._process.wait(0.02)
                return False
            except subprocess.TimeoutExpired:
                pass
            try:
                self._connect_by_socket().close()
            except psycopg.OperationalError:
                continue
            return self.alive()
        return False

    def _connect_by_socket(self) -> psycopg.Connection[tuple[object, ...]]:
        """The socket is ours alone, while another server may be listening on the port that ours fails to get."""
        return psycopg.connect(
            host=str(self._sockets), port=self.port, dbname="postgres", user=SUPERUSER, password=self._password
        )

    def _reap(self) -> None:
        """After the postmaster's end: waits for its children, and sends the watcher home."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with selectors.DefaultSelector() as line:
            line.register(process.stdout, selectors.EVENT_READ)
            gone = bool(line.select(30))
        try:
            process.stdin.write(b"done\n")
            process.stdin.close()
        except BrokenPipeError:
            pass
        process.stdout.close()
        process.wait()
        if not gone:
            raise ServerError(
                f"processes of the killed server in {self.directory} are still busy after 30 s",
                "a long query is running in one of them; end that process",
            )

    def _close_at_exit(self) -> None:
        if self._owner == os.getpid():
            self.close()

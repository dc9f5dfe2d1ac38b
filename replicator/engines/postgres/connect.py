"""Connections: ordinary ones and replication ones, with the settings that make text travel unchanged.

Promises: a failure says which node, what the server said and what to do, never the DSN.
"""

from __future__ import annotations

import os
import re
import socket
from typing import Any

import psycopg
from psycopg import conninfo

from replicator.engines.postgres.errors import told
from replicator.engines.postgres.sqlstates import REMEDIES
from replicator.errors import ConfigurationError, NodeUnavailable

# Both ends write and read values as text in the same dialect; UTC makes timestamptz to timestamp exact.
SESSION = (
    "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 -c timezone=UTC -c bytea_output=hex -c xmloption=content"
)
PORTS = re.compile(r"[\d,]*")
# Our statements are short and many, and what they cost is overrated where a table has no index: compiling takes longer.
SPEED = "-c jit=off"
# Both ends notice within half a minute that the other's host is gone. The server's end matters as much: what a dead
# replicator's session holds there, its successor waits for.
KEEPALIVE = {
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000, "connect_timeout": 10,
}  # fmt: skip
SERVER_KEEPALIVE = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=30000"


def runner() -> str:
    """This process, as sessions of a running replicator name it: `host:pid`."""
    return f"{socket.gethostname().split('.')[0][:20]}:{os.getpid()}"


def connect(node: str, dsn: str, purpose: str, replication: bool = False) -> psycopg.Connection:
    """A connection in autocommit mode. `purpose` shows in pg_stat_activity as part of application_name."""
    given = _taken_apart(node, dsn)
    options = f"{given.get('options') or ''} {SESSION} {SPEED} {SERVER_KEEPALIVE}".strip()
    settings: dict[str, Any] = {**KEEPALIVE, "options": options}
    if replication:
        settings["replication"] = "database"
    try:
        return psycopg.connect(dsn, autocommit=True, application_name=f"replicator {purpose}", **settings)
    except psycopg.OperationalError as error:
        state = error.sqlstate or _state_in(str(error))
        place = f"{given.get('host') or 'local socket'}:{given.get('port') or 5432}"
        hint = REMEDIES.get(state, "check that the server runs and that host, port and database in the DSN are right")
        raise NodeUnavailable(f"{node}: cannot connect to {place}: {_reason(error)}", hint, node=node, sqlstate=state) from None


def _taken_apart(node: str, dsn: str) -> dict[str, Any]:
    """The DSN's parts; never those of one whose password has slipped into host, port or database, which messages do show."""
    try:
        given = conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        given = None
    if given is None or _slipped(dsn, given):
        raise ConfigurationError(
            f"{node}: the DSN in the environment is not one that PostgreSQL understands",
            "write it as postgresql://user:password@host:port/database, with @ / : ? # % of the password as "
            "%40 %2F %3A %3F %23 %25",
            node=node,
        )
    return given


def _slipped(dsn: str, given: dict[str, Any]) -> bool:
    """Whether a URI has an @ or / in its password that is not written as %40 or %2F: it is taken apart at the wrong place."""
    if not dsn.startswith(("postgres://", "postgresql://")):
        return False
    return "@" in f"{given.get('host') or ''}{given.get('dbname') or ''}" or not PORTS.fullmatch(str(given.get("port") or ""))


def _reason(error: psycopg.OperationalError) -> str:
    text = told(error)
    return text.split("FATAL:  ")[-1].strip()


def _state_in(text: str) -> str:
    # libpq gives no SQLSTATE for a refused start-up; the words are stable since 9.0.
    if "password authentication failed" in text or "no password supplied" in text:
        return "28P01"
    if "pg_hba.conf" in text or "must be superuser or replication role" in text or "to start WAL sender" in text:
        return "28000"
    if "does not exist" in text and "database" in text:
        return "3D000"
    if "too many connections" in text or "remaining connection slots" in text:
        return "53300"
    return ""

"""SQLSTATE to kind, in one place; what follows from a kind is decided where it is caught.

Source: PostgreSQL documentation, Appendix A. Kinds:
    lost     the connection or the server is gone: reconnect, go on
    busy     time heals it: locks, deadlocks, serialization
    row      this row cannot be written as it is: park the pair, the rest goes on
    setup    somebody has to change something: a privilege, a missing table, no room
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from replicator.errors import Kind, NodeUnavailable, WriteFailed

STATES: dict[str, Kind] = {
    **dict.fromkeys(("57P01", "57P02", "57P03", "57P05", "55006"), "lost"),
    **dict.fromkeys(("40001", "40P01", "55P03", "57014", "25P03"), "busy"),
    **dict.fromkeys(("42804", "42846"), "row"),
}
CLASSES: dict[str, Kind] = {
    "08": "lost",
    "40": "busy",
    **dict.fromkeys(("22", "23", "44", "P0"), "row"),
    **dict.fromkeys(("0A", "25", "28", "42", "53", "55"), "setup"),
}
QUOTED = re.compile(r'"[^"]*"(?!\w)')

REMEDIES: dict[str, str] = {
    "42501": "grant the replicator's role what the README lists under Privileges",
    "42P01": "run `replicator init`, or restore the table",
    "42704": "what `replicator init` made is not there: `replicator check` says what is missing",
    "42703": "the table has changed: run `replicator lint`",
    "53100": "the server's disk is full: make room, the flow goes on by itself",
    "53300": "the server has no connection left: raise max_connections",
    "53400": "raise max_replication_slots and max_wal_senders, restart the server",
    "28P01": "wrong password: check the DSN in the environment",
    "28000": "the server does not let this role in: check pg_hba.conf and the role's REPLICATION attribute",
    "3D000": "the database does not exist: check the DSN in the environment",
    "55000": "see the server's message; `replicator check` tells which setting is missing",
}


def kind_of(error: psycopg.Error) -> Kind:
    state = error.sqlstate
    if state is None:
        return "lost" if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else "setup"
    # What is not listed was raised for a row: by a trigger with a state of its own, by a limit that the row exceeds.
    return STATES.get(state) or CLASSES.get(state[:2], "row")


def told(error: psycopg.Error) -> str:
    """The server's primary message without its detail: details quote cell values."""
    primary = error.diag.message_primary
    if primary is None:
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    place = [
        f"{name} {value}"
        for name, value in (
            ("table", error.diag.table_name),
            ("column", error.diag.column_name),
            ("constraint", error.diag.constraint_name),
        )
        if value
    ]
    if error.sqlstate and error.sqlstate.startswith("22"):
        primary = QUOTED.sub('"..."', primary)  # invalid input syntax for type integer: "12a"
    return f"{primary} [{', '.join(place)}]" if place else primary


@contextmanager
def translated(node: str) -> Iterator[None]:
    """Turns psycopg's errors into ours, naming the node and the SQLSTATE."""
    try:
        yield
    except psycopg.Error as error:
        kind = kind_of(error)
        state = error.sqlstate or ""
        if kind == "lost":
            message = f"{node}: connection lost: {told(error)}"
            raise NodeUnavailable(message, "it is tried again by itself", node=node, sqlstate=state) from error
        hint = REMEDIES.get(state, "")
        raise WriteFailed(f"{node}: {told(error)} (SQLSTATE {state})", hint, kind, state, node=node) from error

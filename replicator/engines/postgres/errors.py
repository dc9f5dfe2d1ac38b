"""psycopg's errors as ours: the node, what the server said without its detail, the SQLSTATE and its kind.

Which SQLSTATE is of which kind: sqlstates.py. What follows from a kind: model/failure.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from replicator.engines.postgres.sqlstates import REMEDIES, kind_of
from replicator.errors import Kind, NodeUnavailable, WriteFailed
from replicator.model.failure import POLICIES

QUOTED = re.compile(r'"[^"]*"(?!\w)')


def _kind(error: psycopg.Error) -> Kind:
    if error.sqlstate is None:
        return "lost" if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else "fault"
    return kind_of(error.sqlstate)


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
        kind = _kind(error)
        state = error.sqlstate or ""
        if kind == "lost":
            raise NodeUnavailable(f"{node}: connection lost: {told(error)}", POLICIES[kind].remedy) from error
        hint = REMEDIES.get(state) or POLICIES[kind].remedy
        raise WriteFailed(f"{node}: {told(error)} (SQLSTATE {state})", hint, kind, state) from error

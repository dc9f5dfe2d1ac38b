"""Links that stand still, as a node has noted them (replicator.paused)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import psycopg

from replicator.engines.postgres.sql import statement
from replicator.errors import ConfigurationError
from replicator.model.pause import Pause


def _sql(name: str) -> str:
    return statement(name, "drift.sql")


@dataclass(frozen=True, slots=True)
class Paused:
    """In one flow. `kept`: records of the link of which changes are parked."""

    flow: str
    since: datetime
    pause: Pause
    kept: int


def paused(connection: psycopg.Connection) -> list[Paused]:
    rows = connection.execute(_sql("paused")).fetchall()
    return [
        Paused(flow, since, Pause(link, by, reason, hint, place, node, table, column, stale), kept)
        for flow, link, since, by, reason, hint, place, node, table, column, stale, kept in rows
    ]


def require_going(connection: psycopg.Connection, links: Collection[str]) -> None:
    """Raises ConfigurationError if one of these is paused: what somebody would wait for would not come."""
    for one in paused(connection):
        if one.pause.link in links:
            name = one.pause.link
            raise ConfigurationError(f"link {name} is paused: {one.pause.reason}", f"`replicator resume {name}` first")


def values_of(flow: str, pause: Pause) -> tuple[str | bool, ...]:
    """The parameters of `pause` in sql/drift.sql."""
    known = (pause.by, pause.reason, pause.hint, pause.place, pause.node, pause.table, pause.column, pause.stale)
    return (flow, pause.link, *known)


def pause(connection: psycopg.Connection, flow: str, wanted: Pause) -> bool:
    """False if it is paused already, for whatever reason."""
    return connection.execute(_sql("pause"), values_of(flow, wanted)).fetchone() is not None


def resume(connection: psycopg.Connection, flow: str, link: str) -> bool:
    """False if it was not paused."""
    return connection.execute(_sql("resume"), (flow, link)).fetchone() is not None

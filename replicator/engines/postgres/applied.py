"""The links that a node remembers: those its state was made for."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg.types.json import Jsonb

from replicator.engines.postgres.sql import statement
from replicator.program.applied import Applied


def _sql(name: str) -> str:
    return statement(name, "applied.sql")


def remembered(connection: psycopg.Connection) -> dict[str, Applied] | None:
    """By name. Empty where `init` has not been, or not to its end; None for the state of a version that remembered none."""
    row = connection.execute(_sql("remembers")).fetchone()
    there, remembers = row or (False, False)
    if not remembers:
        return None if there else {}
    return {row[0]: Applied(row[0], tuple(row[1]), row[2], row[3]) for row in connection.execute(_sql("links")).fetchall()}


def remember(connection: psycopg.Connection, links: Iterable[Applied], only: bool = False) -> None:
    """`only`: others are forgotten. A link that is remembered as it is keeps its time."""
    listed = list(links)
    for link in listed:
        values = (link.name, list(link.fields), Jsonb(link.shape), Jsonb(link.document))
        connection.execute(_sql("remember"), values)
    if only:
        connection.execute(_sql("forget"), ([link.name for link in listed],))

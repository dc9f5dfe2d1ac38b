"""A record's values in SQL over its row: its columns, and the queries of what it derives.

The row goes by a name of our own, so that a user's query that happens to call a table like one of ours still reads its own.
"""

from __future__ import annotations

from replicator.mapping.queries import rendered
from replicator.model.link import Side
from replicator.program.sql import quote

OWN = "own"


def own(column: str) -> str:
    return f"{OWN}.{quote(column)}"


def value_of(side: Side, name: str) -> str:
    if name in side.derived:
        return f"({rendered(side.derived[name], own)})"
    return own(name)

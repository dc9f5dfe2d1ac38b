"""The names of a link's own tables and of their key columns: decided here, used everywhere."""

from __future__ import annotations

import hashlib

from replicator.model.link import Link

LIMIT = 63  # bytes of a PostgreSQL identifier (NAMEDATALEN - 1)


def fitted(name: str) -> str:
    """`name`, or when it is too long, its start and a digest that keeps it unique."""
    raw = name.encode()
    if len(raw) <= LIMIT:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:8]
    return raw[: LIMIT - 9].decode(errors="ignore") + "_" + digest


def crosswalk(link: Link) -> str:
    return fitted(f"crosswalk_{link.name}")


def tombstone(link: Link) -> str:
    return fitted(f"tombstone_{link.name}")


def ledger(link: Link) -> str:
    return fitted(f"ledger_{link.name}")


def pair_columns(link: Link, node: str) -> tuple[str, ...]:
    """The columns that hold a record's key on `node`, in crosswalk, tombstones and ledger."""
    return tuple(fitted(f"{node}_{column}") for column in link.side(node).key)


def position_column(node: str) -> str:
    """A tombstone's column: up to this position of `node`, changes there were made before the delete was known."""
    return f"{node} position"  # no key column is called so: theirs have an underscore there

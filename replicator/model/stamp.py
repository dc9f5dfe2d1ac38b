"""Stamps: (commit time of the user's transaction, node) in one integer that orders any two writes.

A stamp is `microseconds since 2000-01-01 UTC * 64 + node number`: comparing integers compares
times, and equal times of different nodes differ by the node. It fits a signed 64-bit column
until the year 6000. CONVERGENCE.md (chapter "The rule in words") says why stamps decide.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NODES = 64
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
EARLIEST = 1_000_000  # microseconds: answers to what is not dated count up from 0, and no edit is as old as this


def make(microseconds: int, node: int) -> int:
    """The stamp of a transaction committed `microseconds` after PostgreSQL's epoch on node number `node`."""
    return microseconds * NODES + node


def above(stamp: int, node: int) -> int:
    """The smallest stamp of `node` that beats `stamp`."""
    return (stamp // NODES + 1) * NODES + node


def undated(node: int) -> int:
    """Of a value that was there already, nobody knows since when: any edit that is known beats it."""
    return make(0, node)


def is_dated(stamp: int) -> bool:
    return stamp // NODES > EARLIEST


def node_of(stamp: int) -> int:
    return stamp % NODES


def time_of(stamp: int) -> datetime:
    return EPOCH + timedelta(microseconds=stamp // NODES)


def days_ago(days: int) -> int:
    """No stamp that is younger than so many days is smaller."""
    return make(int((datetime.now(UTC) - EPOCH - timedelta(days=days)) / timedelta(microseconds=1)), 0)

"""How far the servers' clocks are apart.

Each server is asked for the time a few times; the quickest answer counts, taken to have been given half way between
asking and hearing. What remains unknown is half of that round trip (`doubt_ms`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from replicator.engines.postgres.check import server_clock
from replicator.engines.postgres.errors import translated

ROUND_TRIPS = 7
_START = time.time() - time.monotonic()  # somebody may set our own clock between two readings


@dataclass(frozen=True, slots=True)
class Reading:
    """One server's clock minus ours as it was when this process began, in milliseconds: what counts is the difference of
    two readings."""

    ahead_ms: float
    doubt_ms: float


@dataclass(frozen=True, slots=True)
class Distance:
    """`other` is ahead of `one` by `ahead_ms` (behind, if negative), give or take `doubt_ms`."""

    one: str
    other: str
    ahead_ms: float
    doubt_ms: float

    def beyond(self, limit_ms: float) -> bool:
        """Whether it is surely more than that."""
        return abs(self.ahead_ms) - self.doubt_ms > limit_ms

    @property
    def early(self) -> str:
        return self.one if self.ahead_ms > 0 else self.other

    @property
    def late(self) -> str:
        """The node whose clock is ahead: its edits look younger than they are."""
        return self.other if self.ahead_ms > 0 else self.one


def read_clock(connection: psycopg.Connection, round_trips: int = ROUND_TRIPS) -> Reading:
    best = Reading(0.0, float("inf"))
    for _ in range(round_trips):
        sent = time.monotonic()
        clock = server_clock(connection)
        received = time.monotonic()
        half = (received - sent) * 500
        if half < best.doubt_ms:
            best = Reading(clock / 1000 - (_START + (sent + received) / 2) * 1000, half)
    return best


def read_clocks(connections: Mapping[str, psycopg.Connection]) -> dict[str, Reading]:
    found = {}
    for node, connection in connections.items():
        with translated(node):
            found[node] = read_clock(connection)
    return found


def distances(readings: Mapping[str, Reading], pairs: Sequence[tuple[str, str]]) -> list[Distance]:
    """Of the pairs of which both are known."""
    return [
        Distance(
            one,
            other,
            readings[other].ahead_ms - readings[one].ahead_ms,
            readings[other].doubt_ms + readings[one].doubt_ms,
        )
        for one, other in pairs
        if one in readings and other in readings
    ]

"""Sends made-up values through a field's two expressions, each on its own server, and looks whether they come back.

Promises: read-only transactions; no statement reads anybody's table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg

from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.rehearse import Attempts, read_only, usable_values
from replicator.mapping.laws import Answer, Value
from replicator.program.round_trips import End, RoundTrip


@dataclass(frozen=True, slots=True)
class Lost:
    """A value of `node` that becomes `there` on the other, which becomes `back`."""

    node: str
    value: Value
    there: Value
    back: Value


def lost_on_the_way(connections: Mapping[str, psycopg.Connection], trip: RoundTrip) -> list[Lost]:
    """For each end, the first of its values that comes back as another. Raises WriteFailed if a server cannot be asked."""
    one, other = trip.ends
    with ExitStack() as stack:
        for end in trip.ends:
            with translated(end.node):
                stack.enter_context(read_only(connections[end.node]))
        found = [_lost(connections, *ends) for ends in ((one, other), (other, one))]
    return [lost for lost in found if lost is not None]


def _lost(connections: Mapping[str, psycopg.Connection], end: End, other: End) -> Lost | None:
    here = connections[end.node]
    with translated(end.node):
        values = usable_values(here, end.listed, end.candidates, end.usable)
    values += [None] if end.nullable else []
    sent = _made(connections, other, values)
    arrived = [(value, answer.value) for value, answer in zip(values, sent, strict=True) if not answer.failed]
    returned = _made(connections, end, [there for _, there in arrived])
    trips = [(a, b, back.value) for (a, b), back in zip(arrived, returned, strict=True) if not back.failed]
    unlike = [trip for trip in trips if trip[0] != trip[2]]
    with translated(end.node):
        same = Attempts(here, end.same, 2).run([(a, back) for a, _, back in unlike])
    if not isinstance(same, Answer):
        unlike = [trip for trip, answer in zip(unlike, same, strict=True) if answer.value != "true"]
    return Lost(end.node, *unlike[0]) if unlike else None


def _made(connections: Mapping[str, psycopg.Connection], end: End, values: Sequence[Value]) -> list[Answer]:
    with translated(end.node):
        return Attempts(connections[end.node], end.made, 1).of([(value,) for value in values])

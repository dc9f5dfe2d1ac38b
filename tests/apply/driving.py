"""Small things every apply test does."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from replicator.errors import ReplicatorError
from tests.two_way.pair_of_nodes import Pair


def transaction(connection: psycopg.Connection, *statements: str) -> None:
    """All of them in one transaction of a user's."""
    with connection.transaction():
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload]


def parked(pair: Pair, link: str | None = None) -> list[tuple[str, list[str], str, str | None]]:
    """(link, key, reason, SQLSTATE) of what is parked, in order."""
    found = [(name, key, reason, state) for _, name, key, reason, state, _ in pair.parked()]
    return [row for row in found if link is None or row[0] == link]


def column(pair: Pair, node: str, sql: str) -> list[Any]:
    return [row[0] for row in pair.rows(node, sql)]


def until(pair: Pair, true: Callable[[], bool]) -> None:
    """Runs the replicator as the daemon does; the alarm (conftest.py) ends what never comes."""
    while not true():
        for flow in pair.exchange.flows:
            flow.ask_for_retries()
        if not pair.turn():
            pair.exchange.wait(0.02)


def within(seconds: int) -> None:
    """Rings the alarm (conftest.py) sooner: for what is known to end at once or never."""
    signal.setitimer(signal.ITIMER_REAL, seconds, 10)


def bug(why: str) -> pytest.MarkDecorator:
    """A promise that is not kept yet. Remove the mark with the fix."""
    return pytest.mark.xfail(strict=True, raises=(AssertionError, KeyError, TimeoutError, ReplicatorError), reason=why)

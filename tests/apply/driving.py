"""Small things every apply test does."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
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


@contextmanager
def unseen(pair: Pair, *statements: str) -> Iterator[Future[None]]:
    """A user of the CRM commits these in one transaction: they are in the stream, but the session waits for a standby that does
    not come, and nobody sees them until the block ends. Nobody else waits for it."""

    def user() -> None:
        with psycopg.connect(dsn, options="-c synchronous_commit=on", autocommit=True) as connection:
            transaction(connection, *statements)

    dsn = pair.crm.info.dsn
    with psycopg.connect(dsn, autocommit=True) as admin, ThreadPoolExecutor(1) as pool:
        admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        admin.execute("ALTER SYSTEM SET synchronous_commit = 'local'")
        admin.execute("SELECT pg_reload_conf()")
        committed = pool.submit(user)
        try:
            yield committed
        finally:
            admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            admin.execute("ALTER SYSTEM RESET synchronous_commit")
            admin.execute("SELECT pg_reload_conf()")
        committed.result(30)


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

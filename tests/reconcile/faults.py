"""Two linked databases with everything in step, and hands that change them behind the replicator's back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from replicator.reconcile.difference import Difference
from replicator.reconcile.link_run import LinkResult
from replicator.runtime.reconcile import Options, Report, reconcile
from tests.two_way.pair_of_nodes import Pair

ORIGIN = "planted_faults"


@contextmanager
def behind(pair: Pair, node: str) -> Iterator[psycopg.Connection]:
    """A session whose changes are neither captured nor seen by triggers."""
    with psycopg.connect(pair.environ[f"{node.upper()}_DSN"], autocommit=True) as connection:
        known = connection.execute("SELECT FROM pg_replication_origin WHERE roname = %s", (ORIGIN,)).fetchone()
        if known is None:
            connection.execute("SELECT pg_replication_origin_create(%s)", (ORIGIN,))
        connection.execute("SELECT pg_replication_origin_session_setup(%s)", (ORIGIN,))
        connection.execute("SET session_replication_role = replica")
        yield connection


def plant(pair: Pair, node: str, sql: str, *params: Any) -> None:
    with behind(pair, node) as connection:
        connection.execute(sql, params or None)  # type: ignore[call-overload]


def compared(pair: Pair, *links: str, **options: Any) -> Report:
    report = reconcile(pair.config, pair.environ, links, Options(**{"wait": 20.0, **options}))
    assert [(one.link, one.problem) for one in report.links if one.problem] == []
    return report


def of_link(report: Report, link: str) -> LinkResult:
    (found,) = (one for one in report.links if one.link == link)
    return found


def kinds(report: Report, link: str) -> dict[str, int]:
    result = of_link(report, link)
    assert len(result.unsettled) == 0
    return dict(result.differences.kinds)


def only(report: Report, link: str) -> Difference:
    (found,) = of_link(report, link).differences
    return found


def told(report: Report) -> list[Difference]:
    return [one for link in report.links for found in (link.differences, link.unsettled) for one in found]

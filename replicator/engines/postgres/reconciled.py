"""What the last reconcile of each link came to, kept on the node that the link's file names first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from replicator.engines.postgres.sql import statement


@dataclass(frozen=True, slots=True)
class Reconciled:
    """`seconds_ago`: when; `seconds`: how long it took; `compared`: records; `kinds`: differences by kind."""

    link: str
    seconds_ago: float
    seconds: float
    how: str
    compared: int
    differences: int
    unsettled: int
    kinds: dict[str, int]
    problem: str | None

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            "link": self.link, "seconds_ago": self.seconds_ago, "seconds": self.seconds, "how": self.how,
            "compared": self.compared, "differences": self.differences, "unsettled": self.unsettled, "kinds": self.kinds,
            "problem": self.problem,
        }  # fmt: skip


def _sql(name: str) -> str:
    return statement(name, "reconcile.sql")


def keep_result(
    connection: psycopg.Connection,
    link: str,
    seconds: float,
    how: str,
    compared: int,
    differences: int,
    unsettled: int,
    kinds: Mapping[str, int],
    problem: str | None,
) -> None:
    values = (link, seconds, how, compared, differences, unsettled, json.dumps(dict(kinds)), problem)
    connection.execute(_sql("keep_result"), values)


def results(connection: psycopg.Connection) -> list[Reconciled]:
    return [Reconciled(*row) for row in connection.execute(_sql("results")).fetchall()]

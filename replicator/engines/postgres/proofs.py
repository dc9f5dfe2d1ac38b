"""Moments and proofs on PostgreSQL: `sql/reconcile.sql` in the session's transaction."""

from __future__ import annotations

from replicator.engines.postgres.session import PostgresSession
from replicator.engines.postgres.sql import statement
from replicator.ports.proofs import Moment


def _sql(name: str) -> str:
    return statement(name, "reconcile.sql")


class PostgresProofs:
    def __init__(self, session: PostgresSession) -> None:
        self._session = session

    def moment(self) -> Moment:
        return Moment(*self._session.query(_sql("moment"))[0])

"""Moments and proofs on PostgreSQL: `sql/reconcile.sql` in the session's transaction.

What can be told from row versions (PostgreSQL documentation, "System Columns", and the sources of snapmgr.c, heapam.c): a
row never changes in place; whatever changes it makes another version with the changing transaction's number as xmin. A
version whose xmin is older than the oldest transaction that was running at a snapshot was committed by then, or never.
Transactions that ran then, and their subtransactions, whose numbers a snapshot does not show, have greater numbers: `young`
takes all of these. Numbers have 32 bits in a row and are compared by age; one that is older than half their range may be
taken for young, never a young one for an old one.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from replicator.engines.postgres.session import PostgresSession
from replicator.engines.postgres.sql import statement
from replicator.ports.proofs import Moment, Proof, Versions
from replicator.program.sql import literal

OLDEST = 1_500_000_000  # transactions after which ages are no longer trusted


def _sql(name: str) -> str:
    return statement(name, "reconcile.sql")


class PostgresProofs:
    def __init__(self, session: PostgresSession) -> None:
        self._session = session

    def moment(self) -> Moment:
        return Moment(*self._session.query(_sql("moment"))[0])

    def snapshot(self) -> str:
        return str(self._session.query(_sql("snapshot"))[0][0])

    def identity(self) -> str:
        return str(self._session.query(_sql("identity"))[0][0])

    def versions(self, tables: Sequence[str]) -> dict[str, Versions]:
        shapes = dict(self._session.query(_sql("shapes"), (list(tables),)))
        first = self._session.query(_sql("age_of_first"))[0]
        found = {}
        for name in tables:
            sql = _sql("versions").replace("{table}", name.replace("%", "%%"))
            rows, total = self._session.query(sql, first)[0] if shapes[name] else (0, 0)
            found[name] = Versions(shapes[name], rows, int(total))
        return found

    def young(self, alias: str, snapshot: str) -> str:
        return f"age({alias}.xmin) <= age(pg_snapshot_xmin({literal(snapshot)}::pg_snapshot)::xid)"

    def too_old(self, snapshot: str) -> bool:
        then, now = (int(text.split(":")[0]) for text in (snapshot, self.snapshot()))
        return now - then > OLDEST

    def keeps(self) -> bool:
        return bool(self._session.query(_sql("keeps_proofs"))[0][0])

    def load(self, link: str) -> Proof | None:
        rows = self._session.query(_sql("proof"), (link,))
        if not rows:
            return None
        run, program, identity, snapshot, tables, doubtful, unlinked, at = rows[0]
        seen = {name: Versions(shape, count, int(total)) for name, (shape, count, total) in tables.items()}
        return Proof(run, program, identity, snapshot, seen, tuple(map(tuple, doubtful)), unlinked, at)

    def save(self, link: str, proof: Proof) -> None:
        tables = {name: [seen.shape, seen.rows, str(seen.total)] for name, seen in proof.tables.items()}
        values = (link, proof.run, proof.program, proof.identity, proof.snapshot, Jsonb(tables), Jsonb(proof.doubtful))
        self._session.execute(_sql("keep_proof"), (*values, proof.unlinked))

    def forget(self, link: str) -> None:
        self._session.execute(_sql("forget_proof"), (link,))

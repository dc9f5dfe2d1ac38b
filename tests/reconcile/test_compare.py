"""The comparison's ways around trouble: lines that the other server does not take, and a source that is stopped early."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from replicator.demo.servers import Server
from replicator.engines.postgres.session import PostgresSession
from replicator.errors import WriteFailed
from replicator.reconcile.ahead import ahead
from tests.reconcile.faults import compared, of_link
from tests.reconcile.test_kinds import NUMBERS
from tests.two_way.pair_of_nodes import linked

CRM = "CREATE SCHEMA crm; CREATE TABLE crm.item (code text PRIMARY KEY, note text, at date);"
ERP = "CREATE SCHEMA erp; CREATE TABLE erp.item (code text PRIMARY KEY, note text, at timestamp);"
LINK = """link: item
flow: crm -> erp
crm: {table: crm.item, key: code}
erp: {table: erp.item, key: code}
fields:
  - {crm: code, erp: code}
  - {crm: note, erp: note}
  - {crm: at, erp: at}
"""


def test_lines_that_the_other_server_does_not_take(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a type of which the newer server has values that the older does not know."""
    with linked(server, tmp_path, f"compare{next(NUMBERS)}", CRM, ERP, {"item": LINK}) as pair:
        pair.crm.execute(
            "INSERT INTO crm.item SELECT 'c' || i, 'note ' || i, date '2020-01-01' + i FROM generate_series(1, 5000) i"
        )
        pair.settle()
        pair.crash()
        pair.erp.execute("UPDATE erp.item SET note = 'other' WHERE code IN ('c7', 'c4000')")
        pair.crm.execute("UPDATE crm.item SET code = E'odd\\tkey' WHERE code = 'c11'")
        load = PostgresSession.load_blocks

        def picky(self: PostgresSession, sql: str, blocks: Iterable[bytes]) -> None:
            taken = list(blocks)
            if "sieve" in sql and any(b"note 3\t" in block or b"note 11\t" in block for block in taken):
                raise WriteFailed("erp: not here", "", "refused", "22P02")
            load(self, sql, taken)

        monkeypatch.setattr(PostgresSession, "load_blocks", picky)
        report = compared(pair)
        found = {(one.kind, (one.keys.get("crm") or one.keys["erp"])[0]) for one in of_link(report, "item").differences}
        assert found == {
            ("refused", "c3"), ("refused", "odd\tkey"), ("differs", "c7"), ("differs", "c4000"), ("extra", "c11"),
        }  # fmt: skip
        assert of_link(report, "item").rows == 5000


def test_a_stream_that_is_left_early(server: Server) -> None:
    session = PostgresSession("one", server.create_database(f"compare{next(NUMBERS)}"), None, 1000, "test")
    try:
        session.begin()
        session.execute("SAVEPOINT before")
        blocks = ahead(session.stream("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT"))
        assert next(blocks).endswith(b"\n")
        blocks.close()  # type: ignore[attr-defined]
        session.execute("ROLLBACK TO SAVEPOINT before")
        assert session.query("SELECT 1") == [(1,)]
        with pytest.raises(WriteFailed, match="division by zero"):
            list(ahead(session.stream("COPY (SELECT 1 / (5 - i) FROM generate_series(1, 10) i) TO STDOUT")))
        session.execute("ROLLBACK TO SAVEPOINT before")
        assert b"".join(session.stream("COPY (VALUES (1), (2)) TO STDOUT")) == b"1\n2\n"
        with pytest.raises(WriteFailed, match="does not exist"):
            list(session.stream("COPY nothing TO STDOUT"))
        session.rollback()
    finally:
        session.close()

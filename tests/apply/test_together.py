"""Promise: what is to run later runs with the next statement, in order, each only if those before it did; the first that fails
is told of, and the session can be used again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replicator.capture.messages import UNCHANGED
from replicator.demo.servers import Server
from replicator.engines.postgres.writer import PostgresWriter
from replicator.errors import NodeUnavailable, WriteFailed
from tests.databases import empty

INSERT = "INSERT INTO t (id, name, tags) VALUES (%s, %s, %s)"
ALL = "SELECT id, name, tags FROM t ORDER BY id"
PREPARED = pytest.mark.parametrize("prepared", [False, True], ids=["", "prepared"])


@pytest.fixture
def writer(server: Server) -> Iterator[PostgresWriter]:
    found = PostgresWriter("erp", empty(server, "together"), None, 500, "tests")
    found.execute("CREATE TABLE t (id integer PRIMARY KEY, name text, tags text[] CHECK (cardinality(tags) < 3))")
    yield found
    found.close()


@PREPARED
def test_in_order_with_the_next_that_is_asked(writer: PostgresWriter, prepared: bool) -> None:
    for number in (1, 2):
        writer.later(INSERT, (number, b"50% \\ 'of' \xc3\xa9", "{a,b}"), prepared=prepared)
        writer.later("UPDATE t SET name = name || '%%' WHERE id = %s", (number,), prepared=prepared)
        assert writer.query("SELECT count(*), max(id) FROM t", prepared=prepared) == [(number, number)]
    writer.later(INSERT, (3, None, UNCHANGED), prepared=prepared)
    assert writer.execute("UPDATE t SET tags = %s WHERE id > %s", (["c", 'd"'], 1), prepared=prepared) == 2
    assert writer.query(ALL) == [(1, "50% \\ 'of' é%", ["a", "b"]), (2, "50% \\ 'of' é%", ["c", 'd"']), (3, None, ["c", 'd"'])]


@PREPARED
def test_the_first_that_fails_is_told_of(writer: PostgresWriter, prepared: bool) -> None:
    for _ in range(2):
        writer.begin(later=True)
        writer.later(INSERT, (1, "a", None), prepared=prepared)
        writer.later(INSERT, (2, "b", "{1,2,3}"), prepared=prepared)
        writer.later(INSERT, ("no number", "c", None), prepared=prepared)
        with pytest.raises(WriteFailed) as told:
            writer.query(ALL, prepared=prepared)
        assert told.value.sqlstate == "23514"
        writer.rollback()
        assert writer.query(ALL, prepared=prepared) == []


def test_a_plan_of_before_a_table_was_altered(writer: PostgresWriter) -> None:
    writer.execute(INSERT, (1, "7", None))
    assert writer.query("SELECT name FROM t", prepared=True) == [("7",)]
    writer.execute("ALTER TABLE t ALTER name TYPE integer USING name::integer")
    with pytest.raises(WriteFailed):
        writer.query("SELECT name FROM t", prepared=True)
    assert writer.query("SELECT name FROM t", prepared=True) == [(7,)]


def test_before_what_is_loaded(writer: PostgresWriter) -> None:
    writer.begin(later=True)
    writer.later(INSERT, (1, "a", None))
    writer.load("COPY t (id) FROM STDIN", [[2]])
    writer.commit(durable=False)
    assert writer.query(ALL) == [(1, "a", None), (2, None, None)]


def test_what_was_not_asked_for_yet_is_gone_with_the_transaction(writer: PostgresWriter) -> None:
    writer.begin()
    writer.execute(INSERT, (1, "a", None))
    writer.later(INSERT, (2, "b", None))
    writer.rollback()
    writer.begin(later=True)
    writer.later(INSERT, (3, "c", None))
    writer.rollback()
    assert writer.query(ALL) == []


def test_a_session_that_is_cut(writer: PostgresWriter) -> None:
    writer.begin(later=True)
    writer.later(INSERT, (1, "a", None))
    with pytest.raises(NodeUnavailable):
        writer.execute("SELECT pg_terminate_backend(pg_backend_pid())", prepared=True)
    with pytest.raises(NodeUnavailable):
        writer.execute("SELECT 1", prepared=True)

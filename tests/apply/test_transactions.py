"""Promise: a transaction of the source is one on the target: others there see all of it or none, however large it is
and whatever is wrong with some of its rows; transactions keep their order. TRUNCATE deletes nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.apply.conftest import Fresh
from tests.apply.driving import column, parked, transaction, within
from tests.two_way.pair_of_nodes import Pair

LINK = """
link: {kind}
crm: {{table: {kind}, key: id}}
erp: {{table: {kind}, key: {key}}}
flow: crm -> erp
fields:
  - {{crm: id, erp: id}}
  - {{crm: t, erp: t}}
"""
CHILD = """
link: child_of_{kind}
crm: {{table: child_of_{kind}, key: id}}
erp: {{table: child_of_{kind}, key: id}}
flow: crm -> erp
fields:
  - {{crm: id, erp: id}}
  - {{crm: parent, erp: parent{how}}}
"""
LINKS = (
    LINK.format(kind="copied", key="id"),
    LINK.format(kind="paired", key="no"),
    CHILD.format(kind="copied", how=""),
    CHILD.format(kind="paired", how=", link: paired"),
)
CRM = "".join(
    f"CREATE TABLE {kind} (id integer PRIMARY KEY, t text);\nCREATE TABLE child_of_{kind} (id integer PRIMARY KEY, parent integer);\n"
    for kind in ("copied", "paired")
)
ERP = """
CREATE TABLE copied (id integer PRIMARY KEY, t text CHECK (t <> 'bad'));
CREATE TABLE child_of_copied (id integer PRIMARY KEY, parent integer REFERENCES copied DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE paired (no serial PRIMARY KEY, id integer, t text CHECK (t <> 'bad'));
CREATE TABLE child_of_paired (id integer PRIMARY KEY, parent integer REFERENCES paired DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE log (n serial PRIMARY KEY, id integer);
CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log (id) VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER log AFTER INSERT ON copied FOR EACH ROW WHEN (NEW.t = 'logged') EXECUTE FUNCTION log();
"""
SMALL = 10
MANY = "INSERT INTO {} SELECT i, 't' FROM generate_series(2, 30) i"
KINDS = pytest.mark.parametrize("kind", ["copied", "paired"])


@pytest.fixture(scope="module")
def all_pairs(fresh: Fresh) -> Iterator[Pair]:
    with fresh(CRM, ERP, *LINKS, batch_rows=SMALL) as found:
        yield found


@pytest.fixture
def pair(all_pairs: Pair) -> Iterator[Pair]:
    """Empty tables, batches of ten rows."""
    yield all_pairs
    all_pairs.crash()
    for kind in ("copied", "paired"):
        transaction(all_pairs.crm, f"DELETE FROM child_of_{kind}", f"DELETE FROM {kind}")
    all_pairs.settle()
    transaction(all_pairs.erp, "DELETE FROM replicator.parked", "DELETE FROM replicator.conflict")
    transaction(all_pairs.erp, "TRUNCATE child_of_copied, child_of_paired, copied, paired")
    all_pairs.crash()


def count(pair: Pair, kind: str, where: str = "true") -> int:
    (number,) = column(pair, "erp", f"SELECT count(*) FROM {kind} WHERE {where}")
    return int(number)


@KINDS
def test_a_transaction_larger_than_a_batch_is_seen_whole_or_not_at_all(pair: Pair, kind: str) -> None:
    pair.crash()
    small, pair.config = pair.config, replace(pair.config, settings=replace(pair.config.settings, batch_rows=200))
    pair.crm.execute(f"INSERT INTO {kind} VALUES (0, 'before')")  # type: ignore[call-overload]
    pair.crm.execute(f"INSERT INTO {kind} SELECT i, 't' FROM generate_series(1, 6000) i")  # type: ignore[call-overload]
    pair.crm.execute(f"INSERT INTO {kind} VALUES (-1, 'after')")  # type: ignore[call-overload]
    seen: list[int] = []
    while not seen or seen[-1] < 6002:
        if pair.turn(0):
            seen.append(count(pair, kind))
    assert len(seen) > 10
    assert set(seen) <= {0, 1, 6001, 6002}
    transaction(pair.crm, f"UPDATE {kind} SET t = 'u' WHERE id < 1000", f"DELETE FROM {kind} WHERE id >= 1000")
    seen = [6002]
    while seen[-1] == 6002:
        if pair.turn(0):
            seen.append(count(pair, kind))
    pair.settle()
    assert count(pair, kind, "t = 'u'") == seen[-1] == 1001
    pair.crash()
    pair.config = small


@KINDS
def test_one_bad_row_in_a_transaction_larger_than_a_batch(pair: Pair, kind: str) -> None:
    transaction(pair.crm, f"INSERT INTO {kind} VALUES (1, 'bad')", MANY.format(kind))
    pair.settle()
    assert count(pair, kind) == 29
    assert parked(pair) == [(kind, ["1"], "refused", "23514")]


@KINDS
def test_a_bad_row_that_the_same_large_transaction_mends(pair: Pair, kind: str) -> None:
    transaction(
        pair.crm, f"INSERT INTO {kind} VALUES (1, 'bad')", MANY.format(kind), f"UPDATE {kind} SET t = 'good' WHERE id = 1"
    )
    pair.settle()
    assert column(pair, "erp", f"SELECT t FROM {kind} WHERE id = 1") == ["good"]
    assert parked(pair) == []


@KINDS
def test_delete_and_insert_far_apart_in_a_large_transaction(pair: Pair, kind: str) -> None:
    pair.crm.execute(f"INSERT INTO {kind} VALUES (1, 'old')")  # type: ignore[call-overload]
    pair.settle()
    transaction(pair.crm, f"DELETE FROM {kind}", MANY.format(kind), f"INSERT INTO {kind} VALUES (1, 'new')")
    pair.settle()
    assert column(pair, "erp", f"SELECT t FROM {kind} WHERE id = 1") == ["new"]
    assert count(pair, kind) == 30
    assert pair.conflicts() == []


@KINDS
def test_children_far_before_their_parent_in_a_large_transaction(pair: Pair, kind: str) -> None:
    children = f"INSERT INTO child_of_{kind} SELECT i, 1 FROM generate_series(1, 25) i"
    transaction(pair.crm, children, f"INSERT INTO {kind} VALUES (1, 't')")
    pair.settle()
    assert count(pair, f"child_of_{kind}") == 25
    assert parked(pair) == []


@KINDS
def test_a_restart_in_the_middle_of_a_large_transaction(pair: Pair, kind: str) -> None:
    pair.crm.execute(MANY.format(kind))  # type: ignore[call-overload]
    while not pair.exchange.flows[0].open:
        pair.turn(0)
    pair.crash()
    pair.settle()
    assert count(pair, kind) == 29


def test_transactions_keep_their_order(pair: Pair) -> None:
    order = [i * 37 % 101 for i in range(1, 101)]
    for number in order:
        pair.crm.execute("INSERT INTO copied VALUES (%s, 'logged')", (number,))
        pair.crm.execute("INSERT INTO paired VALUES (%s, 't')", (number,))
    pair.settle()
    assert column(pair, "erp", "SELECT id FROM log ORDER BY n") == order
    assert column(pair, "erp", "SELECT id FROM paired ORDER BY no") == order


@KINDS
def test_truncate_is_not_a_delete(pair: Pair, kind: str) -> None:
    pair.crm.execute(f"INSERT INTO {kind} VALUES (1, 'a'), (2, 'b')")  # type: ignore[call-overload]
    pair.settle()
    transaction(pair.crm, f"TRUNCATE {kind}", f"INSERT INTO {kind} VALUES (1, 'again')")
    pair.settle()
    assert pair.rows("erp", f"SELECT id, t FROM {kind} ORDER BY 1") == [(1, "again"), (2, "b")]
    assert [row[2] for row in parked(pair)] in ([], ["truncated"])  # that somebody should look is said, no more


def test_a_notice_of_a_truncate_may_be_retried(pair: Pair) -> None:
    within(5)
    pair.crm.execute("TRUNCATE copied")
    pair.settle()
    pair.erp.execute("UPDATE replicator.parked SET retry = true")
    pair.exchange.flows[0].ask_for_retries()
    pair.crm.execute("INSERT INTO copied VALUES (1, 'x')")
    pair.settle()
    assert column(pair, "erp", "SELECT t FROM copied") == ["x"]

"""Promise: a row that the target refuses is parked with SQLSTATE and a message without cell values, everything else
of its batch and transaction is applied, and it goes on when it is mended; a row that a user holds only delays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.apply.conftest import Fresh
from tests.apply.driving import column, parked, transaction
from tests.two_way.pair_of_nodes import Pair

CRM = "CREATE TABLE {} (id integer PRIMARY KEY, a text, b text, c text, d text, e text);\n"
ERP = """
CREATE TABLE {} ({} PRIMARY KEY, a text CHECK (a <> 'secret'), b text NOT NULL, c varchar(10), d text UNIQUE, e integer);
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {} FOR EACH ROW WHEN (NEW.a = 'no') EXECUTE FUNCTION refuse();
"""
REFUSE = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not on a Sunday'; END $$;\n"
LINK = "link: {0}\ncrm: {{table: {0}, key: id}}\nerp: {{table: {0}, key: {1}}}\nflow: crm -> erp\nfields:\n"
LINK += "".join(f"  - {{{{crm: {c}, erp: {c}}}}}\n" for c in "abcde")
LINKS = LINK.format("copied", "id") + "  - {crm: id, erp: id}\n", LINK.format("paired", "no")
KINDS = ("copied", "paired")
# what is wrong with a row: its columns, the SQLSTATE
WRONGS = {
    "check": ("'secret', 'x', 'x', NULL, '1'", "23514"),
    "not null": ("'x', NULL, 'secret', NULL, '1'", "23502"),
    "too long": ("'x', 'x', 'secret secret', NULL, '1'", "22001"),
    "unique": ("'x', 'x', 'x', 'secret', '1'", "23505"),
    "trigger": ("'no', 'secret', 'x', NULL, '1'", "P0001"),
    "not a number": ("'x', 'x', 'x', NULL, 'secret'", "22P02"),
    "too large": ("'x', 'x', 'x', NULL, '53C4E799999999'", "22P02"),
    "far too large": ("'x', 'x', 'x', NULL, '99999999999'", "22003"),
}
NUMBER = {name: i for i, name in enumerate(WRONGS, start=10)}


@pytest.fixture(scope="module")
def pair(fresh: Fresh) -> Iterator[Pair]:
    erp = REFUSE + ERP.format("copied", "id integer", "copied") + ERP.format("paired", "no serial", "paired")
    with fresh(CRM.format("copied") + CRM.format("paired"), erp, *LINKS) as found:
        for kind in KINDS:
            found.erp.execute(f"INSERT INTO {kind} VALUES (-1, 'ours', 'x', 'x', 'secret', 1)")  # type: ignore[call-overload]
            rows = [f"({NUMBER[name]}, {columns})" for name, (columns, _) in WRONGS.items()]
            good = [f"({number}, 'good', 'x', 'x', '{number}', '1')" for number in range(1, 9)]
            mixed = [row for both in zip(good, rows, strict=True) for row in both]
            transaction(found.crm, *(f"INSERT INTO {kind} VALUES {row}" for row in mixed))
        found.settle()
        yield found


@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_of_the_transaction_is_applied(pair: Pair, kind: str) -> None:
    assert column(pair, "erp", f"SELECT d FROM {kind} WHERE a = 'good' ORDER BY d") == [str(i) for i in range(1, 9)]
    assert column(pair, "erp", f"SELECT count(*) FROM {kind} WHERE a <> 'good'") == [1]


@pytest.mark.parametrize("wrong", WRONGS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_bad_row_is_parked_with_its_sqlstate(pair: Pair, kind: str, wrong: str) -> None:
    found = [row[2:] for row in parked(pair, kind) if row[1] == [str(NUMBER[wrong])]]
    assert found == [("refused", WRONGS[wrong][1])]


def test_messages_hold_no_cell_values(pair: Pair) -> None:
    messages = " ".join(row[5] for row in pair.parked())
    assert "secret" not in messages
    assert "99999999999" not in messages


@pytest.mark.parametrize("wrong", ["check", "unique"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_row_that_is_mended_is_applied(pair: Pair, kind: str, wrong: str) -> None:
    key = NUMBER[wrong]
    pair.crm.execute(f"UPDATE {kind} SET c = 'later' WHERE id = {key}")  # type: ignore[call-overload]
    pair.settle()
    assert [key for _, [key], *_ in parked(pair, kind)].count(str(key)) == 1
    pair.crm.execute(f"UPDATE {kind} SET a = 'mended', d = 'mended {key}' WHERE id = {key}")  # type: ignore[call-overload]
    pair.settle()
    assert pair.rows("erp", f"SELECT a, c FROM {kind} WHERE d = 'mended {key}'") == [("mended", "later")]
    assert str(key) not in [key for _, [key], *_ in parked(pair, kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_row_that_is_deleted_is_forgotten(pair: Pair, kind: str) -> None:
    key = NUMBER["too long"]
    pair.crm.execute(f"DELETE FROM {kind} WHERE id = {key}")  # type: ignore[call-overload]
    pair.settle()
    assert str(key) not in [key for _, [key], *_ in parked(pair, kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_row_is_tried_again_when_somebody_asks(pair: Pair, kind: str) -> None:
    key = str(NUMBER["not null"])
    ask = "UPDATE replicator.parked SET retry = true WHERE link = %s AND key = %s"
    pair.erp.execute(ask, (kind, [key]))
    pair.exchange.flows[0].ask_for_retries()
    pair.settle()
    assert [row[3] for row in parked(pair, kind) if row[1] == [key]] == ["23502"]
    pair.erp.execute(f"ALTER TABLE {kind} ALTER b DROP NOT NULL")  # type: ignore[call-overload]
    pair.erp.execute(ask, (kind, [key]))
    pair.exchange.flows[0].ask_for_retries()
    pair.settle()
    assert key not in [key for _, [key], *_ in parked(pair, kind)]
    assert pair.rows("erp", f"SELECT a FROM {kind} WHERE b IS NULL") == [("x",)]


@pytest.mark.parametrize("kind", KINDS)
def test_unique_values_are_swapped_beside_a_bad_row(pair: Pair, kind: str) -> None:
    bad = f"INSERT INTO {kind} VALUES (50, 'secret', 'x', 'x', NULL, '1')"
    swap = [f"UPDATE {kind} SET d = '{d}' WHERE id = {key}" for key, d in ((7, "tmp"), (8, "7"), (7, "8"))]
    transaction(pair.crm, swap[0], bad, *swap[1:])
    pair.settle()
    swapped = pair.rows("crm", f"SELECT d FROM {kind} WHERE id IN (7, 8) ORDER BY id")
    found = [row[1] for row in parked(pair, kind) if row[1][0] in {"7", "8", "50"}]
    assert (swapped, found) == ([("8",), ("7",)], [["50"]])


def test_a_parked_update_keeps_the_row_as_it_was(pair: Pair) -> None:
    pair.crm.execute("UPDATE paired SET c = 'changed', e = 'x' WHERE id = 1")
    pair.settle()
    assert pair.rows("erp", "SELECT c, e FROM paired WHERE d = '1'") == [("x", 1)]
    pair.crm.execute("UPDATE paired SET e = '2' WHERE id = 1")
    pair.settle()
    assert pair.rows("erp", "SELECT c, e FROM paired WHERE d = '1'") == [("changed", 2)]


def test_a_retry_that_was_asked_for_is_not_lost_with_the_daemon(pair: Pair) -> None:
    """It dies after it has read the wish, and before it has tried."""
    pair.erp.execute("UPDATE replicator.parked SET retry = true WHERE link = 'paired' AND key = '{14}'")
    pair.exchange.flows[0].ask_for_retries()
    pair.crash()
    soon = "SELECT next_try BETWEEN now() AND now() + interval '1 minute' FROM replicator.parked WHERE link = 'paired' AND key = '{14}'"
    assert pair.rows("erp", soon) == [(True,)]


def test_attempts_are_counted(pair: Pair) -> None:
    what = "SELECT attempts, since FROM replicator.parked WHERE link = 'paired' AND key = '{16}'"
    ((_, since),) = pair.rows("erp", what)
    for c in ("first", "second"):
        pair.crm.execute("UPDATE paired SET c = %s WHERE id = 16", (c,))
        pair.settle()
    assert pair.rows("erp", what) == [(3, since)]

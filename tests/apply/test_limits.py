"""Promise: where too much would be parked the flow stands still, nothing of the batch is written or parked, and it says why;
a link that is broken as a whole is set aside as a whole while the others go on; what the server lacks is waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replicator.apply import careful
from tests.apply.conftest import Fresh
from tests.apply.driving import column, parked, transaction, until
from tests.two_way.pair_of_nodes import Pair

TABLE = "CREATE TABLE {} (id integer PRIMARY KEY, t text)"
LINK = "link: {0}\ncrm: {{table: {0}, key: id}}\nerp: {{table: {0}, key: id}}\nflow: crm -> erp\nfields:\n  - {{crm: id, erp: id}}\n  - {{crm: t, erp: t}}\n"
CHECKED = TABLE.format("item") + "; ALTER TABLE item ADD CONSTRAINT good CHECK (t <> 'bad')"


def limits(pair: Pair, **settings: int) -> None:
    pair.config = replace(pair.config, settings=replace(pair.config.settings, **settings))


def halted(pair: Pair) -> str:
    return str(column(pair, "erp", "SELECT COALESCE(halted, '') FROM replicator.checkpoint")[0])


def insert(pair: Pair, bad: int, good: int) -> None:
    first = column(pair, "crm", "SELECT COALESCE(max(id), 0) FROM item")[0]
    rows = "SELECT %s + i, CASE WHEN i <= %s THEN 'bad' ELSE 'good' END FROM generate_series(1, %s) i"
    pair.crm.execute("INSERT INTO item " + rows, (first, bad, bad + good))


def test_more_than_half_of_a_batch(fresh: Fresh) -> None:
    with fresh(TABLE.format("item"), CHECKED, LINK.format("item")) as pair:
        insert(pair, 50, 50)
        pair.settle()
        assert len(parked(pair)) == 50
        insert(pair, 51, 49)
        until(pair, lambda: bool(pair.exchange.flows[0].totals.waiting))
        assert (len(parked(pair)), column(pair, "erp", "SELECT count(*) FROM item")) == (50, [50])
        said = halted(pair)
        assert "of 100 changes more than 50 % would be parked, 51 of link item: refused (SQLSTATE 23514)" in said
        assert "bad" not in said
        pair.erp.execute("ALTER TABLE item DROP CONSTRAINT good")
        pair.crash()
        pair.settle()
        assert (column(pair, "erp", "SELECT count(*) FROM item"), halted(pair)) == ([150], "")


def test_a_large_batch_of_which_all_is_refused_is_not_tried_one_by_one(fresh: Fresh) -> None:
    with fresh(TABLE.format("item"), CHECKED, LINK.format("item")) as pair:
        insert(pair, careful.SAMPLED_FROM, 0)
        until(pair, lambda: bool(pair.exchange.flows[0].totals.waiting))
        assert "all of 20 changes that were tried out of 1,000 are refused, one of link item with SQLSTATE 23514" in halted(pair)
        assert parked(pair) == []
        pair.erp.execute("ALTER TABLE item DROP CONSTRAINT good")
        pair.crash()
        pair.settle()
        assert column(pair, "erp", "SELECT count(*) FROM item") == [careful.SAMPLED_FROM]


def test_few_changes_may_all_be_refused(fresh: Fresh) -> None:
    with fresh(TABLE.format("item"), CHECKED, LINK.format("item")) as pair:
        insert(pair, 99, 0)
        pair.settle()
        assert len(parked(pair)) == 99


def test_too_many_over_all(fresh: Fresh) -> None:
    with fresh(TABLE.format("item"), CHECKED, LINK.format("item")) as pair:
        limits(pair, parked_limit=10, parked_percent=100)
        insert(pair, 8, 3)
        pair.settle()
        insert(pair, 3, 3)
        until(pair, lambda: bool(pair.exchange.flows[0].totals.waiting))
        assert "more than 10 changes would be parked" in halted(pair)
        assert (len(parked(pair)), column(pair, "erp", "SELECT count(*) FROM item")) == (8, [3])
        pair.crash()
        limits(pair, parked_limit=11)
        pair.settle()
        assert (len(parked(pair)), column(pair, "erp", "SELECT count(*) FROM item")) == (11, [6])


def test_what_is_tried_again_does_not_count_again(fresh: Fresh) -> None:
    with fresh(TABLE.format("item"), CHECKED, LINK.format("item")) as pair:
        limits(pair, parked_limit=60)
        insert(pair, 60, 60)
        pair.settle()
        pair.erp.execute("UPDATE replicator.parked SET retry = true")
        until(pair, lambda: column(pair, "erp", "SELECT count(*) FROM replicator.parked WHERE attempts = 2") == [60])
        assert halted(pair) == ""


def test_what_waits_for_a_record_does_not_count(fresh: Fresh) -> None:
    child = (
        "link: child\ncrm: {table: child, key: id}\nerp: {table: child, key: no}\nflow: crm -> erp\nfields:\n"
        "  - {crm: p, erp: p, link: item}\n"
    )
    item = LINK.format("item").replace("key: id}\nflow", "key: no}\nflow").replace("  - {crm: id, erp: id}\n", "")
    crm = TABLE.format("item") + "; CREATE TABLE child (id integer PRIMARY KEY, p integer)"
    erp = (
        "CREATE TABLE item (no serial PRIMARY KEY, t text); CREATE TABLE child (no serial PRIMARY KEY, p integer REFERENCES item)"
    )
    with fresh(crm, erp, item, child) as pair:
        limits(pair, parked_limit=1)
        pair.crm.execute("INSERT INTO child SELECT i, 1 FROM generate_series(1, 200) i")
        pair.settle()
        assert len(parked(pair)) == 200
        pair.crm.execute("INSERT INTO item VALUES (1, 'x')")
        pair.settle()
        assert (parked(pair), column(pair, "erp", "SELECT count(*) FROM child")) == ([], [200])


AUDIT = """
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES (NEW.{}); RETURN NEW; END $$;
CREATE TRIGGER audit BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION audit();
"""


@pytest.mark.parametrize(
    ("breaks", "state", "mends"),
    [
        ("CREATE TABLE audit (id int);" + AUDIT.format("gone"), "42703", "DROP TRIGGER audit ON item"),
        (AUDIT.format("id"), "42P01", "CREATE TABLE audit (id int)"),
    ],
)
def test_a_broken_link_is_set_aside_and_the_others_go_on(fresh: Fresh, breaks: str, state: str, mends: str) -> None:
    """By a trigger's mistake, not by its tables: test_drift.py has those."""
    both = TABLE.format("item") + ";" + TABLE.format("other")
    with fresh(both, both, LINK.format("item"), LINK.format("other")) as pair:
        pair.exchange.turn()
        pair.erp.execute(breaks)  # type: ignore[call-overload]
        rows = "SELECT i, 'x' FROM generate_series(1, 300) i"
        transaction(pair.crm, f"INSERT INTO item {rows}", f"INSERT INTO other {rows}")
        before = len(pair.steps)
        pair.settle()
        assert len(pair.steps) > before
        assert column(pair, "erp", "SELECT count(*) FROM other") == [300]
        assert {row[2:] for row in parked(pair)} == {("broken link", state)}
        assert len(parked(pair)) == 300
        pair.erp.execute(mends)  # type: ignore[call-overload]
        pair.erp.execute("UPDATE replicator.parked SET next_try = now()")
        until(pair, lambda: parked(pair) == [])
        assert column(pair, "erp", "SELECT count(*) FROM item") == [300]


def test_one_row_that_a_trigger_cannot_take_is_not_a_broken_link(fresh: Fresh) -> None:
    """The trigger names a column that is not there, for one row only."""
    trigger = """
    CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id = 100 THEN UPDATE item SET gone = 1; END IF; RETURN NEW; END $$;
    CREATE TRIGGER own BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION own();
    """
    with fresh(TABLE.format("item"), TABLE.format("item") + ";" + trigger, LINK.format("item")) as pair:
        pair.crm.execute("INSERT INTO item SELECT i, 'x' FROM generate_series(1, 300) i")
        pair.settle()
        assert parked(pair) == [("item", ["100"], "broken link", "42703")]
        assert column(pair, "erp", "SELECT count(*) FROM item") == [299]


@pytest.mark.parametrize("state", ["53100", "53200", "25006"])
def test_what_the_server_lacks_is_waited_for(fresh: Fresh, state: str) -> None:
    trigger = f"""
    CREATE FUNCTION full_() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no' USING ERRCODE = '{state}'; END $$;
    CREATE TRIGGER full_ BEFORE INSERT ON item EXECUTE FUNCTION full_();
    """
    with fresh(TABLE.format("item"), TABLE.format("item") + ";" + trigger, LINK.format("item")) as pair:
        insert(pair, 0, 5)
        until(pair, lambda: state in pair.exchange.flows[0].totals.waiting)
        assert parked(pair) == []
        pair.erp.execute("DROP TRIGGER full_ ON item")
        until(pair, lambda: column(pair, "erp", "SELECT count(*) FROM item") == [5])
        assert pair.exchange.flows[0].totals.waiting == ""

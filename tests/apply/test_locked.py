"""Promise: what a user's lock holds up waits alone and goes on by itself when the lock is gone, restarts included; a lock on
all of a table makes the flow wait and parks nothing; the other direction goes on meanwhile."""

from __future__ import annotations

import time

import psycopg

from replicator.apply import careful
from tests.apply.conftest import Fresh
from tests.apply.driving import column, parked, transaction, until

CRM = "CREATE TABLE item (id integer PRIMARY KEY, t text)"
COPIED = "link: item\ncrm: {table: item, key: id}\nerp: {table: item, key: id}\nflow: crm -> erp\nfields:\n  - {crm: id, erp: id}\n  - {crm: t, erp: t}\n"
PAIRED = "link: item\ncrm: {table: item, key: id}\nerp: {table: item, key: no}\nfields:\n  - {crm: t, erp: t}\n"
NUMBERED = "CREATE TABLE item (no serial PRIMARY KEY, t text)"


def test_one_row_is_held_and_five_hundred_others_go_through(fresh: Fresh) -> None:
    with fresh(CRM, NUMBERED, PAIRED) as pair:
        pair.crm.execute("INSERT INTO item SELECT i, 'old' FROM generate_series(1, 501) i")
        pair.settle()
        with psycopg.connect(pair.environ["ERP_DSN"]) as user:
            user.execute("SELECT FROM item WHERE no = 250 FOR UPDATE")
            began = time.monotonic()
            pair.crm.execute("UPDATE item SET t = 'new'")
            until(pair, lambda: column(pair, "erp", "SELECT count(*) FROM item WHERE t = 'new'") == [500])
            assert time.monotonic() - began < 20  # seconds; some two of them, and the machine may be busy
            assert parked(pair) == [("item", ["250"], "locked", "55P03")]
            pair.crm.execute("UPDATE item SET t = 'newer' WHERE id IN (250, 251)")
            until(pair, lambda: column(pair, "erp", "SELECT t FROM item WHERE no = 251") == ["newer"])
            pair.crash()
            until(pair, lambda: column(pair, "erp", "SELECT attempts > 2 FROM replicator.parked") == [True])
        until(pair, lambda: parked(pair) == [])
        assert column(pair, "erp", "SELECT t FROM item WHERE no IN (250, 251)") == ["newer", "newer"]
        assert column(pair, "erp", "SELECT count(*) FROM item WHERE t = 'new'") == [499]


def test_a_new_record_waits_for_a_value_that_a_user_may_take(fresh: Fresh) -> None:
    with fresh(CRM, CRM.replace("t text", "t text UNIQUE"), COPIED) as pair:
        with psycopg.connect(pair.environ["ERP_DSN"]) as user:
            user.execute("INSERT INTO item VALUES (7, 'x')")
            transaction(pair.crm, "INSERT INTO item VALUES (1, 'x'), (2, 'y')")
            until(pair, lambda: column(pair, "erp", "SELECT t FROM item") == ["y"])
            assert parked(pair) == [("item", ["1"], "locked", "55P03")]
            user.rollback()
        until(pair, lambda: parked(pair) == [])
        assert column(pair, "erp", "SELECT t FROM item ORDER BY id") == ["x", "y"]


def test_a_table_that_is_locked_makes_its_flow_wait(fresh: Fresh) -> None:
    back = COPIED.replace("item", "other").replace("crm -> erp", "erp -> crm")
    both = CRM + ";" + CRM.replace("item", "other")
    with fresh(both, both, COPIED, back) as pair:
        rows = careful.LOCKED_PARTS * 10
        with psycopg.connect(pair.environ["ERP_DSN"]) as user:
            user.execute("LOCK TABLE item")
            pair.crm.execute("INSERT INTO item SELECT i, 'x' FROM generate_series(1, %s) i", (rows,))
            pair.erp.execute("INSERT INTO other VALUES (2, 'from the ERP')")
            until(pair, lambda: bool(pair.rows("crm", "SELECT FROM other") and pair.exchange.flows[0].totals.waiting))
            assert "lock timeout" in pair.exchange.flows[0].totals.waiting
            assert parked(pair) == []
        until(pair, lambda: column(pair, "erp", "SELECT count(*) FROM item") == [rows])
        assert pair.exchange.flows[0].totals.waiting == ""
        assert parked(pair) == []


def test_a_deadlock_is_tried_again_and_nothing_is_parked(fresh: Fresh) -> None:
    """A trigger of the target that fails as the victim of a deadlock does, twice."""
    fails = """
    CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('tries') <= 2 THEN RAISE 'deadlock detected' USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER fail BEFORE INSERT ON item EXECUTE FUNCTION fail();
    """
    with fresh(CRM, CRM + ";" + fails, COPIED) as pair:
        pair.crm.execute("INSERT INTO item SELECT i, 'x' FROM generate_series(1, 10) i")
        until(pair, lambda: column(pair, "erp", "SELECT count(*) FROM item") == [10])
        assert parked(pair) == []


def test_one_record_that_always_deadlocks_is_parked_and_tried_again(fresh: Fresh) -> None:
    fails = """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'deadlock detected' USING ERRCODE = '40P01'; END $$;
    CREATE TRIGGER fail BEFORE INSERT ON item FOR EACH ROW WHEN (NEW.id = 5) EXECUTE FUNCTION fail();
    """
    with fresh(CRM, CRM + ";" + fails, COPIED) as pair:
        pair.crm.execute("INSERT INTO item SELECT i, 'x' FROM generate_series(1, 10) i")
        until(pair, lambda: column(pair, "erp", "SELECT count(*) FROM item") == [9])
        assert parked(pair) == [("item", ["5"], "locked", "40P01")]
        pair.erp.execute("DROP TRIGGER fail ON item")
        until(pair, lambda: parked(pair) == [])
        assert column(pair, "erp", "SELECT count(*) FROM item") == [10]


def test_a_lookup_that_finds_its_row_meanwhile(fresh: Fresh) -> None:
    link = (
        "link: item\ncrm: {table: item, key: id}\nerp: {table: item, key: no}\nflow: crm -> erp\nfields:\n"
        "  - {crm: t, erp: country, lookup: {table: country, by: iso}}\n"
    )
    erp = "CREATE TABLE country (id integer PRIMARY KEY, iso text); CREATE TABLE item (no serial PRIMARY KEY, country integer)"
    with fresh(CRM, erp, link) as pair:
        pair.crm.execute("INSERT INTO item VALUES (1, 'AT')")
        pair.settle()
        assert parked(pair) == [("item", ["1"], "unknown value", None)]
        assert column(
            pair, "erp", "SELECT next_try BETWEEN tried + interval '9 s' AND tried + interval '11 s' FROM replicator.parked"
        ) == [True]
        pair.erp.execute("INSERT INTO country VALUES (43, 'AT')")
        pair.erp.execute("UPDATE replicator.parked SET next_try = now()")
        pair.crash()
        until(pair, lambda: parked(pair) == [])
        assert column(pair, "erp", "SELECT country FROM item") == [43]

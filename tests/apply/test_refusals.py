"""Promise: whatever way a target refuses one row, the flow goes on with the others; only what concerns all rows, and
a lock for a while, stops it. What the target's own triggers do to a row is noticed."""

from __future__ import annotations

import pytest

from tests.apply.conftest import Fresh
from tests.apply.driving import column, parked

CRM = "CREATE TABLE item (id text PRIMARY KEY, t text)"
COPIED = "link: item\ncrm: {table: item, key: id}\nerp: {table: item, key: id}\nflow: crm -> erp\nfields:\n  - {crm: id, erp: id}\n  - {crm: t, erp: t}\n"
PAIRED = "link: item\ncrm: {table: item, key: id}\nerp: {table: item, key: no}\nflow: crm -> erp\nfields:\n  - {crm: t, erp: t}\n"
TRIGGER = """
CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$;
CREATE TRIGGER own BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION own();
"""
ITEM = "CREATE TABLE item (id text PRIMARY KEY, t text);"
LONG = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 500) i)"


@pytest.mark.parametrize(
    ("erp", "bad", "state"),
    [
        (ITEM + "CREATE INDEX ON item (t);", LONG, "54000"),
        (ITEM + TRIGGER.format("IF NEW.id = 'bad' THEN RAISE 'no' USING ERRCODE = 'CR001'; END IF;"), "'x'", "CR001"),
        (ITEM + TRIGGER.format("IF NEW.id = 'bad' THEN PERFORM 1 / 0; END IF;"), "'x'", "22012"),
        (ITEM + "ALTER TABLE item ADD EXCLUDE USING btree (t WITH =); INSERT INTO item VALUES ('ours', 'x');", "'x'", "23P01"),
    ],
    ids=["too long for the index", "a trigger's own SQLSTATE", "an error inside a trigger", "exclusion constraint"],
)
def test_refused_rows_are_parked(fresh: Fresh, erp: str, bad: str, state: str) -> None:
    with fresh(CRM, erp, COPIED) as pair:
        pair.crm.execute(f"INSERT INTO item VALUES ('bad', {bad})")  # type: ignore[call-overload]
        pair.crm.execute("INSERT INTO item VALUES ('good', 'y')")
        pair.settle()
        assert column(pair, "erp", "SELECT id FROM item WHERE id <> 'ours'") == ["good"]
        assert parked(pair) == [("item", ["bad"], "refused", state)]


def test_two_keys_that_become_one(fresh: Fresh) -> None:
    with fresh(CRM, ITEM.replace("id text", "id integer"), COPIED) as pair:
        pair.crm.execute("INSERT INTO item VALUES ('1', 'x'), ('01', 'y'), ('2', 'z')")
        pair.settle()
        assert column(pair, "erp", "SELECT id FROM item ORDER BY 1") == [1, 2]
        assert len(parked(pair)) == 1


KEYS = {
    "fills the key": "no integer PRIMARY KEY, t text); CREATE SEQUENCE s START 70;"
    + TRIGGER.format("NEW.no := coalesce(NEW.no, nextval('s'));"),
    "changes the key": "no serial PRIMARY KEY, t text); CREATE SEQUENCE s START 70;" + TRIGGER.format("NEW.no := nextval('s');"),
}


@pytest.mark.parametrize("how", KEYS)
def test_a_trigger_that_makes_the_key(fresh: Fresh, how: str) -> None:
    with fresh(CRM, f"CREATE TABLE item ({KEYS[how]}", PAIRED) as pair:
        pair.crm.execute("INSERT INTO item VALUES ('1', 'x')")
        pair.settle()
        pair.crm.execute("UPDATE item SET t = 'y'")
        pair.crm.execute("INSERT INTO item SELECT i, i FROM generate_series(2, 6) i")
        pair.settle()
        pair.crm.execute("UPDATE item SET t = t || '!' WHERE id > '3'")
        pair.settle()
        assert column(pair, "erp", "SELECT t FROM item ORDER BY no") == ["y", "2", "3", "4!", "5!", "6!"]
        assert column(pair, "erp", "SELECT no FROM item ORDER BY 1")[0] >= 70
        assert parked(pair) == []


def test_a_trigger_that_swallows_a_row(fresh: Fresh) -> None:
    erp = "CREATE TABLE item (no serial PRIMARY KEY, t text);" + TRIGGER.format("IF NEW.t = 'x' THEN RETURN NULL; END IF;")
    with fresh(CRM, erp, PAIRED) as pair:
        pair.crm.execute("INSERT INTO item VALUES ('1', 'x'), ('2', 'y')")
        pair.settle()
        assert column(pair, "erp", "SELECT t FROM item") == ["y"]
        assert column(pair, "erp", "SELECT crm_id FROM replicator.crosswalk_item") == ["2"]


def test_a_key_that_is_not_the_primary_key(fresh: Fresh) -> None:
    crm = "CREATE TABLE item (serial integer PRIMARY KEY, id text NOT NULL UNIQUE, t text)"
    with fresh(crm, ITEM, COPIED) as pair:
        pair.crm.execute("INSERT INTO item VALUES (1, 'a', 'x'), (2, 'b', 'y')")
        pair.settle()
        pair.crm.execute("DELETE FROM item WHERE id = 'a'")
        pair.crm.execute("UPDATE item SET id = 'c' WHERE id = 'b'")
        pair.settle()
        assert pair.rows("erp", "SELECT * FROM item ORDER BY 1") == [("c", "y")]


@pytest.mark.parametrize(("kind", "key"), [("char(3)", "DE"), ("boolean", "true")])
def test_a_lookup_on_the_source_by_a_key_that_is_written_in_two_ways(fresh: Fresh, kind: str, key: str) -> None:
    crm = f"CREATE TABLE item (id text PRIMARY KEY, t {kind}); CREATE TABLE names (id {kind} PRIMARY KEY, name text UNIQUE);"
    with fresh(crm, ITEM, COPIED.replace("erp: t}", "erp: t, lookup: {table: names, by: name, key: id, on: crm}}")) as pair:
        pair.crm.execute("INSERT INTO names VALUES (%s, 'the name')", (key,))
        pair.crm.execute("INSERT INTO item VALUES ('1', %s)", (key,))
        pair.settle()
        assert column(pair, "erp", "SELECT t FROM item") == ["the name"]


def test_a_value_that_is_too_long_names_its_field(fresh: Fresh) -> None:
    """The server tells the type alone. Of two fields with columns of that type both are named, of others none."""
    wide = "link: item\ncrm: {table: item, key: id}\nerp: {table: item, key: no}\nflow: crm -> erp\nfields:\n"
    fields = "  - {crm: t, erp: short}\n  - {crm: u, erp: code}\n  - {crm: v, erp: other}\n"
    erp = "CREATE TABLE item (no serial PRIMARY KEY, short varchar(3), code varchar(5), other varchar(5))"
    with fresh("CREATE TABLE item (id serial PRIMARY KEY, t text, u text, v text)", erp, wide + fields) as pair:
        pair.crm.execute("INSERT INTO item (t, u, v) VALUES ('four', 'x', 'x'), ('x', 'sixsix', 'x'), ('x', 'x', 'x')")
        pair.settle()
        said = [message for _, _, _, _, _, message in pair.parked()]
        assert "value too long for type character varying(3) (SQLSTATE 22001): field t (" in said[0]
        assert said[0].endswith("item.yaml:6:5)")
        assert "varying(5) (SQLSTATE 22001): field u (" in said[1]
        assert "item.yaml:7:5) or v (" in said[1]
        assert "four" not in said[0]

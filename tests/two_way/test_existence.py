"""Whether a record is there: edits against deletes under both rules, deletes of what is gone, unique values that are taken;
and targets whose triggers have their own mind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import Pair, linked

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tag text NOT NULL, name text, city text, vat text UNIQUE, mail text UNIQUE);
CREATE TABLE crm.item (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tag text NOT NULL, name text, price numeric, rating text, label text);
CREATE FUNCTION crm.low() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.label := lower(NEW.label); RETURN NEW; END $$;
CREATE TRIGGER low BEFORE INSERT OR UPDATE ON crm.item FOR EACH ROW EXECUTE FUNCTION crm.low();
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.customer (no integer GENERATED ALWAYS AS IDENTITY (START 1000) PRIMARY KEY, code text NOT NULL, company text, town text, tax text UNIQUE, email text UNIQUE);
CREATE TABLE erp.article (no integer GENERATED ALWAYS AS IDENTITY (START 1000) PRIMARY KEY, code text NOT NULL, descr text, price numeric, grade text, label text);
CREATE FUNCTION erp.grade() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'INSERT' OR NEW.price IS DISTINCT FROM OLD.price THEN NEW.grade := CASE WHEN NEW.price > 100 THEN 'A' ELSE 'B' END; END IF;
  NEW.label := upper(NEW.label); RETURN NEW; END $$;
CREATE TRIGGER grade BEFORE INSERT OR UPDATE ON erp.article FOR EACH ROW EXECUTE FUNCTION erp.grade();
CREATE FUNCTION erp.trim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.descr <> btrim(NEW.descr) THEN UPDATE erp.article SET descr = btrim(descr) WHERE no = NEW.no; END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER trim AFTER INSERT OR UPDATE ON erp.article DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION erp.trim();
"""
CUSTOMER = """
link: customer
crm: {table: crm.account, key: id}
erp: {table: erp.customer, key: no}
update_deleted: RULE
fields:
  - {crm: tag, erp: code}
  - {crm: name, erp: company}
  - {crm: city, erp: town}
  - {crm: vat, erp: tax}
  - {crm: mail, erp: email}
"""
ITEM = """
link: item
crm: {table: crm.item, key: id}
erp: {table: erp.article, key: no}
fields:
  - {crm: tag, erp: code}
  - {crm: name, erp: descr}
  - {crm: price, erp: price}
  - {crm: rating, erp: grade}
"""
FIGHT = "  - {crm: label, erp: label}\n"


@pytest.fixture(scope="module", params=["delete", "update"])
def pair(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("existence")
    links = {"customer": CUSTOMER.replace("RULE", request.param), "item": ITEM + (FIGHT if request.param == "update" else "")}
    with linked(server, folder, f"existence_{request.param}", CRM, ERP, links) as found:
        yield found


@pytest.fixture
def updates_win(pair: Pair) -> bool:
    return pair.config.links[0].update_wins


def made(pair: Pair, tag: str) -> None:
    pair.crm.execute("INSERT INTO crm.account (tag, name, city) VALUES (%s, 'old', 'old')", (tag,))
    pair.settle()


def until(pair: Pair, flow: int) -> None:
    while not pair.turn(flow):
        pair.exchange.wait(0.02)


def customers(pair: Pair, tag: str) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    return (
        pair.rows("crm", "SELECT name, city FROM crm.account WHERE tag = %s", (tag,)),
        pair.rows("erp", "SELECT company, town FROM erp.customer WHERE code = %s", (tag,)),
    )


def kinds(pair: Pair) -> set[str]:
    return {kind for _, _, kind, *_ in pair.conflicts()}


def forget(pair: Pair) -> None:
    for connection in (pair.crm, pair.erp):
        connection.execute("DELETE FROM replicator.conflict")


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("editor", ["crm", "erp"])
def test_an_edit_that_meets_a_delete(pair: Pair, updates_win: bool, editor: str, first: int) -> None:
    tag = f"{editor}{first}"
    made(pair, tag)
    forget(pair)
    if editor == "crm":
        pair.crm.execute("UPDATE crm.account SET name = 'new' WHERE tag = %s", (tag,))
        pair.erp.execute("DELETE FROM erp.customer WHERE code = %s", (tag,))
    else:
        pair.erp.execute("UPDATE erp.customer SET company = 'new' WHERE code = %s", (tag,))
        pair.crm.execute("DELETE FROM crm.account WHERE tag = %s", (tag,))
    until(pair, first)
    pair.settle()
    crm, erp = customers(pair, tag)
    assert crm == erp == ([("new", "old")] if updates_win else [])
    assert kinds(pair) & {"update_deleted", "delete_origin_differs"}
    winners = {winner for _, _, _, _, winner, _ in pair.conflicts()}
    assert winners == {editor if updates_win else ("erp" if editor == "crm" else "crm")}
    if updates_win:
        pair.erp.execute("UPDATE erp.customer SET town = 'after' WHERE code = %s", (tag,))
        pair.settle()
        assert customers(pair, tag) == ([("new", "after")], [("new", "after")])
    assert pair.parked() == []


def test_a_delete_that_knew_the_edit_stands(pair: Pair) -> None:
    made(pair, "knew")
    pair.crm.execute("UPDATE crm.account SET name = 'new' WHERE tag = 'knew'")
    pair.settle()
    pair.erp.execute("DELETE FROM erp.customer WHERE code = 'knew'")
    pair.settle()
    assert customers(pair, "knew") == ([], [])


def test_both_delete(pair: Pair) -> None:
    made(pair, "gone")
    forget(pair)
    pair.crm.execute("DELETE FROM crm.account WHERE tag = 'gone'")
    pair.erp.execute("DELETE FROM erp.customer WHERE code = 'gone'")
    pair.settle()
    assert customers(pair, "gone") == ([], [])
    assert kinds(pair) == {"delete_missing"}


def test_unique_values_that_are_taken_have_their_names(pair: Pair) -> None:
    pair.erp.execute("INSERT INTO erp.customer (code, tax, email) VALUES ('u1', 'T1', 'M1'), ('u2', 'T2', 'M2')")
    pair.settle()
    forget(pair)
    # Both sides give the same value to different records, unseen by each other.
    pair.crm.execute("UPDATE crm.account SET vat = 'same' WHERE tag = 'u1'")
    pair.erp.execute("UPDATE erp.customer SET tax = 'same' WHERE code = 'u2'")
    pair.settle()
    assert "update_exists" in kinds(pair)
    assert {(link, reason, state) for _, link, _, reason, state, _ in pair.parked()} == {("customer", "refused", "23505")}
    assert "has the same" in pair.parked()[0][-1]
    pair.erp.execute("UPDATE erp.customer SET tax = 'T2' WHERE code = 'u2'")
    pair.crm.execute("UPDATE crm.account SET vat = 'T1' WHERE tag = 'u1'")
    pair.settle()
    assert pair.parked() == []
    forget(pair)
    pair.crm.execute("INSERT INTO crm.account (tag, vat) VALUES ('u3', 'T3')")
    pair.erp.execute("INSERT INTO erp.customer (code, tax) VALUES ('u4', 'T3')")
    pair.settle()
    assert "insert_exists" in kinds(pair)
    forget(pair)
    pair.crm.execute("INSERT INTO crm.account (tag, vat, mail) VALUES ('u5', 'T5', 'M5')")
    pair.erp.execute("INSERT INTO erp.customer (code, tax, email) VALUES ('u6', 'T5', NULL), ('u7', NULL, 'M5')")
    pair.settle()
    assert "multiple_unique_conflicts" in kinds(pair)
    pair.crm.execute("DELETE FROM crm.account WHERE tag IN ('u3', 'u5')")
    pair.settle()
    pair.crm.execute("UPDATE replicator.parked SET retry = true")
    for flow in pair.exchange.flows:
        flow.ask_for_retries()
    pair.settle()
    assert pair.parked() == []


def items(pair: Pair, tag: str) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    return (
        pair.rows("crm", "SELECT name, price::integer, rating FROM crm.item WHERE tag = %s", (tag,)),
        pair.rows("erp", "SELECT descr, price::integer, grade FROM erp.article WHERE code = %s", (tag,)),
    )


def test_what_a_trigger_makes_of_other_fields_flows_back(pair: Pair) -> None:
    pair.crm.execute("INSERT INTO crm.item (tag, name, price, rating) VALUES ('t1', 'n', 5, 'x')")
    pair.settle()
    assert items(pair, "t1") == ([("n", 5, "B")], [("n", 5, "B")])
    pair.crm.execute("UPDATE crm.item SET price = 500 WHERE tag = 't1'")
    pair.settle()
    assert items(pair, "t1") == ([("n", 500, "A")], [("n", 500, "A")])


def test_a_deferred_trigger_flows_back(pair: Pair) -> None:
    pair.crm.execute("INSERT INTO crm.item (tag, name, price) VALUES ('t2', '  blanks ', 5)")
    pair.settle()
    assert items(pair, "t2") == ([("blanks", 5, "B")], [("blanks", 5, "B")])


def test_an_older_unread_edit_does_not_undo_what_a_trigger_made(pair: Pair) -> None:
    pair.crm.execute("INSERT INTO crm.item (tag, name, price) VALUES ('t3', 'n', 5)")
    pair.settle()
    pair.erp.execute("UPDATE erp.article SET descr = 'erp' WHERE code = 't3'")
    pair.crm.execute("UPDATE crm.item SET price = 500 WHERE tag = 't3'")
    until(pair, 0)
    pair.settle()
    assert items(pair, "t3") == ([("erp", 500, "A")], [("erp", 500, "A")])


def test_triggers_that_fight_are_stopped(pair: Pair, updates_win: bool) -> None:
    if not updates_win:
        pytest.skip("the links of the other run have no such field")
    pair.crm.execute("INSERT INTO crm.item (tag, name, price, label) VALUES ('t4', 'n', 5, 'Label')")
    pair.settle()
    crm = pair.rows("crm", "SELECT label FROM crm.item WHERE tag = 't4'")
    erp = pair.rows("erp", "SELECT label FROM erp.article WHERE code = 't4'")
    assert (crm, erp) == ([("label",)], [("LABEL",)])
    assert "flips" in [reason for _, _, _, reason, _, _ in pair.parked()]
    sql = "SELECT incoming, existing FROM replicator.conflict WHERE rule = 'breaker'"
    assert [*pair.rows("crm", sql), *pair.rows("erp", sql)] in ([("label", "LABEL")], [("LABEL", "label")])

"""Promise: what a change causes where it is written comes back as a change: rows that triggers write and foreign keys empty,
records that another link reads in the same table, sums over them; and no link takes its own word for news."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.apply.conftest import Fresh
from tests.apply.driving import column, parked, transaction
from tests.two_way.pair_of_nodes import Pair

CRM = """
CREATE TABLE quote (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), title text NOT NULL, confirmed boolean NOT NULL DEFAULT false);
CREATE TABLE history (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), quote_id uuid, order_no text NOT NULL, title text, total numeric);
CREATE TABLE visit (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), subject text NOT NULL, cost numeric, state text NOT NULL DEFAULT 'new');
CREATE TABLE part (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), visit_id uuid NOT NULL, item text NOT NULL, quantity integer NOT NULL);
CREATE TABLE stock (id serial PRIMARY KEY, item text NOT NULL, left_over integer NOT NULL);
CREATE TABLE total (id serial PRIMARY KEY, item text NOT NULL, used integer NOT NULL);
"""
ERP = """
CREATE TABLE sales_order (order_id bigint GENERATED ALWAYS AS IDENTITY (START 500) PRIMARY KEY, subject text NOT NULL, total numeric);
CREATE TABLE service (no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, subject text NOT NULL, cost numeric NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'new');
CREATE TABLE item (code text PRIMARY KEY, price numeric NOT NULL, stock integer NOT NULL);
CREATE TABLE used (no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, service_no bigint NOT NULL REFERENCES service ON DELETE CASCADE,
    item text NOT NULL REFERENCES item, qty integer NOT NULL);
CREATE FUNCTION use() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE item SET stock = stock - coalesce(NEW.qty, 0) + coalesce(OLD.qty, 0) WHERE code = coalesce(NEW.item, OLD.item);
    UPDATE service s SET cost = (SELECT coalesce(sum(u.qty * i.price), 0) FROM used u JOIN item i ON i.code = u.item WHERE u.service_no = s.no)
    WHERE no = coalesce(NEW.service_no, OLD.service_no);
    RETURN NULL;
END $$;
CREATE TRIGGER use AFTER INSERT OR UPDATE OR DELETE ON used FOR EACH ROW EXECUTE FUNCTION use();
"""
LINKS = (
    """
link: order
flow: crm -> erp
crm: {table: quote, key: id}
erp: {table: sales_order, key: order_id}
create: {erp: "crm.confirmed"}
fields:
  - {crm: title, erp: subject}
""",
    """
link: order_history
flow: erp -> crm
erp: {table: sales_order, key: order_id}
crm: {table: history, key: id}
fields:
  - {erp: order_id, crm: quote_id, link: order, missing: null, name: quote}
  - {erp: order_id, crm: order_no, convert: {crm: "'SO-' || erp.order_id"}}
  - {erp: subject, crm: title}
  - {erp: total, crm: total}
""",
    """
link: visit
crm: {table: visit, key: id}
erp: {table: service, key: no}
fields:
  - {crm: subject, erp: subject}
  - {crm: cost, erp: cost, to: crm}
  - {crm: state, erp: state}
""",
    """
link: part
crm: {table: part, key: id}
erp: {table: used, key: no}
fields:
  - {crm: visit_id, erp: service_no, link: visit}
  - {crm: item, erp: item}
  - {crm: quantity, erp: qty}
""",
    """
link: stock
flow: erp -> crm
erp: {table: item, key: code}
crm: {table: stock, key: id}
fields:
  - {erp: code, crm: item}
  - {erp: stock, crm: left_over}
""",
    """
link: total
flow: erp -> crm
erp: {query: "select u.item, sum(u.qty) as used from public.used u group by u.item", key: item}
crm: {table: total, key: id}
fields:
  - {erp: item, crm: item}
  - {erp: used, crm: used, convert: {crm: "cast(erp.used as integer)"}}
""",
)


@pytest.fixture(scope="module")
def pair(fresh: Fresh) -> Iterator[Pair]:
    with fresh(CRM, ERP, *(text.replace("table: ", "table: public.") for text in LINKS)) as found:
        found.erp.execute("INSERT INTO item VALUES ('pump', 80, 10), ('seal', 2.5, 100)")
        found.settle()
        yield found
        assert parked(found) == []


def stock(pair: Pair) -> dict[str, int]:
    return dict(pair.rows("crm", "SELECT item, left_over FROM stock"))


def test_an_order_from_the_crm_is_in_the_history_that_the_crm_gets(pair: Pair) -> None:
    pair.crm.execute("INSERT INTO quote (title, confirmed) VALUES ('Ten pumps', true), ('A dream', false)")
    pair.erp.execute("INSERT INTO sales_order (subject, total) VALUES ('Keyed here', 7)")
    pair.settle()
    assert pair.rows(
        "crm", "SELECT h.title, q.title, h.order_no LIKE 'SO-5%%' FROM history h LEFT JOIN quote q ON q.id = quote_id ORDER BY 1"
    ) == [
        ("Keyed here", None, True),
        ("Ten pumps", "Ten pumps", True),
    ]
    pair.crm.execute("UPDATE quote SET title = 'Eleven pumps' WHERE confirmed")
    pair.erp.execute("UPDATE sales_order SET total = 880 WHERE subject LIKE 'Ten%'")
    pair.settle()
    assert pair.rows("crm", "SELECT title, total FROM history ORDER BY 1")[0] == ("Eleven pumps", 880)
    assert column(pair, "erp", "SELECT count(*) FROM sales_order") == [2]


def test_a_part_that_the_crm_books_leaves_the_stock_that_the_crm_shows(pair: Pair) -> None:
    pair.crm.execute("INSERT INTO visit (subject) VALUES ('Leak')")
    pair.settle()
    before = stock(pair)
    pair.crm.execute(
        "INSERT INTO part (visit_id, item, quantity) SELECT id, i, n FROM visit, (VALUES ('pump', 1), ('seal', 4)) v (i, n) WHERE subject = 'Leak'"
    )
    pair.settle()
    assert stock(pair) == {"pump": before["pump"] - 1, "seal": before["seal"] - 4}
    assert pair.rows("crm", "SELECT cost, state FROM visit WHERE subject = 'Leak'") == [(90, "new")]
    assert column(pair, "crm", "SELECT used FROM total WHERE item = 'seal'") == [4]
    # In one transaction of the CRM, with its visit, which is not there yet; and an edit of the ERP's at the same time.
    with pair.crm.transaction():
        pair.crm.execute("INSERT INTO visit (subject) VALUES ('Noise')")
        pair.crm.execute("INSERT INTO part (visit_id, item, quantity) SELECT id, 'pump', 2 FROM visit WHERE subject = 'Noise'")
        pair.crm.execute("UPDATE part SET quantity = 3 WHERE item = 'seal'")
    pair.erp.execute("UPDATE service SET state = 'done' WHERE subject = 'Leak'")
    pair.settle()
    assert stock(pair) == {"pump": before["pump"] - 3, "seal": before["seal"] - 3}
    assert pair.rows("crm", "SELECT subject, cost, state FROM visit ORDER BY 1") == [
        ("Leak", 87.5, "done"),
        ("Noise", 160, "new"),
    ]
    assert pair.rows("crm", "SELECT item, used FROM total ORDER BY 1") == [("pump", 3), ("seal", 3)]


def test_what_cascades_comes_back(pair: Pair) -> None:
    pair.crm.execute("INSERT INTO visit (subject) VALUES ('Gone')")
    pair.settle()
    pair.erp.execute("INSERT INTO used (service_no, item, qty) SELECT no, 'seal', 10 FROM service WHERE subject = 'Gone'")
    pair.settle()
    before = stock(pair)
    transaction(
        pair.crm,
        "DELETE FROM part WHERE visit_id IN (SELECT id FROM visit WHERE subject = 'Gone')",
        "DELETE FROM visit WHERE subject = 'Gone'",
    )
    pair.settle()
    assert stock(pair)["seal"] == before["seal"] + 10
    assert column(pair, "erp", "SELECT count(*) FROM service WHERE subject = 'Gone'") == [0]


def test_nothing_goes_round(pair: Pair) -> None:
    pair.settle()
    pair.crm.execute("INSERT INTO visit (subject, state) VALUES ('Round', 'x')")
    began = len(pair.steps)
    pair.settle()
    pair.erp.execute("UPDATE service SET state = 'y' WHERE subject = 'Round'")
    pair.settle()
    changes = [step.batch.rows for step in pair.steps[began:] if step.batch.rows]
    assert changes == [1, 1]

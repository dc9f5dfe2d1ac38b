"""The independent check: a small pair made by hand is found the same, and every difference planted in it is found."""

from __future__ import annotations

import ast
from pathlib import Path

import psycopg
import pytest

from replicator.demo import verify as module
from replicator.demo.servers import Server
from replicator.demo.verify import SHOWN, verify
from replicator.demo.world import install_schemas

SCHEMAS = Path(__file__).parents[2] / "sql" / "demo"

# "#b1" stands for an uuid that ends so.
CRM = """
INSERT INTO crm.product (id, sku, name, list_price, currency, unit, active, weight_kg) VALUES
    ('#a1', 'P-1', 'Bolt', 2.50, 'EUR', 'pcs', true, 0.125),
    ('#a2', 'P-2', 'Belt', 10, 'EUR', 'm', true, NULL),
    ('#a3', 'P-3', 'Gone', 1, 'EUR', 'm', false, NULL);
INSERT INTO crm.account (id, name, vat_number, street, zip, city, country_code, phone, website, status,
                         credit_limit, payment_terms, erp_customer_no, deleted_at) VALUES
    ('#b1', 'Müller', 'DE1', 'Weg 1', '10115', 'Berlin', 'DE', '030', 'https://m.example',
     'active', 500, 'NET30', '10001', NULL),
    ('#b2', '清水', NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     'prospect', 0, 'NET14', '10002', NULL),
    ('#b3', 'Closed', 'DE3', NULL, NULL, NULL, NULL, NULL, NULL,
     'prospect', 0, 'NET14', '10003', now());
INSERT INTO crm.contact (id, account_id, first_name, last_name, email, phone, job_title, opted_in, deleted_at) VALUES
    ('#c1', '#b1', 'Eva', 'Lang', 'e@x.example', NULL, 'CEO', true, NULL),
    ('#c2', '#b1', NULL, 'Twin', NULL, '1', NULL, false, NULL),
    ('#c3', '#b1', NULL, 'Twin', NULL, '1', NULL, false, NULL),
    ('#c4', '#b1', 'Left', 'Long ago', NULL, '1', NULL, false, now());
INSERT INTO crm.quote (id, account_id, title, stage, currency, note, confirmed_at, erp_order_no, order_status) VALUES
    ('#d1', '#b1', 'Parts', 'confirmed', 'EUR',
     E'two\\nlines', '2025-03-01 23:30:00-03', 'SO-000001', 'shipped'),
    ('#d2', '#b2', 'More', 'confirmed', 'USD',
     NULL, '2025-03-02 12:00:00+00', 'SO-000002', 'ordered'),
    ('#d3', '#b2', 'Talk', 'draft', 'USD',
     NULL, NULL, NULL, NULL);
INSERT INTO crm.quote_line (quote_id, position, product_id, quantity, unit_price, discount_percent) VALUES
    ('#d1', 1, '#a1', 2.50, 2.40, 12.5),
    ('#d1', 2, '#a2', 1, 10, 0),
    ('#d2', 1, '#a1', 7, 2.50, 0),
    ('#d3', 1, '#a1', 9, 2.50, 0);
"""
ERP = """
INSERT INTO erp.country (id, iso2, name) VALUES (7, 'DE', 'Germany'), (8, 'FR', 'France');
INSERT INTO erp.payment_term (id, code, days) VALUES (3, 'NET30', 30), (4, 'NET14', 14);
INSERT INTO erp.customer (customer_no, company_name, tax_id, street, postal_code, town, country_id, phone, homepage,
                          state, credit_limit, payment_term_id, dunning_level, entered_by, closed_on) VALUES
    (10001, 'Müller', 'DE1', 'Weg 1', '10115', 'Berlin', 7, '030', 'https://m.example', 'A', 500, 3, 1, 'x', NULL),
    (10002, '清水', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'P', 0, 4, 0, 'x', NULL),
    (10003, 'Closed', 'DE3', NULL, NULL, NULL, NULL, NULL, NULL, 'P', 0, 4, 0, 'x', '2025-01-01');
INSERT INTO erp.contact_person (id, customer_no, given_name, family_name, mail, tel, function, newsletter) VALUES
    (1, 10001, 'Eva', 'Lang', 'e@x.example', '', 'CEO', true),
    (2, 10001, NULL, 'Twin', '', '1', NULL, false),
    (3, 10001, NULL, 'Twin', '', '1', NULL, false),
    (4, 10003, NULL, 'Of a closed customer', '', '1', NULL, false);
INSERT INTO erp.item (item_no, code, description, sales_price, uom, status, weight) VALUES
    (1, 'P-1', 'Bolt', 2.50, 'pcs', 1, 0.125), (2, 'P-2', 'Belt', 10, 'm', 5, NULL);
INSERT INTO erp.sales_order (order_id, order_no, customer_no, subject, state, ordered_on, external_ref,
                             currency, remark, entered_by) VALUES
    (1, 'SO-000001', 10001, 'Parts', 20, '2025-03-02', '#d1', 'EUR', E'two\\nlines', 'CRM'),
    (2, 'SO-000002', 10002, 'More', 10, '2025-03-02', '#d2', 'USD', NULL, 'CRM');
INSERT INTO erp.sales_order_line (line_id, order_id, line_no, item_no, qty, price, rebate) VALUES
    (1, 1, 1, 1, 2.5, 2.4, 0.125), (2, 1, 2, 2, 1, 10, 0), (3, 2, 1, 1, 7, 2.5, 0);
"""
UUID = "00000000-0000-4000-8000-0000000000"
CHILDREN_FIRST = {
    "crm": ("quote_line", "quote", "contact", "account", "product"),
    "erp": ("sales_order_line", "sales_order", "item", "contact_person", "customer", "payment_term", "country"),
}


def customer(assignment: str) -> str:
    return f"UPDATE erp.customer SET {assignment} WHERE customer_no = 10001"


def order(assignment: str) -> str:
    return f"UPDATE erp.sales_order SET {assignment} WHERE order_id = 1"


PLANTED = [
    ("erp", customer("company_name = 'Muller'"), "customer", "name 'Müller' in the CRM, 'Muller' in the ERP"),
    ("erp", customer("tax_id = 'DE2'"), "customer", "VAT number 'DE1'"),
    ("erp", customer("street = 'Weg 2'"), "customer", "street"),
    ("erp", customer("postal_code = NULL"), "customer", "zip '10115' in the CRM, None in the ERP"),
    ("erp", customer("town = 'Bern'"), "customer", "city"),
    ("erp", customer("country_id = 8"), "customer", "country 'DE' in the CRM, 'FR' in the ERP"),
    ("erp", customer("country_id = NULL"), "customer", "country"),
    ("erp", customer("phone = '031'"), "customer", "phone"),
    ("erp", customer("homepage = 'x'"), "customer", "website"),
    ("erp", customer("state = 'D'"), "customer", "status 'active' in the CRM, 'dormant' in the ERP"),
    ("erp", customer("credit_limit = 501"), "customer", "credit limit"),
    ("erp", customer("payment_term_id = 4"), "customer", "payment terms 'NET30' in the CRM, 'NET14' in the ERP"),
    ("erp", customer("closed_on = now()"), "customer", "which is not open in the ERP"),
    ("erp", "UPDATE erp.customer SET closed_on = NULL WHERE customer_no = 10003", "customer", "has no account"),
    ("crm", "UPDATE crm.account SET deleted_at = now() WHERE vat_number = 'DE1'", "customer", "has no account in"),
    ("crm", "UPDATE crm.account SET erp_customer_no = NULL WHERE vat_number = 'DE1'", "customer", "no customer number"),
    ("crm", "UPDATE crm.account SET erp_customer_no = '77' WHERE vat_number = 'DE1'", "customer", "number 77, which"),
    ("crm", "UPDATE crm.account SET erp_customer_no = '10001'", "customer", "another account has too"),
    ("crm", "INSERT INTO crm.account (name) VALUES ('New')", "customer", "(New) has no customer number"),
    ("erp", "DELETE FROM erp.contact_person WHERE given_name = 'Eva'", "contact", "only in the CRM: Eva, Lang"),
    ("erp", "DELETE FROM erp.contact_person WHERE id = 2", "contact", "only in the CRM: -, Twin"),
    ("crm", "UPDATE crm.contact SET deleted_at = now() WHERE first_name = 'Eva'", "contact", "only in the ERP: Eva"),
    ("crm", "UPDATE crm.contact SET deleted_at = NULL", "contact", "only in the CRM: Left"),
    ("erp", "UPDATE erp.contact_person SET given_name = 'Ewa' WHERE id = 1", "contact", "Ewa"),
    ("erp", "UPDATE erp.contact_person SET mail = '' WHERE id = 1", "contact", "Eva, Lang, -"),
    ("erp", "UPDATE erp.contact_person SET tel = '2' WHERE id = 1", "contact", "e@x.example, 2"),
    ("erp", "UPDATE erp.contact_person SET function = 'CFO' WHERE id = 1", "contact", "CFO"),
    ("erp", "UPDATE erp.contact_person SET newsletter = false WHERE id = 1", "contact", "CEO, False"),
    ("erp", "UPDATE erp.contact_person SET customer_no = 10002 WHERE id = 1", "contact", "customer 10002: only in"),
    ("erp", "UPDATE erp.item SET description = 'Nut' WHERE item_no = 1", "product", "P-1: name 'Bolt'"),
    ("erp", "UPDATE erp.item SET sales_price = 3 WHERE item_no = 1", "product", "price"),
    ("erp", "UPDATE erp.item SET uom = 'kg' WHERE item_no = 1", "product", "unit"),
    ("erp", "UPDATE erp.item SET status = 9 WHERE item_no = 1", "product", "active True in the CRM, False"),
    ("erp", "UPDATE erp.item SET weight = NULL WHERE item_no = 1", "product", "weight"),
    ("crm", "UPDATE crm.product SET currency = 'USD' WHERE sku = 'P-1'", "product", "currency"),
    ("erp", "INSERT INTO erp.item VALUES (9, 'P-9', 'x', 1, 'm', 1, 1)", "product", "item P-9 of the ERP is missing"),
    ("crm", "UPDATE crm.product SET active = true", "product", "P-3 of the CRM is active and not in the ERP"),
    ("erp", order("customer_no = 10002"), "order", "customer number 10001 in the CRM, 10002 in the ERP"),
    ("erp", order("external_ref = NULL"), "order", "quote id"),
    ("erp", order("subject = 'x'"), "order", "title"),
    ("erp", order("currency = 'USD'"), "order", "currency"),
    ("erp", order("remark = 'two lines'"), "order", "note"),
    ("erp", order("ordered_on = '2025-03-01'"), "order", "date"),
    ("erp", order("state = 30"), "order", "status 'shipped' in the CRM, 'invoiced' in the ERP"),
    ("crm", "UPDATE crm.quote SET erp_order_no = NULL WHERE title = 'More'", "order", "has no order number"),
    ("crm", "UPDATE crm.quote SET erp_order_no = 'SO-9' WHERE title = 'More'", "order", "which the ERP does not know"),
    ("crm", "UPDATE crm.quote SET erp_order_no = 'SO-000001' WHERE title = 'More'", "order", "another quote has too"),
    ("crm", "UPDATE crm.quote SET erp_order_no = 'SO-9' WHERE title = 'Talk'", "order", "is draft and yet has order"),
    (
        "erp",
        "INSERT INTO erp.sales_order (order_no, customer_no, subject, ordered_on, external_ref, currency, entered_by, "
        "order_id) SELECT 'SO-3', customer_no, subject, ordered_on, external_ref, currency, 'twice', 3 "
        "FROM erp.sales_order WHERE order_id = 1",
        "order",
        "belongs to no confirmed quote",
    ),
    ("crm", "UPDATE crm.quote SET stage = 'confirmed', confirmed_at = now()", "order", "has no order number"),
    ("erp", "DELETE FROM erp.sales_order_line WHERE line_id = 1", "order line", "SO-000001: only in the CRM: 1, P-1"),
    ("crm", "DELETE FROM crm.quote_line WHERE position = 2", "order line", "SO-000001: only in the ERP: 2, P-2"),
    ("erp", "UPDATE erp.sales_order_line SET line_no = 3 WHERE line_id = 1", "order line", "only in the ERP: 3, P-1"),
    ("erp", "UPDATE erp.sales_order_line SET item_no = 2 WHERE line_id = 1", "order line", "only in the ERP: 1, P-2"),
    ("erp", "UPDATE erp.sales_order_line SET qty = 2.51 WHERE line_id = 1", "order line", "2.51"),
    ("erp", "UPDATE erp.sales_order_line SET price = 2.4001 WHERE line_id = 1", "order line", "2.4001"),
    ("erp", "UPDATE erp.sales_order_line SET rebate = 0.13 WHERE line_id = 1", "order line", "0.13"),
    ("erp", "UPDATE erp.sales_order_line SET order_id = 2, line_no = 5 WHERE line_id = 1", "order line", "SO-000002"),
]

HARMLESS = [
    ("crm", "UPDATE crm.contact SET phone = '' WHERE phone IS NULL"),
    ("crm", "UPDATE crm.account SET account_manager = 'x', segment = 'key'"),
    ("crm", "UPDATE crm.contact SET is_primary = true"),
    (
        "crm",
        "UPDATE crm.quote_line SET quantity = 1 WHERE quote_id IN (SELECT id FROM crm.quote WHERE stage = 'draft')",
    ),
    ("crm", "UPDATE crm.account SET name = 'x' WHERE deleted_at IS NOT NULL"),
    ("erp", "UPDATE erp.customer SET dunning_level = 2, entered_by = 'y'"),
    ("erp", "UPDATE erp.item SET status = 1"),
    ("erp", "UPDATE erp.item SET weight = 0.1250000001 WHERE item_no = 1"),
]


@pytest.fixture(scope="module")
def dsns(server: Server) -> dict[str, str]:
    found = {name: server.create_database(f"verify_{name}") for name in ("crm", "erp")}
    install_schemas(found["crm"], found["erp"], SCHEMAS)
    return found


@pytest.fixture
def pair(dsns: dict[str, str]) -> dict[str, str]:
    """The small consistent pair, made anew."""
    for name, rows in (("crm", CRM), ("erp", ERP)):
        emptied = "".join(f"DELETE FROM {name}.{table};" for table in CHILDREN_FIRST[name])
        run(dsns[name], emptied + rows.replace("#", UUID))
    return dsns


def run(dsn: str, statement: str) -> int:
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement.encode()).rowcount


def test_a_consistent_pair_is_the_same(pair: dict[str, str]) -> None:
    verdict = verify(pair["crm"], pair["erp"])
    assert verdict.differences == []
    assert verdict.same
    assert verdict.compared == {"customer": 4, "contact": 7, "product": 5, "order": 4, "order line": 6}
    assert verdict.rows_compared == 26


@pytest.mark.parametrize(("node", "statement", "kind", "words"), PLANTED)
def test_a_planted_difference_is_found_and_named(pair: dict[str, str], node: str, statement: str, kind: str, words: str) -> None:
    assert run(pair[node], statement) > 0
    verdict = verify(pair["crm"], pair["erp"])
    assert not verdict.same
    assert verdict.by_kind[kind] > 0
    assert any(text.startswith(f"{kind}: ") and words in text for text in verdict.differences), verdict.differences


@pytest.mark.parametrize(("node", "statement"), HARMLESS)
def test_what_is_not_shared_or_means_the_same_is_no_difference(pair: dict[str, str], node: str, statement: str) -> None:
    assert run(pair[node], statement) > 0
    assert verify(pair["crm"], pair["erp"]).differences == []


def test_many_differences_are_counted_and_some_shown(pair: dict[str, str]) -> None:
    run(pair["crm"], "INSERT INTO crm.account (name) SELECT repeat('long', 500) FROM generate_series(1, 80)")
    verdict = verify(pair["crm"], pair["erp"])
    assert verdict.difference_count == 80 == verdict.by_kind["customer"]
    assert len(verdict.differences) == SHOWN
    assert max(len(text) for text in verdict.differences) < 500


def test_the_check_uses_nothing_of_the_replicator() -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert imported
    assert not any(name.startswith("replicator") for name in imported)

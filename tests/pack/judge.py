"""What the CRM and a factory must say alike when everything has settled, in SQL that shares nothing with the links.

Each question is asked of both in terms that people know: names, codes, numbers. Names are unique, for no user types one twice.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from tests.pack.desk import Row
from tests.pack.factory import Factory
from tests.pack.sales import Sales

STATES = {10: "ordered", 15: "produced", 20: "shipped", 30: "invoiced", 90: "cancelled"}

# Of every factory alike.
ACCOUNT = "crm.account a LEFT JOIN crm.account h ON h.id = a.parent_id WHERE a.deleted_at IS NULL AND a.kind <> 'prospect'"
PARTY = "erp.party p LEFT JOIN erp.party h ON h.party_no = p.head_office WHERE p.closed_on IS NULL"
MASTER: dict[str, tuple[str, str]] = {
    "customers": (
        f"SELECT a.name, a.vat_number, a.kind, a.status, h.name FROM {ACCOUNT}",
        "SELECT p.name, p.tax_id, CASE p.role WHEN 'C' THEN 'customer' ELSE 'dealer' END,"
        f" CASE p.state WHEN 'A' THEN 'active' ELSE 'dormant' END, h.name FROM {PARTY}",
    ),
    "telephones, mail and websites": (
        "SELECT a.name, m.kind, m.value FROM crm.account a, LATERAL"
        " (VALUES ('phone', a.phone), ('mail', a.email), ('web', a.website)) AS m (kind, value)"
        " WHERE a.deleted_at IS NULL AND a.kind <> 'prospect' AND m.value <> ''",
        "SELECT p.name, m.kind, m.value FROM erp.contact_mechanism m JOIN erp.party p USING (party_no) WHERE closed_on IS NULL",
    ),
    "contacts": (
        "SELECT a.name, first_name, last_name, coalesce(c.email, ''), coalesce(c.phone, ''), opted_in FROM crm.contact c"
        " JOIN crm.account a ON a.id = account_id WHERE c.deleted_at IS NULL AND a.deleted_at IS NULL AND a.kind <> 'prospect'",
        "SELECT p.name, given_name, family_name, mail, tel, newsletter FROM erp.contact_person"
        " JOIN erp.party p USING (party_no) WHERE closed_on IS NULL",
    ),
    "addresses": (
        "SELECT a.name, CASE c.kind WHEN 'billing' THEN 'B' ELSE 'S' END, street, zip, city, country_code, coalesce(instructions, '')"
        " FROM crm.address c JOIN crm.account a ON a.id = account_id WHERE a.deleted_at IS NULL AND a.kind <> 'prospect'",
        "SELECT p.name, usage, street, postal_code, town, iso2, remark FROM erp.party_address"
        " JOIN erp.country k ON k.id = country_id JOIN erp.party p USING (party_no) WHERE closed_on IS NULL",
    ),
}  # fmt: skip

# Of one factory; the CRM's question takes its code, however often.
REPORTED: dict[str, tuple[str, str]] = {
    "terms": (
        "SELECT customer_no, credit_limit, payment_terms, blocked FROM crm.account_terms t JOIN crm.account a ON a.id = account_id"
        " WHERE factory = %s AND a.deleted_at IS NULL",
        "SELECT party_no::text, credit_limit, code, blocked FROM erp.credit JOIN erp.party USING (party_no)"
        " LEFT JOIN erp.payment_term t ON t.id = payment_term_id WHERE closed_on IS NULL",
    ),
    "products": (
        "SELECT p.sku, p.name, p.family, p.unit, p.list_price, p.active, p.spare_part, p.weight_kg, s.item_no, s.standard_cost,"
        " s.lead_days, s.on_hand, s.available FROM crm.product_site s JOIN crm.product p ON p.id = product_id WHERE factory = %s",
        "SELECT code, description, item_group, uom, sales_price, status = 1, spare, round(weight::numeric, 3), item_no::text,"
        " standard_cost, lead_days, coalesce(sum(on_hand), 0)::numeric(14, 3), coalesce(sum(on_hand - reserved), 0)::numeric(14, 3)"
        " FROM erp.item LEFT JOIN erp.stock USING (item_no) GROUP BY item_no",
    ),
    "bills of material": (
        "SELECT p.sku, c.sku, quantity FROM crm.product_component m JOIN crm.product p ON p.id = product_id"
        " JOIN crm.product c ON c.id = component_id WHERE factory = %s",
        "SELECT p.code, c.code, qty::numeric(12, 4) FROM erp.bom_line m JOIN erp.item p ON p.item_no = m.item_no"
        " JOIN erp.item c ON c.item_no = component_no",
    ),
    "stock": (
        "SELECT sku, warehouse, on_hand, reserved FROM crm.stock JOIN crm.product p ON p.id = product_id WHERE factory = %s",
        "SELECT code, rtrim(warehouse), on_hand::numeric(14, 3), reserved::numeric(14, 3) FROM erp.stock JOIN erp.item USING (item_no)",
    ),
    "configurations": (
        "SELECT a.name, p.sku, packaging, colour, label FROM crm.product_configuration JOIN crm.account a ON a.id = account_id"
        " JOIN crm.product p ON p.id = product_id JOIN crm.product_site s ON s.product_id = p.id AND factory = %s"
        " WHERE a.kind <> 'prospect'",
        "SELECT p.name, i.code, k.code, colour, label FROM erp.item_configuration JOIN erp.party p USING (party_no)"
        " JOIN erp.item i USING (item_no) JOIN erp.packaging k ON k.id = packaging_id",
    ),
    "prices": (
        "SELECT p.sku, a.name, price, currency, valid_from FROM crm.price_book b JOIN crm.product p ON p.id = product_id"
        " JOIN crm.product_site s ON s.product_id = p.id AND factory = %s LEFT JOIN crm.account a ON a.id = account_id"
        " WHERE a.kind IS DISTINCT FROM 'prospect'",
        "SELECT i.code, p.name, price, currency, valid_from FROM erp.item_price JOIN erp.item i USING (item_no)"
        " LEFT JOIN erp.party p USING (party_no)",
    ),
    "orders": (
        "SELECT order_no, a.name, quote_id::text, subject, o.status, ordered_on, promised_on, net_amount, currency"
        " FROM crm.sales_order o JOIN crm.account a ON a.id = account_id WHERE factory = %s",
        "SELECT order_no, p.name, external_ref, subject, o.state, ordered_on, promised_on, net_amount, currency"
        " FROM erp.sales_order o JOIN erp.party p USING (party_no)",
    ),
    "orders that began as a quote": (
        "SELECT q.id::text, a.name, c.last_name, q.title, q.note, l.position, p.sku, l.quantity, l.unit_price, l.discount_percent / 100,"
        " f.packaging, f.colour FROM crm.quote q JOIN crm.account a ON a.id = q.account_id JOIN crm.quote_line l ON l.quote_id = q.id"
        " JOIN crm.product p ON p.id = l.product_id LEFT JOIN crm.contact c ON c.id = q.contact_id AND c.deleted_at IS NULL"
        " LEFT JOIN crm.product_configuration f ON f.id = l.configuration_id WHERE q.stage = 'confirmed' AND l.factory = %s",
        "SELECT external_ref, p.name, c.family_name, o.subject, o.remark, line_no, i.code, qty::numeric, price, rebate, k.code, g.colour"
        " FROM erp.sales_order o JOIN erp.party p USING (party_no) LEFT JOIN erp.contact_person c USING (contact_no)"
        " JOIN erp.sales_order_line l USING (order_id) JOIN erp.item i ON i.item_no = l.item_no"
        " LEFT JOIN erp.item_configuration g ON g.config_no = l.config_no LEFT JOIN erp.packaging k ON k.id = g.packaging_id"
        " WHERE external_ref IS NOT NULL",
    ),
    "deliveries": (
        "SELECT order_no, delivery_no, shipped_on, delivered_on, tracking FROM crm.delivery d JOIN crm.sales_order o"
        " ON o.id = sales_order_id WHERE factory = %s",
        "SELECT order_no, delivery_no, shipped_on, delivered_on, tracking FROM erp.delivery JOIN erp.sales_order USING (order_id)",
    ),
    "invoices": (
        "SELECT order_no, invoice_no, i.net_amount, gross_amount, paid_on FROM crm.invoice i JOIN crm.sales_order o"
        " ON o.id = sales_order_id WHERE factory = %s",
        "SELECT order_no, invoice_no, net, gross, paid_on FROM erp.invoice JOIN erp.sales_order USING (order_id)",
    ),
    "installed products": (
        "SELECT serial_no, a.name, sku, warranty_ends_on, call_on FROM crm.installed_product JOIN crm.account a ON a.id = account_id"
        " JOIN crm.product p ON p.id = product_id WHERE factory = %s",
        "SELECT serial_no, p.name, code, ends_on, (ends_on - interval '3 months')::date FROM erp.warranty"
        " JOIN erp.party p USING (party_no) JOIN erp.item USING (item_no)",
    ),
    "complaints": (
        "SELECT complaint_no, t.subject, t.description, defect, c.quantity, t.status, batch_no, quality_result, resolution, cost, o.order_no"
        " FROM crm.complaint c JOIN crm.ticket t USING (id) LEFT JOIN crm.sales_order o ON o.id = sales_order_id"
        " WHERE coalesce(o.factory, t.factory) = %s",
        "SELECT complaint_no, c.subject, c.description, CASE defect WHEN 'D' THEN 'damaged' WHEN 'W' THEN 'wrong' WHEN 'Q' THEN 'quality'"
        " WHEN 'L' THEN 'late' ELSE 'other' END, qty::numeric(10, 2), (ARRAY['open', 'waiting', 'solved', 'closed'])[c.state], batch_no,"
        " (SELECT result FROM erp.quality_record q WHERE q.batch_no = c.batch_no ORDER BY record_no DESC LIMIT 1), resolution, cost,"
        " order_no FROM erp.complaint c LEFT JOIN erp.sales_order USING (order_id)",
    ),
    "service": (
        "SELECT service_no, subject, r.serial_no, status, visit_on, under_warranty, parts_cost, labour_cost FROM crm.service_request r"
        " JOIN crm.ticket t USING (id) LEFT JOIN crm.installed_product i ON i.serial_no = r.serial_no"
        " WHERE coalesce(t.factory, i.factory) = %s",
        "SELECT service_no, subject, serial_no, (ARRAY['open', 'waiting', 'solved', 'closed'])[state], visit_on, under_warranty,"
        " parts_cost, labour_cost FROM erp.service_order",
    ),
    "parts": (
        "SELECT service_no, sku, quantity, unit_cost FROM crm.service_part s JOIN crm.service_request r ON r.id = service_request_id"
        " JOIN crm.ticket t ON t.id = r.id JOIN crm.product p ON p.id = s.product_id"
        " LEFT JOIN crm.installed_product i ON i.serial_no = r.serial_no WHERE coalesce(t.factory, i.factory) = %s",
        "SELECT service_no, code, qty::numeric(10, 2), unit_cost FROM erp.service_part JOIN erp.item USING (item_no)",
    ),
}  # fmt: skip


def differences(sales: Sales, factory: Factory) -> list[str]:
    """What the two do not say alike; nothing, it is hoped."""
    found: list[str] = []
    for what, (here, there) in MASTER.items():
        found += _unlike(f"{factory.code} {what}", sales.rows(here), factory.rows(there))
    for what, (here, there) in REPORTED.items():
        found += _unlike(
            f"{factory.code} {what}", sales.rows(here, factory.code), [_told(what, row) for row in factory.rows(there)]
        )
    found += _unlike(f"{factory.code} profit", *_profit(sales, factory))
    # The factory's own books: what was booked is what there is.
    moved = "SELECT item_no, warehouse, sum(qty) FROM erp.stock_move GROUP BY 1, 2"
    found += _unlike(
        f"{factory.code} stock books", factory.rows(moved), factory.rows("SELECT item_no, warehouse, on_hand FROM erp.stock")
    )
    twice = "SELECT external_ref FROM {} WHERE external_ref IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
    for table in ("erp.sales_order", "erp.complaint", "erp.service_order"):
        found += [f"{factory.code} {table}: {one} twice" for one in factory.values(twice.format(table))]
    return found


def _told(what: str, row: Row) -> Row:
    return tuple(STATES.get(value, value) if what == "orders" and place == 4 else value for place, value in enumerate(row))


def _profit(sales: Sales, factory: Factory) -> tuple[list[Row], list[Row]]:
    """(customer, orders, revenue, cost): what the CRM has, and the factory's books counted by hand."""
    here = sales.rows(
        "SELECT customer_no, orders, p.revenue, actual_cost FROM crm.customer_profit p JOIN crm.account_terms t USING (account_id, factory)"
        " WHERE factory = %s", factory.code,
    )  # fmt: skip
    orders, revenue, cost = Counter[int](), Counter[int](), Counter[int]()
    batches: dict[int, Any] = {}
    for line, actual in factory.rows("SELECT line_id, actual_cost FROM erp.batch WHERE line_id IS NOT NULL"):
        batches[line] = batches.get(line, Decimal(0)) + actual
    for _, party, amount in factory.rows("SELECT order_id, party_no, net_amount FROM erp.sales_order WHERE state <> 90"):
        orders[party] += 1
        revenue[party] += amount
    lines = (
        "SELECT line_id, party_no, qty, standard_cost FROM erp.sales_order_line JOIN erp.sales_order USING (order_id)"
        " JOIN erp.item USING (item_no) WHERE state <> 90"
    )
    for line, party, quantity, standard in factory.rows(lines):
        cost[party] += batches.get(line, round(Decimal(quantity) * standard, 2))
    for party, claimed in factory.rows("SELECT party_no, cost FROM erp.complaint WHERE cost IS NOT NULL"):
        cost[party] += claimed
    for party, spent in factory.rows("SELECT party_no, parts_cost + labour_cost FROM erp.service_order WHERE under_warranty"):
        cost[party] += spent
    return here, [(str(party), orders[party], revenue[party], cost[party]) for party in orders]


def _unlike(what: str, here: list[Row], there: list[Row]) -> list[str]:
    one, other = Counter(here), Counter(there)
    return [f"{what}: the CRM has {row}" for row in (one - other)] + [f"{what}: the factory has {row}" for row in (other - one)]

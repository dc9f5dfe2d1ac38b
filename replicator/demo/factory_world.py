"""What one factory's people key into their ERP: parties, items, stock, and the orders of the past year.

Promises: writes through ordinary transactions, in numbers that `Sizes` (world.py) asks for; the same seed gives the same.
"""

from __future__ import annotations

from collections import Counter
from typing import LiteralString

import pycountry

from replicator.demo.bulk import Connection, column, copy, copy_in_batches, insert
from replicator.demo.factories import SERVICE_WAREHOUSE, Factory
from replicator.demo.people import Company, People, Product

PAYMENT_TERMS = (("PREPAID", 0), ("NET10", 10), ("NET14", 14), ("NET30", 30), ("NET60", 60), ("NET90", 90))
PACKAGINGS = (("carton", "Carton"), ("crate", "Wooden crate"), ("pallet", "Euro pallet"), ("bulk", "Loose"))
MECHANISMS = (("phone", "phone"), ("mail", "email"), ("web", "website"))
KEYED_BY = "sales desk"

# Parties whose VAT number ends so may be closed by the demo's users; nobody else works on them.
CLOSABLE_VAT = "%9"

PARTY: LiteralString = """
    INSERT INTO erp.party (name, tax_id, role, state, entered_by) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING RETURNING party_no"""
ADDRESS: LiteralString = "COPY erp.party_address (party_no, usage, street, postal_code, town, country_id, remark) FROM STDIN"
MECHANISM: LiteralString = "COPY erp.contact_mechanism (party_no, kind, value) FROM STDIN"
PERSON: LiteralString = "COPY erp.contact_person (party_no, given_name, family_name, mail, tel, function, newsletter) FROM STDIN"
ITEM: LiteralString = """
    COPY erp.item (code, description, item_group, uom, sales_price, status, spare, weight, standard_cost, lead_days) FROM STDIN"""
CREDIT: LiteralString = """
    UPDATE erp.credit SET credit_limit = (party_no %% 40) * 2500, reviewed_on = current_date - party_no %% 300,
           payment_term_id = (SELECT id FROM erp.payment_term ORDER BY (id + party_no) %% 6, id LIMIT 1)
    WHERE party_no %% 3 = %s"""
COSTS: LiteralString = """
    UPDATE erp.item SET standard_cost = round(sales_price * 0.55, 4), lead_days = 5 + item_no %% 20
    WHERE standard_cost = 0 AND item_no %% 2 = %s"""
COMPONENTS: LiteralString = """
    INSERT INTO erp.bom_line (item_no, line_no, component_no, qty)
    SELECT p.item_no, c.place, c.item_no, 1 + (p.item_no + c.place) %% 4
    FROM erp.item p CROSS JOIN LATERAL (
        SELECT i.item_no, row_number() OVER (ORDER BY i.item_no) AS place
        FROM erp.item i WHERE i.item_no > p.item_no ORDER BY i.item_no LIMIT 2) c
    WHERE NOT p.spare AND p.item_no %% 3 = 0 ON CONFLICT DO NOTHING"""
LASTING_PARTIES: LiteralString = """
    SELECT party_no FROM erp.party WHERE closed_on IS NULL AND coalesce(tax_id, '') NOT LIKE %s ORDER BY party_no"""
ITEMS_ON_SALE: LiteralString = "SELECT item_no, sales_price FROM erp.item WHERE status = 1 AND NOT spare ORDER BY item_no"
MOVE: LiteralString = "COPY erp.stock_move (item_no, warehouse, qty, reason, reference) FROM STDIN"
PRICE: LiteralString = """
    INSERT INTO erp.item_price (item_no, party_no, price, currency, valid_from)
    SELECT item_no, NULL, round(sales_price * 0.9, 2), 'EUR', date '2026-01-01' FROM erp.item WHERE item_no %% 5 = 1"""

# The past year: every order was produced, most were shipped, most of those invoiced.
ORDER: LiteralString = """
    INSERT INTO erp.sales_order (party_no, subject, state, ordered_on, promised_on, currency, entered_by)
    VALUES (%s, %s, 10, current_date - %s::int, current_date - %s::int, 'EUR', %s) RETURNING order_id"""
LINE: LiteralString = "COPY erp.sales_order_line (order_id, line_no, item_no, qty, price, rebate) FROM STDIN"
BATCHES: LiteralString = """
    INSERT INTO erp.batch (item_no, line_id, qty, state, started_on, finished_on, material_cost, labour_cost, overhead_cost)
    SELECT l.item_no, l.line_id, l.qty, 'F', o.ordered_on + 1, o.promised_on - 2,
           round(l.price * l.qty::numeric * (28 + l.line_id %% 9) / 100, 2),
           round(l.price * l.qty::numeric * (12 + l.line_id %% 13) / 100, 2), round(l.price * l.qty::numeric * 0.1, 2)
    FROM erp.sales_order_line l JOIN erp.sales_order o USING (order_id) WHERE o.order_id = ANY(%s)"""
INSPECTIONS: LiteralString = """
    INSERT INTO erp.quality_record (batch_no, inspected_on, result, inspector)
    SELECT b.batch_no, b.finished_on, CASE WHEN l.line_id %% 11 = 0 THEN 'rework' ELSE 'pass' END, 'QA ' || l.line_id %% 3 + 1
    FROM erp.batch b JOIN erp.sales_order_line l USING (line_id) WHERE l.order_id = ANY(%s) AND l.line_id %% 2 = 0"""
DELIVERIES: LiteralString = """
    INSERT INTO erp.delivery (order_id, shipped_on, delivered_on, carrier, tracking)
    SELECT order_id, promised_on - 1, promised_on + (order_id %% 4)::int - 2, 'Kuehn Cargo', 'KC' || 700000 + order_id
    FROM erp.sales_order WHERE order_id = ANY(%s)"""
INVOICES: LiteralString = """
    INSERT INTO erp.invoice (order_id, invoiced_on, due_on, net, tax, paid_on)
    SELECT order_id, promised_on, promised_on + 30, net_amount, round(net_amount * 0.19, 2),
           CASE WHEN order_id %% 3 > 0 THEN promised_on + 25 END
    FROM erp.sales_order WHERE order_id = ANY(%s)"""
SET_STATE: LiteralString = "UPDATE erp.sales_order SET state = %s WHERE order_id = ANY(%s)"
WARRANTIES: LiteralString = """
    INSERT INTO erp.warranty (serial_no, party_no, item_no, sold_on, ends_on)
    SELECT %s || '-' || lpad(l.line_id::text, 6, '0'), o.party_no, l.item_no, o.promised_on, o.promised_on + 730
    FROM erp.sales_order_line l JOIN erp.sales_order o USING (order_id) WHERE o.order_id = ANY(%s) AND l.line_no = 1"""


class FactoryWorld:
    """`made` counts what was written, by what it is."""

    def __init__(self, erp: Connection, factory: Factory, people: People) -> None:
        self.erp, self.factory, self.people = erp, factory, people
        self.random = people.random
        self.made: Counter[str] = Counter()
        self._countries: dict[str, int] = {}

    def reference_tables(self) -> None:
        """In an order, so with numbers, that only this factory and seed have."""
        countries = [(country.alpha_2, country.name[:80]) for country in pycountry.countries]
        tables: tuple[tuple[LiteralString, list[tuple[str, object]]], ...] = (
            ("COPY erp.country (iso2, name) FROM STDIN", [*countries]),
            ("COPY erp.payment_term (code, days) FROM STDIN", [*PAYMENT_TERMS]),
            ("COPY erp.packaging (code, name) FROM STDIN", [*PACKAGINGS]),
            ("COPY erp.warehouse (code, name) FROM STDIN", [*self.factory.warehouses]),
        )
        with self.erp.transaction():
            for statement, rows in tables:
                self.random.shuffle(rows)
                copy(self.erp, statement, rows)

    def items(self, products: list[Product]) -> None:
        rows = []
        for p in products:
            spare = self.random.random() < 0.15
            cost, days = f"{float(p.price) * self.random.uniform(0.45, 0.65):.4f}", self.random.randrange(3, 30)
            status = self.random.choices((1, 9), (96, 4))[0]
            rows.append((p.code, p.description, p.family, p.unit, p.price, status, spare, p.weight, cost, days))
        self.made["items"] += copy_in_batches(self.erp, ITEM, rows)

    def parties(self, companies: list[Company], contacts: int) -> None:
        """With their addresses, numbers and contacts. Who is there already (keyed elsewhere a moment ago) is left alone."""
        rows = [(c.name, c.vat, self.random.choices("CD", (80, 20))[0], "A", KEYED_BY) for c in companies]
        numbers = insert(self.erp, PARTY, rows)
        known: dict[str, int] = dict(
            self.erp.execute("SELECT tax_id, party_no FROM erp.party WHERE party_no = ANY(%s)", [numbers]).fetchall()
        )
        pairs = [(known[c.vat], c) for c in companies if c.vat is not None and c.vat in known]
        self.made["parties"] += len(numbers)
        addresses = [(n, usage, *self._address(c)) for n, c in pairs for usage in self.random.choice(("B", "BS"))]
        reached = [(n, kind, getattr(c, name)) for n, c in pairs for kind, name in MECHANISMS if getattr(c, name)]
        persons = [(self.random.choice(pairs)[0], *self._person()) for _ in range(contacts if pairs else 0)]
        self.made["addresses"] += copy_in_batches(self.erp, ADDRESS, addresses)
        self.made["phones, e-mails and websites"] += copy_in_batches(self.erp, MECHANISM, reached)
        self.made["contacts"] += copy_in_batches(self.erp, PERSON, persons)

    def _address(self, c: Company) -> tuple[object, ...]:
        self._countries = self._countries or dict(self.erp.execute("SELECT iso2, id FROM erp.country").fetchall())
        return (c.street, c.zip, c.city, self._countries[c.country], self.random.choice(("", "", "ring at gate 3")))

    def _person(self) -> tuple[object, ...]:
        p = self.people.person()
        return (p.first, p.last, p.email or "", p.phone or "", p.title, self.random.random() < 0.2)

    # -- when the others' customers and products have arrived -----------------------------------------------------------

    def finance(self) -> None:
        """What each party is granted; a third of them at a time."""
        for part in range(3):
            self.made["credit lines"] += self.erp.execute(CREDIT, [part]).rowcount

    def production_data(self) -> None:
        """What a factory knows of items that came from elsewhere: their cost, and what they are made of."""
        for part in range(2):
            self.erp.execute(COSTS, [part])
        self.made["components"] += self.erp.execute(COMPONENTS, []).rowcount

    def prices(self) -> None:
        """The list for everybody: one factory keeps it for all."""
        self.made["prices"] += self.erp.execute(PRICE, []).rowcount

    def stock(self, share: float) -> None:
        """Receipts: spare parts for the technicians, goods in some of the other warehouses."""
        stores = [code for code, _ in self.factory.warehouses if code != SERVICE_WAREHOUSE]
        moves: list[tuple[object, ...]] = []
        for item, spare in self.erp.execute("SELECT item_no, spare FROM erp.item ORDER BY item_no").fetchall():
            chosen = [SERVICE_WAREHOUSE] if spare else [s for s in stores if self.random.random() < share]
            moves += [(item, store, self.random.randrange(20, 2_000), "receipt", "opening") for store in chosen]
        self.made["stock movements"] += copy_in_batches(self.erp, MOVE, moves)

    def history(self, orders: int) -> None:
        parties, items = column(self.erp, LASTING_PARTIES, [CLOSABLE_VAT]), self.erp.execute(ITEMS_ON_SALE).fetchall()
        if not parties or not items:
            return
        rows = []
        for _ in range(orders):
            age = self.random.randrange(60, 360)
            rows.append((self.random.choice(parties), "by telephone", age, age - self.random.randrange(10, 40), KEYED_BY))
        made = insert(self.erp, ORDER, rows)
        lines: list[tuple[object, ...]] = []
        for order in made:
            for place in range(1, self.random.randint(1, 3) + 1):
                item, price = self.random.choice(items)
                lines.append(
                    (order, place, item, self.random.choice((1, 2, 5, 12, 40)), price, self.random.choice(("0", "0.05")))
                )
        copy_in_batches(self.erp, LINE, lines)
        shipped, invoiced = made[: len(made) * 9 // 10], made[: len(made) * 8 // 10]
        with self.erp.transaction():
            self.made["batches"] += self.erp.execute(BATCHES, [made]).rowcount
            self.made["quality records"] += self.erp.execute(INSPECTIONS, [made]).rowcount
        with self.erp.transaction():
            self.made["deliveries"] += self.erp.execute(DELIVERIES, [shipped]).rowcount
            self.made["invoices"] += self.erp.execute(INVOICES, [invoiced]).rowcount
            self.made["warranties"] += self.erp.execute(WARRANTIES, [self.factory.code, shipped]).rowcount
            for state, some in ((15, made[len(shipped) :]), (20, shipped[len(invoiced) :]), (30, invoiced)):
                self.erp.execute(SET_STATE, [state, some])
        self.made["past orders"] += len(made)
        self.made["order lines"] += len(lines)

"""What the CRM's people key: products, companies, contacts, and what was agreed with whom.

Promises: writes through ordinary transactions, in numbers that `Sizes` (world.py) asks for; the same seed gives the same.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from typing import LiteralString

from replicator.demo.bulk import Connection, column, copy_in_batches
from replicator.demo.factories import FACTORIES
from replicator.demo.factory_world import CLOSABLE_VAT
from replicator.demo.people import Company, People, Product
from replicator.demo.quotes import random_uuid, write_quotes

MANAGERS = ("A. Meier", "J. Novak", "S. Rossi", "L. Chen")
INDUSTRIES = ("appliances", "machine building", "retail", "energy", "food")
PACKAGINGS = ("carton", "crate", "pallet", "bulk")
COLOURS = ("white", "anthracite", "signal red", None)
GROUP = 10  # the first of every ten accounts is the head office of the three that follow

FACTORY: LiteralString = "INSERT INTO crm.factory (code, name, region) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
PRODUCT: LiteralString = (
    "COPY crm.product (sku, name, family, unit, list_price, weight_kg, spare_part, made_in, brochure) FROM STDIN"
)
ACCOUNT: LiteralString = (
    "COPY crm.account (id, name, kind, vat_number, status, parent_id, segment, industry, phone, email, website, account_manager) "
    "FROM STDIN"
)
ADDRESS: LiteralString = "COPY crm.address (account_id, kind, street, zip, city, country_code, instructions) FROM STDIN"
CONTACT: LiteralString = (
    "COPY crm.contact (account_id, first_name, last_name, email, phone, job_title, is_primary, opted_in) FROM STDIN"
)
ONE_ACCOUNT: LiteralString = (
    "INSERT INTO crm.account (name, vat_number, phone, email, website) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
ALSO_MADE: LiteralString = """
    UPDATE crm.product p SET made_in = '{NORTH,SOUTH}' FROM crm.product_site s
    WHERE s.product_id = p.id AND p.made_in = '{}' AND right(p.sku, 1) IN ('3', '7')"""
CONFIGURATION: LiteralString = (
    "COPY crm.product_configuration (account_id, product_id, packaging, colour, label, agreed_by) FROM STDIN"
)
PRICE: LiteralString = "COPY crm.price_book (product_id, account_id, price, valid_from) FROM STDIN"
CAMPAIGN: LiteralString = """
    INSERT INTO crm.campaign (name, starts_on, ends_on, budget)
    VALUES ('Spring renewal', current_date, current_date + 60, 20000) RETURNING id"""
MEMBERS: LiteralString = """
    INSERT INTO crm.campaign_member (campaign_id, account_id)
    SELECT %s, id FROM crm.account WHERE kind <> 'prospect' AND deleted_at IS NULL ORDER BY id LIMIT %s"""
SOLD_TO: LiteralString = """
    SELECT id FROM crm.account
    WHERE kind <> 'prospect' AND deleted_at IS NULL AND coalesce(vat_number, '') NOT LIKE %s ORDER BY vat_number, id"""
SOLD: LiteralString = """
    SELECT p.id, p.list_price, array_agg(s.factory ORDER BY s.factory)
    FROM crm.product p JOIN crm.product_site s ON s.product_id = p.id
    WHERE p.active AND NOT p.spare_part AND p.sku LIKE 'P-%' GROUP BY p.id, p.sku, p.list_price ORDER BY p.sku"""


class CrmWorld:
    """`made` counts what was written, by what it is."""

    def __init__(self, crm: Connection, people: People) -> None:
        self.crm, self.people = crm, people
        self.random = people.random
        self.made: Counter[str] = Counter()

    def factories(self) -> None:
        for factory in FACTORIES:
            self.crm.execute(FACTORY, [factory.code, factory.name, factory.region])

    def products(self, products: list[Product]) -> None:
        rows = []
        for p in products:
            made_in = self.random.choice((["NORTH"], ["SOUTH"], ["NORTH", "SOUTH"]))
            brochure = json.dumps({"headline": p.description, "pages": self.random.randrange(2, 9)})
            spare = self.random.random() < 0.15
            rows.append((p.code, p.description, p.family, p.unit, p.price, p.weight, spare, made_in, brochure))
        self.made["products"] += copy_in_batches(self.crm, PRODUCT, rows)

    def accounts(self, companies: list[Company], contacts: int) -> None:
        """Some are prospects, which no factory hears of; some belong to a group."""
        rows: list[tuple[object, ...]] = []
        customers: list[tuple[uuid.UUID, Company]] = []
        head: uuid.UUID | None = None
        for place, c in enumerate(companies):
            key = random_uuid(self.random)
            first = place % GROUP == 0
            kind = "customer" if first else self.random.choices(("customer", "dealer", "prospect"), (65, 20, 15))[0]
            head = key if first else head
            parent = head if 1 <= place % GROUP <= 3 else None
            status = "dormant" if self.random.random() < 0.1 else "active"
            segment, industry = self.random.choice(("key", "standard", "standard", "small")), self.random.choice(INDUSTRIES)
            reached = (c.phone, c.email, c.website)
            rows.append((key, c.name, kind, c.vat, status, parent, segment, industry, *reached, self.random.choice(MANAGERS)))
            if kind != "prospect":
                customers.append((key, c))
        self.made["accounts"] += copy_in_batches(self.crm, ACCOUNT, rows)
        addresses = [
            (key, kind, c.street, c.zip, c.city, c.country, self.random.choice((None, None, "ring at gate 3")))
            for key, c in customers
            for kind in self.random.choice((("billing",), ("billing", "shipping")))
        ]
        self.made["addresses"] += copy_in_batches(self.crm, ADDRESS, addresses)
        persons = [(self.random.choice(customers)[0], *self._person()) for _ in range(contacts if customers else 0)]
        self.made["contacts"] += copy_in_batches(self.crm, CONTACT, persons)

    def _person(self) -> tuple[object, ...]:
        p = self.people.person()
        return (p.first, p.last, p.email, p.phone, p.title, self.random.random() < 0.3, self.random.random() < 0.4)

    def key_again(self, c: Company) -> bool:
        """What is keyed in a factory in the same moment. False if it has come over from there already."""
        made = self.crm.execute(ONE_ACCOUNT, [c.name, c.vat, c.phone, c.email, c.website]).rowcount
        self.made["accounts"] += made
        return made == 1

    # -- when the factories' customers and products have arrived ----------------------------------------------------------

    def make_elsewhere(self) -> None:
        """Some of what one factory has keyed is to be made in the other as well."""
        self.crm.execute(ALSO_MADE)

    def agreements(self, count: int) -> bool:
        """Prices and configurations for some customers, and a campaign. False if there is nobody to agree with yet."""
        accounts, products = column(self.crm, SOLD_TO, [CLOSABLE_VAT]), self.crm.execute(SOLD).fetchall()
        if not accounts or not products:
            return count == 0
        chosen = {(self.random.choice(accounts), self.random.choice(products)[:2]) for _ in range(count)}
        in_order = sorted(chosen, key=str)
        configurations = [
            (a, p, self.random.choice(PACKAGINGS), self.random.choice(COLOURS), f"Lot {n:04d}", self.random.choice(MANAGERS))
            for n, (a, (p, _)) in enumerate(in_order)
        ]
        prices = [(p, a, f"{float(price) * 0.93:.2f}", "2026-01-01") for a, (p, price) in in_order[::2]]
        self.made["configurations"] += copy_in_batches(self.crm, CONFIGURATION, configurations)
        self.made["prices"] += copy_in_batches(self.crm, PRICE, prices)
        campaign = self.crm.execute(CAMPAIGN).fetchone()
        assert campaign is not None
        self.made["campaign members"] += self.crm.execute(MEMBERS, [campaign[0], count]).rowcount
        return True

    def quotes(self, count: int, lines_per_quote: int) -> bool:
        accounts, products = column(self.crm, SOLD_TO, [CLOSABLE_VAT]), self.crm.execute(SOLD).fetchall()
        if not accounts or not products:
            return count == 0
        made = write_quotes(self.crm, self.people, accounts, products, count=count, lines_per_quote=lines_per_quote)
        self.made += Counter({"quotes": made.quotes, "quote lines": made.lines, "confirmed quotes": made.confirmed})
        return True

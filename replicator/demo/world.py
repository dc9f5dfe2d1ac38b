"""Fills the demo's CRM and ERP as their users would, each side with what is keyed there.

Promises: writes through ordinary transactions that the replicator, already running, carries over;
the same seed gives the same world. Products are keyed in the ERP, accounts half here and half there,
a few of them on both sides at once; quotes are made in the CRM for what has arrived there, waiting for
that at most `wait_seconds`: without a replicator the world is smaller, not an error.
"""

from __future__ import annotations

import importlib.resources
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import LiteralString

import psycopg
import pycountry

from replicator.demo.bulk import Connection, column, copy, copy_in_batches
from replicator.demo.people import Company, People
from replicator.demo.quotes import random_uuid, write_quotes

PAYMENT_TERMS = (("PREPAID", 0), ("NET10", 10), ("NET14", 14), ("NET30", 30), ("NET60", 60), ("NET90", 90))
ENOUGH = 0.9  # of what was keyed in the ERP, before quotes are made for it

# Customers whose VAT number ends so may be closed by the demo's users; nobody quotes to them.
CLOSABLE_VAT = "%9"

ITEMS: LiteralString = "COPY erp.item (code, description, sales_price, uom, status, weight) FROM STDIN"
ACCOUNTS: LiteralString = (
    "COPY crm.account (id, name, vat_number, street, zip, city, country_code, phone, website, "
    "segment, status, account_manager, credit_limit) FROM STDIN"
)
CUSTOMER_COLUMNS: LiteralString = (
    "company_name, tax_id, street, postal_code, town, country_id, phone, homepage, "
    "state, credit_limit, payment_term_id, dunning_level, entered_by"
)
CUSTOMERS: LiteralString = f"COPY erp.customer ({CUSTOMER_COLUMNS}) FROM STDIN"
ONE_CUSTOMER: LiteralString = (
    f"INSERT INTO erp.customer ({CUSTOMER_COLUMNS}) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
ONE_ACCOUNT: LiteralString = (
    "INSERT INTO crm.account (name, vat_number, city, country_code, phone) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
CONTACTS: LiteralString = (
    "COPY crm.contact (account_id, first_name, last_name, email, phone, job_title, is_primary, opted_in) FROM STDIN"
)
CONTACT_PERSONS: LiteralString = (
    "COPY erp.contact_person (customer_no, given_name, family_name, mail, tel, function, newsletter) FROM STDIN"
)
QUOTABLE: LiteralString = (
    "SELECT id FROM crm.account WHERE deleted_at IS NULL AND coalesce(vat_number, '') NOT LIKE %s ORDER BY vat_number"
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """`keyed_twice`: companies, beyond `accounts`, that are typed into both systems at about the same time."""

    accounts: int = 2_000
    contacts: int = 4_000
    products: int = 800
    quotes: int = 1_500
    lines_per_quote: int = 5
    keyed_twice: int = 20


@dataclass(slots=True)
class World:
    """What was written where, and how long that took. `complete`: everything asked for could be made."""

    crm_accounts: int = 0
    erp_customers: int = 0
    keyed_twice: int = 0
    crm_contacts: int = 0
    erp_contacts: int = 0
    products: int = 0
    quotes: int = 0
    quote_lines: int = 0
    confirmed: int = 0
    complete: bool = True
    seconds: float = 0.0
    waited_seconds: float = 0.0

    @property
    def rows(self) -> int:
        masters = self.crm_accounts + self.erp_customers + self.crm_contacts + self.erp_contacts + self.products
        return masters + self.quotes + self.quote_lines


def schema_files() -> Traversable:
    """The folder of crm.sql and erp.sql as installed."""
    return importlib.resources.files("replicator_sql") / "demo"


def install_schemas(crm_dsn: str, erp_dsn: str, folder: Path | Traversable | None = None) -> None:
    """Makes the demo's tables in two empty databases."""
    source = folder or schema_files()
    for dsn, name in ((crm_dsn, "crm.sql"), (erp_dsn, "erp.sql")):
        with psycopg.connect(dsn) as connection:
            connection.execute(source.joinpath(name).read_text(encoding="utf-8").encode())


def fill_reference_tables(erp_dsn: str, seed: int = 1) -> None:
    """Countries and payment terms, in an order (so with numbers) that only this seed gives."""
    chance = People(seed).random
    countries = [(country.alpha_2, country.name[:80]) for country in pycountry.countries]
    terms = list(PAYMENT_TERMS)
    chance.shuffle(countries)
    chance.shuffle(terms)
    with psycopg.connect(erp_dsn) as erp:
        copy(erp, "COPY erp.country (iso2, name) FROM STDIN", countries)
        copy(erp, "COPY erp.payment_term (code, days) FROM STDIN", terms)


def build(
    crm_dsn: str,
    erp_dsn: str,
    sizes: Sizes | None = None,
    *,
    seed: int = 1,
    wait_seconds: float = 60.0,
    tell: Callable[[str], None] = lambda _: None,
) -> World:
    """Writes the whole world into two databases with the demo's tables. `tell` hears each step as it begins."""
    started = time.monotonic()
    tell("countries and payment terms")
    fill_reference_tables(erp_dsn, seed)
    with psycopg.connect(crm_dsn, autocommit=True) as crm, psycopg.connect(erp_dsn, autocommit=True) as erp:
        world = _Builder(crm, erp, sizes or Sizes(), People(seed)).everything(wait_seconds, tell)
    world.seconds = time.monotonic() - started
    return world


class _Builder:
    def __init__(self, crm: Connection, erp: Connection, sizes: Sizes, people: People) -> None:
        self.crm, self.erp, self.sizes, self.people = crm, erp, sizes, people
        self.random = people.random
        self.world = World()
        self.countries: dict[str, int] = dict(erp.execute("SELECT iso2, id FROM erp.country").fetchall())
        self.terms = column(erp, "SELECT id FROM erp.payment_term ORDER BY code")

    def everything(self, wait_seconds: float, tell: Callable[[str], None]) -> World:
        tell("products in the ERP")
        self.products()
        tell("customers in the CRM and in the ERP")
        companies = [self.people.company() for _ in range(self.sizes.accounts)]
        half = len(companies) // 2
        accounts = self.crm_accounts(companies[:half])
        customers = self.erp_customers(companies[half:])
        self.both_sides()
        tell("their contacts")
        self.crm_contacts(accounts)
        self.erp_contacts(customers)
        tell("waiting until the CRM has what the ERP's users keyed")
        self.world.complete = self.await_arrival(wait_seconds)
        tell("quotes in the CRM")
        self.quotes()
        return self.world

    def products(self) -> None:
        products = (self.people.product() for _ in range(self.sizes.products))
        rows = [(p.code, p.description, p.price, p.unit, self._item_status(), p.weight) for p in products]
        self.world.products = copy_in_batches(self.erp, ITEMS, rows)

    def _item_status(self) -> int:
        return self.random.choices((1, 5, 9), (94, 4, 2))[0]

    def crm_accounts(self, companies: list[Company]) -> list[uuid.UUID]:
        ids = [random_uuid(self.random) for _ in companies]
        rows = [
            (
                *(key, c.name, c.vat, c.street, c.zip, c.city, c.country, c.phone, c.website),
                self.random.choice(("key", "standard", "standard", "small")),
                self.random.choices(("active", "dormant", "prospect"), (70, 10, 20))[0],
                self.random.choice(("A. Meier", "J. Novak", "S. Rossi", "L. Chen")),
                "5000.00" if self.random.random() < 0.05 else None,  # some type a limit; finance has the say
            )
            for key, c in zip(ids, companies, strict=True)
        ]
        self.world.crm_accounts = copy_in_batches(self.crm, ACCOUNTS, rows)
        return ids

    def erp_customers(self, companies: list[Company]) -> list[int]:
        self.world.erp_customers = copy_in_batches(self.erp, CUSTOMERS, [self._customer(c) for c in companies])
        wanted = [company.vat for company in companies if company.vat]
        return column(self.erp, "SELECT customer_no FROM erp.customer WHERE tax_id = ANY(%s) ORDER BY 1", [wanted])

    def _customer(self, c: Company) -> tuple[object, ...]:
        address = (c.name, c.vat, c.street, c.zip, c.city, self.countries[c.country], c.phone, c.website)
        state = self.random.choices("ADP", (80, 10, 10))[0]
        limit = self.random.choice((0, 2_500, 10_000, 50_000, 250_000))
        return (*address, state, limit, self.random.choice(self.terms), self.random.choice((0, 0, 0, 1)), "FIBU")

    def both_sides(self) -> None:
        """Two people key the same company at once; the second may find it there already."""
        companies = (self.people.company() for _ in range(self.sizes.keyed_twice))
        for c in companies:
            if c.vat is None:
                continue
            here = self.crm.execute(ONE_ACCOUNT, [c.name, c.vat, c.city, c.country, c.phone]).rowcount
            there = self.erp.execute(ONE_CUSTOMER, self._customer(c)).rowcount
            self.world.keyed_twice += here + there == 2
            self.world.crm_accounts += here
            self.world.erp_customers += there

    def crm_contacts(self, accounts: list[uuid.UUID]) -> None:
        rows = []
        for _ in range(self.sizes.contacts // 2 if accounts else 0):
            p, account = self.people.person(), self.random.choice(accounts)
            primary, opted_in = self.random.random() < 0.3, self.random.random() < 0.4
            rows.append((account, p.first, p.last, p.email, p.phone, p.title, primary, opted_in))
        self.world.crm_contacts = copy_in_batches(self.crm, CONTACTS, rows)

    def erp_contacts(self, customers: list[int]) -> None:
        rows = []
        for _ in range(self.sizes.contacts - self.sizes.contacts // 2 if customers else 0):
            p, customer, newsletter = self.people.person(), self.random.choice(customers), self.random.random() < 0.2
            rows.append((customer, p.first, p.last, p.email or "", p.phone or "", p.title, newsletter))
        self.world.erp_contacts = copy_in_batches(self.erp, CONTACT_PERSONS, rows)

    def await_arrival(self, seconds: float) -> bool:
        """Waits until the CRM has enough products and accounts; False if that takes longer than `seconds`."""
        products = self.world.products * ENOUGH
        accounts = (self.world.crm_accounts + self.world.erp_customers - self.world.keyed_twice) * ENOUGH
        started = time.monotonic()
        while True:
            row = self.crm.execute("SELECT (SELECT count(*) FROM crm.product), count(*) FROM crm.account").fetchone()
            assert row is not None
            self.world.waited_seconds = time.monotonic() - started
            if row[0] >= products and row[1] >= accounts:
                return True
            if self.world.waited_seconds >= seconds:
                return False
            time.sleep(0.05)

    def quotes(self) -> None:
        accounts = column(self.crm, QUOTABLE, [CLOSABLE_VAT])
        products = self.crm.execute("SELECT id, list_price FROM crm.product WHERE active ORDER BY sku").fetchall()
        if not accounts or not products:
            self.world.complete = self.world.complete and self.sizes.quotes == 0
            return
        sizes = self.sizes
        made = write_quotes(self.crm, self.people, accounts, products, count=sizes.quotes, lines_per_quote=sizes.lines_per_quote)
        self.world.quotes, self.world.quote_lines, self.world.confirmed = made.quotes, made.lines, made.confirmed

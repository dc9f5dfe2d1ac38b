"""A server, a pair of empty demo databases, and a ferry between them.

The ferry stands in for the replicator: crude and slow, inserts only, and for what both sides keyed the ERP's
word counts. It makes consistent databases in another way than the replicator does, so that the check can be
checked against them.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString, Self

import psycopg
import pytest

from replicator.demo.servers import Server
from replicator.demo.world import install_schemas
from tests.conftest import FAST

SCHEMAS = Path(__file__).parents[2] / "sql" / "demo"

ITEMS: LiteralString = """
    SELECT code, description, sales_price, uom, status < 9, weight::numeric(10,3), 'EUR' FROM erp.item
    WHERE code <> ALL(%s)"""
PRODUCT: LiteralString = """
    INSERT INTO crm.product (sku, name, list_price, unit, active, weight_kg, currency)
    VALUES (%s, %s, %s, %s, %s, %s, %s)"""
NEW_ACCOUNTS: LiteralString = """
    SELECT name, vat_number, street, zip, city, country_code, phone, website,
           CASE status WHEN 'active' THEN 'A' WHEN 'dormant' THEN 'D' ELSE 'P' END, id
    FROM crm.account WHERE erp_customer_no IS NULL"""
CUSTOMER: LiteralString = """
    INSERT INTO erp.customer (company_name, tax_id, street, postal_code, town, country_id, phone, homepage, state,
                              dunning_level, entered_by)
    SELECT %s, %s, %s, %s, %s, (SELECT id FROM erp.country WHERE iso2 = %s), %s, %s, %s, 0, 'CRM'
    ON CONFLICT (tax_id) DO UPDATE SET entered_by = 'both' RETURNING customer_no"""
CUSTOMERS: LiteralString = """
    SELECT c.company_name, c.tax_id, c.street, c.postal_code, c.town, k.iso2, c.phone, c.homepage,
           CASE c.state WHEN 'A' THEN 'active' WHEN 'D' THEN 'dormant' ELSE 'prospect' END,
           c.credit_limit, t.code, c.customer_no
    FROM erp.customer c JOIN erp.country k ON k.id = c.country_id JOIN erp.payment_term t ON t.id = c.payment_term_id
    WHERE """
ACCOUNT_COLUMNS: LiteralString = (
    "name, vat_number, street, zip, city, country_code, phone, website, status, credit_limit, payment_terms, erp_customer_no"
)
ADOPT: LiteralString = f"""
    UPDATE crm.account SET ({ACCOUNT_COLUMNS}) = ROW(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) WHERE id = %s"""
ACCOUNT: LiteralString = f"""
    INSERT INTO crm.account ({ACCOUNT_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING"""
CONTACTS: LiteralString = """
    SELECT a.erp_customer_no::int, c.first_name, c.last_name, coalesce(c.email, ''), coalesce(c.phone, ''),
           c.job_title, c.opted_in, c.id
    FROM crm.contact c JOIN crm.account a ON a.id = c.account_id
    WHERE a.erp_customer_no IS NOT NULL AND c.id <> ALL(%s)"""
PERSON: LiteralString = """
    INSERT INTO erp.contact_person (customer_no, given_name, family_name, mail, tel, function, newsletter)
    VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id"""
PERSONS: LiteralString = """
    SELECT given_name, family_name, nullif(mail, ''), nullif(tel, ''), function, newsletter, customer_no::text, id
    FROM erp.contact_person WHERE id <> ALL(%s)"""
CONTACT: LiteralString = """
    INSERT INTO crm.contact (first_name, last_name, email, phone, job_title, opted_in, account_id)
    SELECT %s, %s, %s, %s, %s, %s, id FROM crm.account WHERE erp_customer_no = %s RETURNING id"""
CONFIRMED: LiteralString = """
    SELECT a.erp_customer_no::int, q.id::text, q.title, q.currency, q.note, (q.confirmed_at AT TIME ZONE 'UTC')::date
    FROM crm.quote q JOIN crm.account a ON a.id = q.account_id
    WHERE q.stage = 'confirmed' AND q.erp_order_no IS NULL AND a.erp_customer_no IS NOT NULL"""
ORDER: LiteralString = """
    INSERT INTO erp.sales_order (customer_no, external_ref, subject, currency, remark, ordered_on, entered_by)
    VALUES (%s, %s, %s, %s, %s, %s, 'CRM') RETURNING order_no, order_id"""
LINES: LiteralString = """
    SELECT l.position, p.sku, l.quantity, l.unit_price, l.discount_percent / 100
    FROM crm.quote_line l JOIN crm.product p ON p.id = l.product_id WHERE l.quote_id = %s"""
LINE: LiteralString = """
    INSERT INTO erp.sales_order_line (order_id, line_no, item_no, qty, price, rebate)
    SELECT %s, %s, item_no, %s, %s, %s FROM erp.item WHERE code = %s"""


class Ferry:
    """As a context manager: crosses again and again in a thread of its own, and once more at the end."""

    def __init__(self, crm_dsn: str, erp_dsn: str) -> None:
        self.dsns = crm_dsn, erp_dsn
        self.contacts: set[Any] = set()
        self.persons: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._back_and_forth, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.cross()

    def _back_and_forth(self) -> None:
        while not self._over.wait(0.02):
            self.cross()

    def cross(self) -> None:
        with psycopg.connect(self.dsns[0]) as crm, psycopg.connect(self.dsns[1]) as erp:
            self._products(crm, erp)
            self._customers(crm, erp)
            self._contacts(crm, erp)
            self._orders(crm, erp)

    def _products(self, crm: psycopg.Connection, erp: psycopg.Connection) -> None:
        known = [row[0] for row in crm.execute("SELECT sku FROM crm.product")]
        crm.cursor().executemany(PRODUCT, erp.execute(ITEMS, [known]).fetchall())

    def _customers(self, crm: psycopg.Connection, erp: psycopg.Connection) -> None:
        for *values, key in crm.execute(NEW_ACCOUNTS).fetchall():
            number = erp.execute(CUSTOMER, values).fetchone()
            customer = erp.execute(CUSTOMERS + "c.customer_no = %s", number).fetchone()
            crm.execute(ADOPT, [*(customer or ()), key])
        known = [row[0] for row in crm.execute("SELECT coalesce(erp_customer_no, '') FROM crm.account")]
        for customer in erp.execute(CUSTOMERS + "c.customer_no::text <> ALL(%s)", [known]).fetchall():
            crm.execute(ACCOUNT, customer)

    def _contacts(self, crm: psycopg.Connection, erp: psycopg.Connection) -> None:
        for *values, key in crm.execute(CONTACTS, [list(self.contacts)]).fetchall():
            self.persons.add(erp.execute(PERSON, values).fetchone()[0])  # type: ignore[index]
            self.contacts.add(key)
        for *values, key in erp.execute(PERSONS, [list(self.persons)]).fetchall():
            created = crm.execute(CONTACT, values).fetchone()
            if created:
                self.contacts.add(created[0])
                self.persons.add(key)

    def _orders(self, crm: psycopg.Connection, erp: psycopg.Connection) -> None:
        for quote in crm.execute(CONFIRMED).fetchall():
            order_no, order_id = erp.execute(ORDER, quote).fetchone()  # type: ignore[misc]
            for position, sku, quantity, price, rebate in crm.execute(LINES, [quote[1]]).fetchall():
                erp.execute(LINE, [order_id, position, quantity, price, rebate, sku])
            crm.execute("UPDATE crm.quote SET erp_order_no = %s, order_status = 'ordered' WHERE id = %s", [order_no, quote[1]])


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server(settings=FAST) as one:
        yield one


_numbers = itertools.count()


@pytest.fixture
def databases(server: Server) -> tuple[str, str]:
    """The DSNs of a CRM and an ERP with the demo's tables and no rows."""
    number = next(_numbers)
    crm, erp = server.create_database(f"crm{number}"), server.create_database(f"erp{number}")
    install_schemas(crm, erp, SCHEMAS)
    return crm, erp


@pytest.fixture
def ferry(databases: tuple[str, str]) -> Ferry:
    """Runs inside a `with` block."""
    return Ferry(*databases)

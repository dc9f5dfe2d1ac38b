"""Says whether the demo's CRM and ERP tell the same story: the independent check.

Promises: uses nothing of the replicator, neither its code nor its mapping nor its tables. It reads
both databases with plain SQL, each in one snapshot, joins the records by what people would join them by
(the customer number, the article code, the order number), and compares what they mean. Call it when
nobody writes: two snapshots of two databases are not of one moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import IsolationLevel

Row = tuple[Any, ...]
Key = TypeVar("Key")

SHOWN = 50
GRAM = Decimal("0.001")

STATES = {"A": "active", "D": "dormant", "P": "prospect"}
ORDER_STATES = {10: "ordered", 20: "shipped", 30: "invoiced", 90: "cancelled"}

# Both sides of a comparison list the same things in the same order, after the columns that identify a record.
CUSTOMER = (
    *("name", "VAT number", "street", "zip", "city", "country", "phone", "website"),
    *("status", "credit limit", "payment terms"),
)
ACCOUNTS: LiteralString = """
    SELECT id, erp_customer_no, name, vat_number, street, zip, city, country_code, phone, website,
           status, credit_limit, payment_terms
    FROM crm.account WHERE deleted_at IS NULL"""
CUSTOMERS: LiteralString = """
    SELECT c.customer_no, c.company_name, c.tax_id, c.street, c.postal_code, c.town, k.iso2, c.phone, c.homepage,
           c.state, c.credit_limit, t.code
    FROM erp.customer c
    LEFT JOIN erp.country k ON k.id = c.country_id
    JOIN erp.payment_term t ON t.id = c.payment_term_id
    WHERE c.closed_on IS NULL"""
CONTACTS: LiteralString = """
    SELECT account_id, first_name, last_name, email, phone, job_title, opted_in
    FROM crm.contact WHERE deleted_at IS NULL"""
PERSONS: LiteralString = """
    SELECT customer_no, given_name, family_name, mail, tel, function, newsletter FROM erp.contact_person"""

PRODUCT = ("name", "price", "unit", "active", "weight", "currency")
PRODUCTS: LiteralString = "SELECT sku, name, list_price, unit, active, weight_kg, currency FROM crm.product"
ITEMS: LiteralString = "SELECT code, description, sales_price, uom, status, weight FROM erp.item"

ORDER = ("customer number", "quote id", "title", "currency", "note", "date", "status")
QUOTES: LiteralString = """
    SELECT q.id, q.stage, q.erp_order_no, a.erp_customer_no, q.title, q.currency, q.note,
           (q.confirmed_at AT TIME ZONE 'UTC')::date, q.order_status
    FROM crm.quote q JOIN crm.account a ON a.id = q.account_id
    WHERE q.stage = 'confirmed' OR q.erp_order_no IS NOT NULL OR q.order_status IS NOT NULL"""
ORDERS: LiteralString = """
    SELECT order_no, customer_no, external_ref, subject, currency, remark, ordered_on, state FROM erp.sales_order"""
QUOTE_LINES: LiteralString = """
    SELECT l.quote_id, l.position, p.sku, l.quantity, l.unit_price, l.discount_percent
    FROM crm.quote_line l
    JOIN crm.quote q ON q.id = l.quote_id
    JOIN crm.product p ON p.id = l.product_id
    WHERE q.stage = 'confirmed'"""
ORDER_LINES: LiteralString = """
    SELECT o.order_no, l.line_no, i.code, l.qty, l.price, l.rebate
    FROM erp.sales_order_line l
    JOIN erp.sales_order o ON o.order_id = l.order_id
    JOIN erp.item i ON i.item_no = l.item_no"""


@dataclass(slots=True)
class Verdict:
    """`differences` holds the first SHOWN of `difference_count`. `compared`: rows of each kind, over both databases."""

    compared: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    difference_count: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)

    @property
    def rows_compared(self) -> int:
        return sum(self.compared.values())

    @property
    def same(self) -> bool:
        return self.difference_count == 0

    def differ(self, kind: str, what: str) -> None:
        self.difference_count += 1
        self.by_kind[kind] += 1
        if len(self.differences) < SHOWN:
            self.differences.append(_readable(f"{kind}: {what}"))


def verify(crm_dsn: str, erp_dsn: str) -> Verdict:
    """Compares everything. Raises psycopg's errors if a database cannot be read."""
    verdict = Verdict()
    with psycopg.connect(crm_dsn) as crm, psycopg.connect(erp_dsn) as erp:
        for connection in (crm, erp):
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
        accounts = _customers(verdict, crm, erp)
        _contacts(verdict, crm, erp, accounts)
        _products(verdict, crm, erp)
        quotes = _orders(verdict, crm, erp)
        _order_lines(verdict, crm, erp, quotes)
    return verdict


def _customers(verdict: Verdict, crm: psycopg.Connection, erp: psycopg.Connection) -> dict[Any, int]:
    """The customer number of every account that has a customer."""
    kind = "customer"
    customers = {
        number: (*values, STATES.get(state, state), limit, terms)
        for number, *values, state, limit, terms in _read(verdict, kind, erp, CUSTOMERS)
    }
    paired: dict[Any, int] = {}
    taken: set[int] = set()
    for key, number, *values in _read(verdict, kind, crm, ACCOUNTS):
        name = f"account {key} ({values[1] or values[0]})"
        customer_no = _number(number)
        if customer_no is None:
            verdict.differ(kind, f"{name} has no customer number: it is missing in the ERP, or the number did not return")
        elif customer_no not in customers:
            verdict.differ(kind, f"{name} has customer number {number}, which is not open in the ERP")
        elif customer_no in taken:
            verdict.differ(kind, f"{name} has customer number {number}, which another account has too")
        else:
            taken.add(customer_no)
            paired[key] = customer_no
            if unlike := _unlike(CUSTOMER, values, customers[customer_no]):
                verdict.differ(kind, f"{name}, customer {customer_no}: {unlike}")
    for customer_no in customers.keys() - taken:
        verdict.differ(kind, f"customer {customer_no} ({customers[customer_no][1]}) of the ERP has no account in the CRM")
    return paired


def _contacts(verdict: Verdict, crm: psycopg.Connection, erp: psycopg.Connection, accounts: Mapping[Any, int]) -> None:
    """Contacts have nothing that identifies them: each customer's are compared as a whole. Those of customers
    that are closed, or reported as missing already, are left out."""
    kind = "contact"
    numbers = set(accounts.values())
    here = ((accounts.get(account), _person(values)) for account, *values in _read(verdict, kind, crm, CONTACTS))
    there = ((number, _person(values)) for number, *values in _read(verdict, kind, erp, PERSONS))
    _compare_bags(verdict, kind, _bags(here, numbers), _bags(there, numbers), "customer {}".format)


def _products(verdict: Verdict, crm: psycopg.Connection, erp: psycopg.Connection) -> None:
    """A product that the ERP no longer has stays in the CRM for old quotes, inactive."""
    kind = "product"
    products = {row[0]: row[1:] for row in _read(verdict, kind, crm, PRODUCTS)}
    for code, name, price, unit, status, weight in _read(verdict, kind, erp, ITEMS):
        product = products.pop(code, None)
        if product is None:
            verdict.differ(kind, f"item {code} of the ERP is missing in the CRM")
            continue
        kilograms = None if weight is None else Decimal(repr(weight)).quantize(GRAM, ROUND_HALF_UP)
        if unlike := _unlike(PRODUCT, product, (name, price, unit, status < 9, kilograms, "EUR")):
            verdict.differ(kind, f"product {code}: {unlike}")
    for code, product in products.items():
        if product[3]:
            verdict.differ(kind, f"product {code} of the CRM is active and not in the ERP")


def _orders(verdict: Verdict, crm: psycopg.Connection, erp: psycopg.Connection) -> dict[Any, str]:
    """The order number of every confirmed quote that has an order."""
    kind = "order"
    orders = {row[0]: row[1:] for row in _read(verdict, kind, erp, ORDERS)}
    paired: dict[Any, str] = {}
    taken: set[str] = set()
    for key, stage, order_no, number, *rest in _read(verdict, kind, crm, QUOTES):
        title, currency, note, day, status = rest
        if stage != "confirmed":
            verdict.differ(kind, f"quote {key} is {stage} and yet has order number {order_no}, status {status}")
            taken.add(order_no)
        elif order_no is None:
            verdict.differ(kind, f"confirmed quote {key} has no order number: no order, or the number did not return")
        elif order_no not in orders:
            verdict.differ(kind, f"confirmed quote {key} has order number {order_no}, which the ERP does not know")
        elif order_no in taken:
            verdict.differ(kind, f"confirmed quote {key} has order number {order_no}, which another quote has too")
        else:
            taken.add(order_no)
            paired[key] = order_no
            *fields, state = orders[order_no]
            expected = (_number(number), str(key), title, currency, note, day, status)
            found = (*fields, ORDER_STATES.get(state, state))
            if unlike := _unlike(ORDER, expected, found):
                verdict.differ(kind, f"quote {key}, order {order_no}: {unlike}")
    for order_no in orders.keys() - taken:
        verdict.differ(kind, f"order {order_no} of the ERP (for quote {orders[order_no][1]}) belongs to no confirmed quote")
    return paired


def _order_lines(verdict: Verdict, crm: psycopg.Connection, erp: psycopg.Connection, quotes: Mapping[Any, str]) -> None:
    """The lines of each order as a whole; those of orders reported already are left out."""
    kind = "order line"
    numbers = set(quotes.values())
    here = (
        (quotes.get(quote), (position, sku, quantity, price, discount / 100))
        for quote, position, sku, quantity, price, discount in _read(verdict, kind, crm, QUOTE_LINES)
    )
    there = (
        (order_no, (line_no, code, Decimal(repr(quantity)), price, rebate))
        for order_no, line_no, code, quantity, price, rebate in _read(verdict, kind, erp, ORDER_LINES)
    )
    _compare_bags(verdict, kind, _bags(here, numbers), _bags(there, numbers), "order {}".format)


def _read(verdict: Verdict, kind: str, connection: psycopg.Connection, question: LiteralString) -> list[Row]:
    rows = connection.execute(question).fetchall()
    verdict.compared[kind] = verdict.compared.get(kind, 0) + len(rows)
    return rows


def _unlike(names: tuple[str, ...], crm: Iterable[object], erp: Iterable[object]) -> str:
    """What differs, in words; nothing if nothing does."""
    unlike = (
        f"{name} {here!r} in the CRM, {there!r} in the ERP"
        for name, here, there in zip(names, crm, erp, strict=True)
        if here != there
    )
    return "; ".join(unlike)


def _bags(rows: Iterable[tuple[Key | None, Row]], wanted: set[Key]) -> dict[Key, Counter[Row]]:
    """The rows of each wanted key, with how often each occurs."""
    bags: dict[Key, Counter[Row]] = {}
    for key, values in rows:
        if key is not None and key in wanted:
            bags.setdefault(key, Counter())[values] += 1
    return bags


def _compare_bags(
    verdict: Verdict,
    kind: str,
    crm: Mapping[Key, Counter[Row]],
    erp: Mapping[Key, Counter[Row]],
    name: Callable[[Key], str],
) -> None:
    empty: Counter[Row] = Counter()
    for key in sorted(crm.keys() | erp.keys(), key=str):
        here, there = crm.get(key, empty), erp.get(key, empty)
        for values in (here - there).elements():
            verdict.differ(kind, f"{name(key)}: only in the CRM: {_words(values)}")
        for values in (there - here).elements():
            verdict.differ(kind, f"{name(key)}: only in the ERP: {_words(values)}")


def _person(values: list[Any]) -> Row:
    """'' and nothing mean the same in a contact."""
    return tuple(None if value == "" else value for value in values)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _words(values: Row) -> str:
    return ", ".join("-" if value is None else str(value) for value in values)


def _readable(text: str) -> str:
    return text if len(text) <= 300 else text[:299] + "…"

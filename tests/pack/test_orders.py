"""Orders, each side doing what it is good at: negotiated in the CRM, made and shipped by the factory, known to both."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import pytest

from tests.pack.office import BOTH, Office
from tests.pack.sales import Line


@dataclass(frozen=True)
class Deal:
    """Somebody who wants something that the factory in the north makes."""

    name: str
    account: UUID
    sku: str
    product: UUID


@pytest.fixture
def deal(office: Office) -> Deal:
    return Deal(*office.customer(), *office.product(*BOTH))


@pytest.mark.versions
def test_a_confirmed_quote_is_an_order_without_retyping(office: Office, deal: Deal) -> None:
    packed = office.sales.agrees(deal.account, deal.product, "crate", colour="blue")
    contact = office.sales.contact(deal.account, "Novak")
    other, found = office.product("NORTH")
    quote = office.sales.quotes(
        deal.account,
        Line(deal.product, 10, 20, discount=15, configuration=packed),
        Line(found, 2.5, 8),
        title="For the new hall", note="Call before delivery", wanted_on="2031-05-01", contact_id=contact, currency="CHF",
    )  # fmt: skip
    office.settle()
    assert office.north.order(quote) is None
    office.sales.confirms(quote)
    office.eventually(lambda: office.north.order(quote) is not None)
    order = office.north.order(quote)
    wanted = [(deal.sku, 10, 20, Decimal("0.15"), "crate"), (other, 2.5, 8, 0, None)]
    office.eventually(lambda: office.north.lines(order), wanted)
    head = (
        "SELECT p.name, o.subject, o.remark, o.currency, o.state, o.net_amount, c.family_name, o.ordered_on = current_date"
        " FROM erp.sales_order o JOIN erp.party p USING (party_no) LEFT JOIN erp.contact_person c USING (contact_no)"
        " WHERE order_id = %s"
    )
    office.eventually(
        lambda: office.north.row(head, order),
        (deal.name, "For the new hall", "Call before delivery", "CHF", 10, 190, "Novak", True),
    )
    # Number and amount are the factory's, and sales has them.
    seen = "SELECT factory, order_no, status, net_amount, currency, account_id, subject FROM crm.sales_order WHERE quote_id = %s"
    number = office.north.order_no(order)
    office.eventually(
        lambda: office.sales.rows(seen, quote), [("NORTH", number, "ordered", 190, "CHF", deal.account, "For the new hall")]
    )
    assert office.south.order(quote) is None


def test_dozens_of_rounds_stay_in_the_crm(office: Office, deal: Deal) -> None:
    quote = office.sales.quotes(deal.account, Line(deal.product, 1, 100))
    for number in range(24):
        office.sales.negotiates(quote, f"Round {number}", quantity=number + 2, unit_price=100 - number)
    office.settle()
    assert [factory.order(quote) for factory in office.factories.values()] == [None, None]
    office.sales.confirms(quote)
    office.eventually(lambda: office.north.lines(office.north.order(quote)), [(deal.sku, 25, 77, 0, None)])
    assert office.sales.value("SELECT count(*) FROM crm.quote_revision WHERE quote_id = %s", quote) == 24
    assert office.sales.sees("quote", quote, "revision") == 25
    rejected = office.sales.quotes(deal.account, Line(deal.product), stage="rejected")
    office.settle()
    assert office.north.order(rejected) is None


@pytest.mark.versions
def test_confirmed_twice_and_saved_again_it_is_ordered_once(office: Office, deal: Deal) -> None:
    quote = office.sales.quotes(deal.account, Line(deal.product))
    for _ in range(3):
        office.sales.confirms(quote)
    office.eventually(lambda: office.sales.status(quote), ["ordered"])
    for number in range(5):  # the screen is saved again, now and then with something typed in it
        office.sales.confirms(quote)
        office.sales.edit("quote", quote, note=f"Saved {number}")
        office.sales.do("UPDATE crm.quote_line SET quantity = quantity WHERE quote_id = %s", quote)
    office.settle()
    ordered = "SELECT count(*), sum(net_amount) FROM erp.sales_order JOIN erp.party USING (party_no) WHERE name = %s"
    assert [factory.row(ordered, deal.name) for factory in office.factories.values()] == [(1, 100), (0, None)]
    assert office.sales.orders(quote) == [("NORTH", "ordered", 100)]


def test_customer_product_and_order_of_one_transaction(office: Office) -> None:
    name, sku = office.word("Customer"), office.word("Product")
    with office.sales.connection.transaction():
        account = office.sales.account(name)
        found = office.sales.product(sku, "NORTH")
        packed = office.sales.agrees(account, found, "bulk")
        quote = office.sales.sells(account, Line(found, 3, 10, configuration=packed))
    office.eventually(lambda: office.north.lines(office.north.order(quote)), [(sku, 3, 10, 0, "bulk")])
    office.eventually(lambda: office.sales.orders(quote), [("NORTH", "ordered", 30)])


@pytest.mark.versions
def test_where_is_my_order_has_one_answer(office: Office, deal: Deal) -> None:
    quote = office.sales.sells(deal.account, Line(deal.product, 2, 50))
    office.eventually(lambda: office.sales.status(quote), ["ordered"])
    north = office.north
    order = north.order(quote)
    north.edit("sales_order", "order_id", order, promised_on="2031-06-01")
    north.produces(order, 30)
    office.eventually(lambda: office.sales.status(quote), ["produced"])
    promised = "SELECT promised_on::text FROM crm.sales_order WHERE quote_id = %s"
    office.eventually(lambda: office.sales.value(promised, quote), "2031-06-01")
    note = north.ships(order, "By sea")
    office.eventually(lambda: office.sales.status(quote), ["shipped"])
    north.edit("delivery", "delivery_no", note, tracking="T-1", delivered_on="2031-05-30")
    seen = "SELECT delivery_no, carrier, tracking, delivered_on::text FROM crm.delivery WHERE sales_order_id = %s"
    office.eventually(lambda: office.sales.rows(seen, office.sales.order_id(quote)), [(note, "By sea", "T-1", "2031-05-30")])
    number = north.invoices(order)
    office.eventually(lambda: office.sales.status(quote), ["invoiced"])
    north.edit("invoice", "invoice_no", number, paid_on="2031-07-01")
    seen = "SELECT invoice_no, net_amount, gross_amount, paid_on::text FROM crm.invoice WHERE sales_order_id = %s"
    office.eventually(lambda: office.sales.rows(seen, office.sales.order_id(quote)), [(number, 100, 120, "2031-07-01")])


def test_the_total_that_the_erps_trigger_keeps_comes_back(office: Office, deal: Deal) -> None:
    north = office.north
    order = north.keys_order(north.party(deal.name), (deal.sku, 4, 25), (deal.sku, 1, 10))
    total = "SELECT net_amount FROM crm.sales_order WHERE factory = 'NORTH' AND order_no = %s"
    office.eventually(lambda: office.sales.value(total, north.order_no(order)), 110)
    north.do("UPDATE erp.sales_order_line SET rebate = 0.5 WHERE order_id = %s", order)
    office.eventually(lambda: office.sales.value(total, north.order_no(order)), 55)
    north.do("DELETE FROM erp.sales_order_line WHERE order_id = %s AND line_no = 2", order)
    office.eventually(lambda: office.sales.value(total, north.order_no(order)), 50)


@pytest.mark.versions
def test_stepping_back_before_and_after_it_is_shipped(office: Office, deal: Deal) -> None:
    early, late = (office.sales.sells(deal.account, Line(deal.product)) for _ in range(2))
    office.eventually(lambda: office.sales.status(early) + office.sales.status(late), ["ordered", "ordered"])
    office.north.ships(office.north.order(late))
    for quote in (early, late):
        office.sales.steps_back(quote)
    office.eventually(lambda: office.north.state(office.north.order(early)), 90)
    asked = "SELECT step_back_on IS NOT NULL FROM erp.sales_order WHERE order_id = %s"
    office.eventually(lambda: office.north.value(asked, office.north.order(late)), True)
    office.eventually(lambda: office.sales.status(early), ["cancelled"])
    office.settle()
    assert office.sales.status(late) == ["shipped"]


@pytest.mark.versions
def test_the_order_history_holds_what_was_keyed_in_a_factory(office: Office, deal: Deal) -> None:
    quote = office.sales.sells(deal.account, Line(deal.product))
    keyed = office.south.keys_order(office.south.party(deal.name), (deal.sku, 3, 9.5))
    office.eventually(lambda: office.north.order(quote) is not None)
    wanted = [
        ("NORTH", office.north.order_no(office.north.order(quote)), True),
        ("SOUTH", office.south.order_no(keyed), False),
    ]
    office.eventually(lambda: office.sales.history(deal.account), wanted)
    amount = "SELECT net_amount FROM crm.sales_order WHERE account_id = %s AND factory = 'SOUTH'"
    office.eventually(lambda: office.sales.value(amount, deal.account), Decimal("28.5"))
    # It is nobody's quote, and the other factory's business it is not.
    office.settle()
    assert (
        office.north.value("SELECT count(*) FROM erp.sales_order JOIN erp.party USING (party_no) WHERE name = %s", deal.name) == 1
    )


def test_what_the_factory_makes_of_an_order_is_not_undone_by_the_quote(office: Office, deal: Deal) -> None:
    """Only what is confirmed concerns a factory: from then on the order is its own."""
    quote = office.sales.sells(deal.account, Line(deal.product, 5, 10))
    office.eventually(lambda: office.sales.orders(quote), [("NORTH", "ordered", 50)])
    order = office.north.order(quote)
    office.north.ships(order)
    office.eventually(lambda: office.sales.status(quote), ["shipped"])
    office.sales.edit("quote", quote, note="Typed long after")
    office.settle()
    assert office.north.state(order) == 20
    assert office.sales.orders(quote) == [("NORTH", "shipped", 50)]

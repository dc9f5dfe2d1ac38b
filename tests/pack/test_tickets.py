"""Customer satisfaction, one file: the complaint finds the batch and its quality record; what is done about it comes back."""

from __future__ import annotations

import pytest

from tests.pack.office import BOTH, Office
from tests.pack.sales import Line


@pytest.mark.versions
def test_a_complaint_finds_its_batch_and_quality_record(office: Office) -> None:
    _name, account = office.customer()
    _sku, found = office.product(*BOTH)
    quote = office.sales.sells(account, Line(found, 5, 10, "SOUTH"))
    office.eventually(lambda: office.sales.order_id(quote, "SOUTH") is not None)
    south = office.south
    order = south.order(quote)
    (batch,) = south.produces(order, 20)
    south.inspects(batch, "rework")
    south.ships(order)
    # The order says whose product it is.
    ticket = office.service.complains(
        account, found, "quality", office.sales.order_id(quote, "SOUTH"), quantity=2, description="It leaks"
    )
    office.eventually(lambda: south.complaint(ticket), (order, batch, "Q", 2, 1))
    office.eventually(lambda: office.service.sees_complaint(ticket), (True, batch, "rework", None, None, "open"))
    south.inspects(batch, "fail")
    office.eventually(lambda: office.service.sees_complaint(ticket), (True, batch, "fail", None, None, "open"))
    south.resolves(ticket, "Two new ones are sent", 33.5)
    office.eventually(
        lambda: office.service.sees_complaint(ticket), (True, batch, "fail", "Two new ones are sent", 33.5, "solved")
    )
    office.sales.edit("ticket", ticket, status="closed")
    office.eventually(lambda: south.complaint(ticket), (order, batch, "Q", 2, 4))
    office.settle()
    assert office.north.complaint(ticket) is None


def test_a_product_from_stock_has_a_batch_too(office: Office) -> None:
    _name, account = office.customer()
    sku, found = office.product("NORTH")
    north = office.north
    batch = north.value(
        "INSERT INTO erp.batch (item_no, qty, state, finished_on, material_cost, labour_cost, overhead_cost)"
        " VALUES (%s, 100, 'F', current_date - 10, 5, 0, 0) RETURNING batch_no",
        north.item(sku),
    )
    north.inspects(batch, "pass")
    quote = office.sales.sells(account, Line(found))
    office.eventually(lambda: office.sales.order_id(quote) is not None)
    north.ships(north.order(quote))
    ticket = office.service.complains(account, found, "damaged", office.sales.order_id(quote))
    office.eventually(lambda: office.service.sees_complaint(ticket), (True, batch, "pass", None, None, "open"))


def test_a_complaint_about_no_order_goes_to_the_factory_it_names(office: Office) -> None:
    _name, account = office.customer()
    _sku, found = office.product(*BOTH)
    ticket = office.service.complains(account, found, "late", factory="NORTH", priority=1)
    office.eventually(lambda: office.north.complaint(ticket), (None, None, "L", None, 1))
    office.eventually(lambda: office.service.sees_complaint(ticket), (True, None, None, None, None, "open"))
    office.settle()
    assert office.south.complaint(ticket) is None
    office.sales.edit("ticket", ticket, status="waiting", subject="Later still")
    seen = "SELECT state, subject FROM erp.complaint WHERE external_ref = %s"
    office.eventually(lambda: office.north.row(seen, str(ticket)), (2, "Later still"))


def test_a_complaint_whose_order_is_found_later(office: Office) -> None:
    """The customer had no order number at hand; somebody looks it up while the ticket is open."""
    _name, account = office.customer()
    _sku, found = office.product("NORTH")
    quote = office.sales.sells(account, Line(found))
    office.eventually(lambda: office.sales.order_id(quote) is not None)
    order = office.north.order(quote)
    (batch,) = office.north.produces(order, 20)
    ticket = office.service.complains(account, found, "wrong")
    office.settle()
    assert office.north.complaint(ticket) is None  # nobody knows whose it is
    office.sales.edit("complaint", ticket, sales_order_id=office.sales.order_id(quote))
    office.eventually(lambda: office.north.complaint(ticket), (order, batch, "W", None, 1))
    office.eventually(lambda: office.service.sees_complaint(ticket), (True, batch, None, None, None, "open"))

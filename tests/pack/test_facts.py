"""Profit from real cost, and whether delivery dates were met: what the CRM's campaigns go by."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.pack.office import BOTH, Office
from tests.pack.sales import Line


@pytest.mark.versions
def test_profit_is_computed_from_actual_cost(office: Office) -> None:
    _name, account = office.customer()
    sku, found = office.product(*BOTH)
    north, south = office.north, office.south
    north.costs(sku, 6)
    quotes = [office.sales.sells(account, Line(found, 10, 20, code)) for code in ("NORTH", "NORTH", "SOUTH")]
    office.eventually(lambda: [office.sales.status(quote) for quote in quotes], [["ordered"]] * 3)
    for quote, material in ((quotes[0], 90), (quotes[1], 60)):
        north.produces(north.order(quote), material, 20, 10)
        north.ships(north.order(quote))
        north.invoices(north.order(quote))
    south.produces(south.order(quotes[2]), 250)
    south.ships(south.order(quotes[2]))
    south.invoices(south.order(quotes[2]))
    costs = "SELECT revenue, standard_cost, actual_cost, margin FROM crm.order_cost JOIN crm.sales_order o ON o.id = sales_order_id WHERE quote_id = %s"
    office.eventually(lambda: office.sales.rows(costs, quotes[0]), [(200, 60, 120, 80)])
    office.eventually(lambda: office.sales.rows(costs, quotes[1]), [(200, 60, 90, 110)])
    customers = "SELECT factory, orders, revenue, actual_cost, margin FROM crm.customer_profit WHERE account_id = %s ORDER BY 1"
    office.eventually(lambda: office.sales.rows(customers, account), [("NORTH", 2, 400, 210, 190), ("SOUTH", 1, 200, 250, -50)])
    products = "SELECT factory, sold, revenue, actual_cost, margin FROM crm.product_profit WHERE product_id = %s ORDER BY 1"
    office.eventually(lambda: office.sales.rows(products, found), [("NORTH", 20, 400, 210, 190), ("SOUTH", 10, 200, 250, -50)])
    # The cost accountant corrects a batch.
    batch = north.value(
        "SELECT batch_no FROM erp.batch JOIN erp.sales_order_line USING (line_id) WHERE order_id = %s", north.order(quotes[0])
    )
    north.edit("batch", "batch_no", batch, labour_cost=50)
    office.eventually(lambda: office.sales.rows(costs, quotes[0]), [(200, 60, 150, 50)])
    office.eventually(lambda: office.sales.rows(customers, account)[0], ("NORTH", 2, 400, 240, 160))
    office.eventually(lambda: office.sales.rows(products, found)[0], ("NORTH", 20, 400, 240, 160))


def test_a_cancelled_order_earns_nothing(office: Office) -> None:
    _name, account = office.customer()
    _sku, found = office.product("NORTH")
    kept, gone = (office.sales.sells(account, Line(found, 1, 40)) for _ in range(2))
    profit = "SELECT orders, revenue FROM crm.customer_profit WHERE account_id = %s"
    office.eventually(lambda: office.sales.rows(profit, account), [(2, 80)])
    office.sales.steps_back(gone)
    office.eventually(lambda: office.sales.rows(profit, account), [(1, 40)])
    office.sales.steps_back(kept)
    office.eventually(
        lambda: office.sales.value("SELECT sum(revenue) FROM crm.customer_profit WHERE account_id = %s", account) or 0, 0
    )


def test_what_a_complaint_cost_is_the_customers(office: Office) -> None:
    _name, account = office.customer()
    _sku, found = office.product("NORTH")
    quote = office.sales.sells(account, Line(found, 1, 100))
    office.eventually(lambda: office.sales.order_id(quote) is not None)
    order = office.north.order(quote)
    office.north.produces(order, 40)
    margin = "SELECT margin FROM crm.customer_profit WHERE account_id = %s"
    office.eventually(lambda: office.sales.value(margin, account), 60)
    ticket = office.service.complains(account, found, "damaged", office.sales.order_id(quote))
    office.eventually(lambda: office.north.complaint(ticket) is not None)
    office.north.resolves(ticket, "Replaced", 25)
    office.eventually(lambda: office.sales.value(margin, account), 35)
    cost = "SELECT actual_cost, margin FROM crm.order_cost WHERE sales_order_id = %s"
    office.eventually(lambda: office.sales.row(cost, office.sales.order_id(quote)), (65, 35))


@pytest.mark.versions
def test_a_campaign_knows_who_was_served_in_time(office: Office) -> None:
    name, account = office.customer()
    _sku, found = office.product(*BOTH)
    north, south = office.north, office.south
    quotes = [office.sales.sells(account, Line(found, 1, 50, code)) for code in ("NORTH", "NORTH", "SOUTH")]
    office.eventually(lambda: [office.sales.status(quote) for quote in quotes], [["ordered"]] * 3)
    for quote, factory, delivered in zip(quotes, (north, north, south), ("2031-01-31", "2031-02-02", "2031-02-01"), strict=True):
        order = factory.order(quote)
        factory.edit("sales_order", "order_id", order, promised_on="2031-02-01")
        factory.delivers(factory.ships(order), delivered)
    kept = "SELECT factory, deliveries, on_time FROM crm.delivery_performance WHERE account_id = %s ORDER BY 1"
    office.eventually(lambda: office.sales.rows(kept, account), [("NORTH", 2, 1), ("SOUTH", 1, 1)])
    campaign = office.sales.value("INSERT INTO crm.campaign (name, starts_on) VALUES ('Spring', '2031-03-01') RETURNING id")
    office.sales.do("INSERT INTO crm.campaign_member (campaign_id, account_id) VALUES (%s, %s)", campaign, account)
    facts = "SELECT name, revenue, deliveries, on_time FROM crm.campaign_facts WHERE campaign_id = %s"
    office.eventually(lambda: office.sales.row(facts, campaign), (name, Decimal(150), 3, 2))
    # Another promise was made, and the last delivery was in time after all.
    north.edit("sales_order", "order_id", north.order(quotes[1]), promised_on="2031-02-10")
    office.eventually(lambda: office.sales.row(facts, campaign), (name, Decimal(150), 3, 3))

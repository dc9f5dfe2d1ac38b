"""An appliance maker: several factories, each with its own ERP, and one CRM."""

from __future__ import annotations

import pytest

from tests.pack.office import BOTH, Office
from tests.pack.sales import Line


@pytest.mark.versions
def test_an_order_is_split_between_two_factories(office: Office) -> None:
    _name, account = office.customer()
    one, first = office.product("NORTH")
    other, second = office.product("SOUTH")
    both, third = office.product(*BOTH)
    quote = office.sales.sells(
        account,
        Line(first, 1, 100, "NORTH"), Line(second, 2, 30, "SOUTH"), Line(third, 3, 5, "SOUTH"), Line(third, 1, 5, "NORTH"),
    )  # fmt: skip
    north, south = office.north, office.south
    office.eventually(lambda: north.lines(north.order(quote)), [(one, 1, 100, 0, None), (both, 1, 5, 0, None)])
    office.eventually(lambda: south.lines(south.order(quote)), [(other, 2, 30, 0, None), (both, 3, 5, 0, None)])
    office.eventually(lambda: office.sales.orders(quote), [("NORTH", "ordered", 105), ("SOUTH", "ordered", 75)])
    # Each goes its own way; the customer steps back, and it is too late in one of them.
    south.ships(south.order(quote))
    office.eventually(lambda: office.sales.status(quote), ["ordered", "shipped"])
    office.sales.steps_back(quote)
    office.eventually(lambda: office.sales.status(quote), ["cancelled", "shipped"])


def test_each_factory_sees_its_own_orders_only(office: Office) -> None:
    name, account = office.customer()
    _sku, found = office.product(*BOTH)
    quotes = [office.sales.sells(account, Line(found, 1, 10, code)) for code in ("NORTH", "SOUTH", "SOUTH")]
    office.eventually(lambda: [len(office.sales.orders(quote)) for quote in quotes], [1, 1, 1])
    office.settle()
    counted = "SELECT count(*) FROM erp.sales_order JOIN erp.party USING (party_no) WHERE name = %s"
    assert [factory.value(counted, name) for factory in office.factories.values()] == [1, 2]


@pytest.mark.versions
def test_a_repair_takes_its_parts_from_the_right_factory_and_only_there(office: Office) -> None:
    name, account = office.customer()
    machine, found = office.product(*BOTH)
    spare, part = office.product(*BOTH, spare_part=True)
    for factory, cost in ((office.north, 12.5), (office.south, 20)):
        factory.costs(spare, cost)
        factory.moves(spare, 50, "SERV")
        factory.moves(spare, 50, "W001")
    serial = office.word("SN")
    today = office.south.today()
    office.south.warrants(serial, office.south.party(name), machine, today, today.replace(year=today.year + 2))
    office.eventually(
        lambda: office.sales.value("SELECT factory FROM crm.installed_product WHERE serial_no = %s", serial), "SOUTH"
    )
    # Nobody says which factory it is: the serial number does.
    request = office.service.requests(account, found, serial)
    used = office.service.uses(request, part, 3)
    south = office.south
    office.eventually(lambda: south.parts(south.service_no(request)), [(spare, "SERV", 3)])
    office.eventually(lambda: south.on_hand(spare, "SERV"), 47)
    office.eventually(lambda: office.service.sees_request(request), (True, True, 60, 0, "open"))
    office.eventually(lambda: office.sales.sees("service_part", used, "unit_cost"), 20)
    office.eventually(lambda: office.sales.stock(part)["SOUTH", "SERV"], 47.0)
    # Fewer were needed; and one more is booked in the factory.
    office.sales.edit("service_part", used, quantity=1)
    office.eventually(lambda: south.on_hand(spare, "SERV"), 49)
    south.do(
        "INSERT INTO erp.service_part (service_no, item_no, warehouse, qty) VALUES (%s, %s, 'SERV', 2)",
        south.service_no(request), south.item(spare),
    )  # fmt: skip
    booked = "SELECT quantity FROM crm.service_part WHERE service_request_id = %s ORDER BY 1"
    office.eventually(lambda: office.sales.values(booked, request), [1, 2])
    office.sales.do("DELETE FROM crm.service_part WHERE id = %s", used)
    office.eventually(lambda: south.on_hand(spare, "SERV"), 48)
    office.eventually(lambda: office.service.sees_request(request), (True, True, 40, 0, "open"))
    office.settle()
    assert office.north.service_no(request) is None
    assert (office.north.on_hand(spare), south.on_hand(spare, "W001")) == (100, 50)


def test_a_ticket_that_says_its_factory_goes_there(office: Office) -> None:
    _name, account = office.customer()
    _machine, found = office.product(*BOTH)
    request = office.service.requests(account, found, factory="NORTH", technician="Lang", visit_on="2031-01-02")
    office.eventually(lambda: office.north.service_no(request) is not None)
    seen = "SELECT technician, visit_on::text, state FROM erp.service_order WHERE external_ref = %s"
    assert office.north.row(seen, str(request)) == ("Lang", "2031-01-02", 1)
    office.eventually(lambda: office.service.sees_request(request), (True, False, 0, 0, "open"))
    office.north.edit("service_order", "external_ref", str(request), labour_cost=75, state=3)
    office.eventually(lambda: office.service.sees_request(request), (True, False, 0, 75, "solved"))
    office.settle()
    assert office.south.service_no(request) is None

"""A machine builder with 2,000 dealers: warranty end dates are in the CRM in time to call three months before."""

from __future__ import annotations

import pytest

from tests.pack.office import Office
from tests.pack.sales import Line

SEEN = "SELECT factory, sold_on::text, warranty_ends_on::text, call_on::text FROM crm.installed_product WHERE serial_no = %s"


@pytest.mark.versions
def test_when_to_call(office: Office) -> None:
    name, account = office.customer(kind="dealer")
    sku, found = office.product("SOUTH")
    serial = office.word("SN")
    office.south.warrants(serial, office.south.party(name), sku, "2029-02-28", "2031-05-31")
    office.eventually(lambda: office.sales.row(SEEN, serial), ("SOUTH", "2029-02-28", "2031-05-31", "2031-02-28"))
    assert office.sales.row("SELECT account_id, product_id FROM crm.installed_product WHERE serial_no = %s", serial) == (
        account,
        found,
    )
    office.south.edit("warranty", "serial_no", serial, ends_on="2032-05-31")
    office.eventually(lambda: office.sales.row(SEEN, serial), ("SOUTH", "2029-02-28", "2032-05-31", "2032-02-29"))


def test_who_has_to_be_called(office: Office) -> None:
    """Of a dealer's machines those whose warranty ends within three months, with what the dealer has bought."""
    name, account = office.customer(kind="dealer")
    sku, found = office.product("NORTH")
    quote = office.sales.sells(account, Line(found, 3, 500))
    office.eventually(lambda: office.north.order(quote) is not None)
    today = office.north.today()
    party = office.north.party(name)
    for serial, days in (("soon", 60), ("later", 200), ("just now", 89)):
        office.north.do(
            "INSERT INTO erp.warranty (serial_no, party_no, item_no, sold_on, ends_on)"
            " SELECT %s, %s, item_no, %s::date - 600, %s::date + %s FROM erp.item WHERE code = %s",
            f"{name} {serial}", party, today, today, days, sku,
        )  # fmt: skip
    to_call = (
        "SELECT i.serial_no, sum(o.net_amount) FROM crm.installed_product i JOIN crm.sales_order o USING (account_id)"
        " WHERE i.account_id = %s AND call_on <= current_date GROUP BY 1 ORDER BY 1"
    )
    wanted = [(f"{name} just now", 1500), (f"{name} soon", 1500)]
    office.eventually(lambda: office.sales.rows(to_call, account), wanted)

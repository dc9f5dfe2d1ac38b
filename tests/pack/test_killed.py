"""kill -9 of the daemon between a confirmation and its order: ordered once all the same."""

from __future__ import annotations

import random
import time

import pytest

from tests.pack.office import BOTH, Office
from tests.pack.sales import Line


@pytest.mark.versions
def test_confirmed_while_the_daemon_is_killed_again_and_again(office: Office) -> None:
    name, account = office.customer()
    _sku, found = office.product(*BOTH)
    quotes = [office.sales.quotes(account, Line(found, 1, 10, "NORTH"), Line(found, 2, 10, "SOUTH")) for _ in range(40)]
    office.settle()
    dice = random.Random(3)
    office.stop()
    try:
        waiting = list(quotes)
        for _ in range(2):
            running = office.process()
            try:
                office.eventually(lambda: office.north.value("SELECT count(*) FROM pg_stat_replication") > 0)
                for quote in [waiting.pop() for _ in range(20)]:
                    office.sales.confirms(quote)
                    office.sales.confirms(quote)  # saved once more
                    time.sleep(dice.random() * 0.02)
            finally:
                running.kill()
                running.wait()
    finally:
        office.start()
    ordered = [("NORTH", "ordered", 10), ("SOUTH", "ordered", 20)]
    office.eventually(lambda: [office.sales.orders(quote) for quote in quotes], [ordered] * 40)
    office.settle()
    counted = (
        "SELECT count(*), count(DISTINCT external_ref), sum(net_amount) FROM erp.sales_order"
        " JOIN erp.party USING (party_no) WHERE name = %s"
    )
    assert [factory.row(counted, name) for factory in office.factories.values()] == [(40, 40, 400), (40, 40, 800)]
    assert office.sales.value("SELECT count(*) FROM crm.sales_order WHERE account_id = %s", account) == 80

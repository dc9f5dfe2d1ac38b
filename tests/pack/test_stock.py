"""Ten warehouses: stock in the CRM is the live sum and the split by warehouse."""

from __future__ import annotations

import random
import threading

import psycopg
import pytest

from tests.pack.factory import WAREHOUSES, Factory
from tests.pack.office import BOTH, Office


@pytest.mark.versions
def test_the_sum_and_the_split(office: Office) -> None:
    sku, found = office.product(*BOTH)
    for number, warehouse in enumerate(WAREHOUSES[:10], 1):
        office.north.moves(sku, number, warehouse)
    office.south.moves(sku, 100, "W001")
    split = {("NORTH", warehouse): float(number) for number, warehouse in enumerate(WAREHOUSES[:10], 1)}
    office.eventually(lambda: office.sales.stock(found), {**split, ("SOUTH", "W001"): 100.0})
    office.eventually(lambda: office.sales.stock_total(found), (155.0, 155.0, 11))
    office.north.reserves(sku, 4, "W010")
    office.north.moves(sku, -3, "W002", "count")
    office.eventually(lambda: office.sales.stock_total(found), (152.0, 148.0, 11))
    sites = "SELECT factory, on_hand, available FROM crm.product_site WHERE product_id = %s ORDER BY 1"
    office.eventually(lambda: office.sales.rows(sites, found), [("NORTH", 52, 48), ("SOUTH", 100, 100)])


def test_while_stock_moves_between_ten_warehouses(office: Office) -> None:
    """Transfers leave the sum alone. Sales, who looks all the time, sees no sum that no moment of the factory had."""
    sku, found = office.product("NORTH")
    with office.north.connection.transaction():
        for warehouse in WAREHOUSES[:10]:
            office.north.moves(sku, 50, warehouse)
    office.eventually(lambda: office.sales.stock_total(found), (500.0, 500.0, 10))
    seen: list[float] = []
    stop = threading.Event()

    def looks() -> None:
        with psycopg.connect(office.dsn("crm"), autocommit=True) as connection:
            while not stop.wait(0.005):
                row = connection.execute("SELECT on_hand FROM crm.stock_total WHERE product_id = %s", (found,)).fetchone()
                seen.append(float(row[0]) if row else -1)

    watching = threading.Thread(target=looks)
    watching.start()
    try:
        with psycopg.connect(office.dsn("erp_north"), autocommit=True) as connection:
            store, dice = Factory(connection, "NORTH"), random.Random(7)
            for _ in range(150):
                one, other = sorted(dice.sample(WAREHOUSES[:10], 2))
                with connection.transaction():
                    store.moves(sku, -1, one, "transfer")
                    store.moves(sku, 1, other, "transfer")
        split = {("NORTH", warehouse): office.north.on_hand(sku, warehouse) for warehouse in WAREHOUSES[:10]}
        office.eventually(lambda: office.sales.stock(found), split)
    finally:
        stop.set()
        watching.join()
    assert len(seen) > 5
    assert set(seen) == {500.0}

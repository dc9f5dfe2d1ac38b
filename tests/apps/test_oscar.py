"""The database of a django-oscar shop, as its own migrations make it, linked with the demo's ERP.

The shop is written through its own ORM, as its views do, and the ERP with SQL; then both must say the same,
and what the replicator wrote must be something the shop can go on with: load, check, save, sell.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from replicator.demo.servers import Server, installation
from replicator.mapping.config import load_config
from replicator.runtime.setup import init
from tests.apps import oscar_shop
from tests.two_way.pair_of_nodes import Pair, _drop_slot

pytestmark = [pytest.mark.apps, pytest.mark.filterwarnings("default")]

HERE = Path(__file__).parent
ERP = HERE.parents[1] / "sql" / "demo" / "erp.sql"
REFERENCE = """
INSERT INTO erp.country (iso2, name) VALUES ('FR', 'France'), ('DE', 'Germany'), ('GB', 'United Kingdom');
INSERT INTO erp.payment_term (code, days) VALUES ('NET14', 14), ('NET30', 30);
"""
CUSTOMER = "INSERT INTO erp.customer (company_name, state, dunning_level, entered_by) VALUES (%s, %s, 0, 'clerk') RETURNING customer_no"
ITEM = "INSERT INTO erp.item (code, description, sales_price, uom, status) VALUES (%s, %s, %s, 'pc', 1) RETURNING item_no"
numbers = itertools.count(1)


@dataclass
class World:
    """`pair` drives the replicator; the shop's models are found with `model`."""

    pair: Pair

    def settle(self) -> None:
        self.pair.settle()

    def erp(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """SQL of the ERP's users, in a transaction of its own."""
        cursor = self.pair.erp.execute(sql, params)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    def customer(self, user: Any, columns: str = "company_name, state") -> tuple[Any, ...]:
        """The one ERP customer of an account."""
        ((number,),) = self.pair.rows("shop", 'SELECT erp_customer_no FROM replicator."pair_customer" WHERE shop_id = %s', (user.pk,))
        return self.erp(f"SELECT {columns} FROM erp.customer WHERE customer_no = %s", number)[0]

    def parked(self) -> list[tuple[Any, ...]]:
        sql = "SELECT flow, link, reason, sqlstate, message FROM replicator.parked ORDER BY id"
        return [row for connection in (self.pair.crm, self.pair.erp) for row in connection.execute(sql).fetchall()]

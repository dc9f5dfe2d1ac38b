"""The database of a django-oscar shop, as its own migrations make it, linked with the demo's ERP.

The shop is written through its own ORM, as its views do, and the ERP with SQL; then both must say the same,
and what the replicator wrote must be something the shop can go on with: load, check, save, sell.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
    """`pair` drives the replicator; the shop is used through its models."""

    pair: Pair

    def settle(self) -> None:
        self.pair.settle()

    def erp(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """SQL of the ERP's users, each statement in a transaction of its own."""
        cursor = self.pair.erp.execute(sql, params or None)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    def customer(self, mail: str, columns: str) -> tuple[Any, ...]:
        """Columns of the one ERP customer `c` whose web contact `p` has this address."""
        rows = self.erp(f"SELECT {columns} FROM erp.customer c JOIN erp.contact_person p USING (customer_no) WHERE p.mail = %s", mail)
        assert len(rows) == 1, rows
        return rows[0]

    def parked(self) -> list[tuple[Any, ...]]:
        sql = "SELECT flow, link, reason, sqlstate, message FROM replicator.parked ORDER BY id"
        return self.pair.rows("crm", sql) + self.pair.rows("erp", sql)

    def conflicts(self) -> list[tuple[Any, ...]]:
        sql = "SELECT link, kind, field, incoming, existing, winner FROM replicator.conflict ORDER BY id"
        return self.pair.rows("crm", sql) + self.pair.rows("erp", sql)


@contextmanager
def linked_shop(server: Server, name: str, mappings: Path = HERE) -> Iterator[World]:
    """A shop that was just installed and an ERP with its reference tables, linked and ready to run."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}_shop TEMPLATE shop_template")  # type: ignore[call-overload]
    dsns = {"SHOP_DSN": server.dsn(f"{name}_shop"), "ERP_DSN": server.create_database(f"{name}_erp")}
    config, findings = load_config(mappings / "replicator.yaml", dsns)
    assert config is not None, "\n".join(map(str, findings))
    with ExitStack() as stack:
        shop, erp = (stack.enter_context(psycopg.connect(dsn, autocommit=True)) for dsn in dsns.values())
        erp.execute(ERP.read_bytes() + REFERENCE.encode())
        oscar_shop.use(dsns["SHOP_DSN"])
        stack.callback(oscar_shop.leave)
        init(config, dsns, False, lambda action: None)
        pair = Pair(shop, erp, config, dsns)
        stack.callback(_drop_slot, erp, "replicator_erp_to_shop")
        stack.callback(_drop_slot, shop, "replicator_shop_to_erp")
        stack.callback(pair.crash)
        yield World(pair)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    oscar_shop.configure()
    with Server(installation(), {"fsync": "off", "full_page_writes": "off"}) as running:
        oscar_shop.install(running.create_database("shop_template"))
        yield running


@pytest.fixture
def world(server: Server) -> Iterator[World]:
    with linked_shop(server, f"w{next(numbers)}") as linked:
        yield linked

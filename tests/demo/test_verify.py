"""The independent check: databases that agree are found the same, and every difference planted in them is found and told."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import RawCursor

from replicator.demo import verify as module
from replicator.demo.factories import FACTORIES, NODES
from replicator.demo.scenarios import SCENARIOS
from replicator.demo.verify import LONGEST, SHOWN, Row, Verdict, compare, statements
from replicator.demo.world import World
from replicator.runtime.demo_site import DemoSite
from replicator.runtime.demo_stage import SiteStage
from tests.demo.conftest import running_site, small_world

# (node, SQL, the statement that it breaks, what the difference says)
PLANTED = [
    ("crm", "UPDATE crm.account SET name = 'x' WHERE vat_number = 'GB811000001'", "customers", "name x in the CRM"),
    ("erp_south", "UPDATE erp.party SET state = 'D' WHERE tax_id = 'GB811000001'", "customers", "dormant in SOUTH"),
    ("erp_north", "UPDATE erp.party SET head_office = 10001 WHERE tax_id = 'GB811000001'", "customers", "head_office"),
    ("erp_north", "UPDATE erp.party SET closed_on = current_date WHERE tax_id = 'GB811000001'", "customers", "not in NORTH"),
    ("erp_north", "DELETE FROM erp.contact_mechanism WHERE kind = 'mail'", "customers", "email"),
    ("erp_south", "UPDATE erp.party_address SET remark = 'gate 9'", "addresses", "gate 9"),
    ("crm", "DELETE FROM crm.address", "addresses", "only in NORTH, not in the CRM"),
    ("crm", "UPDATE crm.contact SET opted_in = NOT opted_in", "contacts", "True"),
    ("erp_north", "UPDATE erp.credit SET credit_limit = credit_limit + 1", "credit", "credit_limit"),
    ("crm", "UPDATE crm.account_terms SET customer_no = '1' || customer_no", "credit", "customer_no"),
    ("erp_south", "UPDATE erp.item SET sales_price = sales_price + 1 WHERE code = 'PUMP-40'", "products", "list_price 420 in the CRM, 421 in SOUTH"),
    ("crm", "UPDATE crm.product SET made_in = '{NORTH}' WHERE sku = 'DRIVE-7'", "products", "only in the CRM, not in NORTH"),
    ("erp_north", "UPDATE erp.item SET lead_days = 99 WHERE code = 'PUMP-40'", "cost and lead time", "lead_days 12 in the CRM, 99"),
    ("crm", "UPDATE crm.product_component SET quantity = quantity + 1", "parts lists", "only in"),
    ("erp_south", "UPDATE erp.stock SET on_hand = on_hand - 1", "stock", "not in SOUTH"),
    ("crm", "UPDATE crm.stock SET on_hand = 0 WHERE warehouse = 'KIEL'", "stock in all", "in the factories"),
    ("erp_north", "UPDATE erp.item_configuration SET label = 'x'", "packaging", "label"),
    ("crm", "UPDATE crm.price_book SET price = price + 0.01", "prices", "only in"),
    ("erp_south", "UPDATE erp.sales_order_line SET qty = qty + 1", "what was ordered", "quantity"),
    ("erp_north", "UPDATE erp.sales_order SET external_ref = '0' WHERE external_ref IS NOT NULL", "what was ordered", "0: only in NORTH"),
    ("crm", "UPDATE crm.quote SET stage = 'draft', confirmed_at = NULL", "what was ordered", "only in NORTH"),
    ("crm", "UPDATE crm.sales_order SET status = 'ordered' WHERE status = 'invoiced'", "orders", "status ordered in the CRM, invoiced"),
    ("crm", "UPDATE crm.sales_order SET quote_id = NULL", "orders", "quote nothing in the CRM"),
    ("erp_north", "UPDATE erp.delivery SET carrier = 'other'", "deliveries", "carrier"),
    ("erp_south", "UPDATE erp.invoice SET paid_on = NULL", "invoices", "paid_on"),
    ("erp_north", "UPDATE erp.batch SET labour_cost = labour_cost + 1", "cost of orders", "actual_cost"),
    ("crm", "UPDATE crm.customer_profit SET orders = orders + 1", "profit of customers", "orders"),
    ("crm", "UPDATE crm.delivery_performance SET on_time = deliveries + 1", "punctuality", "on_time"),
    ("erp_south", "UPDATE erp.warranty SET ends_on = ends_on + 1", "warranties", "call_on"),
    ("erp_north", "UPDATE erp.complaint SET resolution = 'x'", "complaints", "resolution three pumps replaced in the CRM, x in NORTH"),
    ("crm", "UPDATE crm.service_request SET technician = 'x'", "service", "technician"),
    ("crm", "UPDATE crm.service_part SET quantity = quantity + 1", "spare parts", "quantity"),
]  # fmt: skip

HARMLESS = [
    ("crm", "UPDATE crm.account SET account_manager = 'x', segment = 'key'"),
    ("crm", "UPDATE crm.account SET name = 'x' WHERE kind = 'prospect'"),
    ("crm", "UPDATE crm.quote_line SET quantity = 1 WHERE quote_id IN (SELECT id FROM crm.quote WHERE stage <> 'confirmed')"),
    ("crm", "UPDATE crm.campaign_member SET response = 'declined'"),
    ("erp_north", "UPDATE erp.item_configuration SET instructions = 'x'"),
    ("erp_south", "UPDATE erp.party SET entered_by = 'y'"),
    ("erp_south", "UPDATE erp.quality_record SET note = 'y'"),
]

Connections = dict[str, psycopg.Connection[Row]]


@pytest.fixture(scope="module")
def site() -> Iterator[DemoSite]:
    """Of its own: nobody else works there."""
    with running_site() as running:
        yield running


@pytest.fixture(scope="module")
def world(site: DemoSite) -> World:
    return small_world(site)


@pytest.fixture(scope="module")
def told(site: DemoSite, world: World) -> DemoSite:
    """The world, with something of every statement in it."""
    with SiteStage(site, lambda _: None) as stage:
        for name in ("complaint", "service", "packaging"):
            SCENARIOS[name].play(stage)
    assert site.arrive()
    return site


@pytest.fixture
def connections(told: DemoSite) -> Iterator[Connections]:
    """What is done by these is undone at the end, and nobody sees it."""
    found: Connections = {node: psycopg.connect(told.dsns[node], cursor_factory=RawCursor) for node in NODES}
    yield found
    for connection in found.values():
        connection.rollback()
        connection.close()


def check(connections: Connections) -> Verdict:
    return compare(connections["crm"], {one.code: connections[one.node] for one in FACTORIES})


def test_databases_that_agree_are_the_same_and_every_statement_has_rows(connections: Connections) -> None:
    verdict = check(connections)
    assert verdict.differences == []
    assert verdict.same
    assert [one.name for one in verdict.statements if not one.rows] == []
    assert verdict.rows_compared == sum(one.rows for one in verdict.statements)


@pytest.mark.parametrize(("node", "sql", "statement", "words"), PLANTED)
def test_a_planted_difference_is_found_and_told(
    connections: Connections, node: str, sql: str, statement: str, words: str
) -> None:
    assert connections[node].execute(sql.encode()).rowcount > 0
    verdict = check(connections)
    assert statement in verdict.broken
    found = next(one for one in verdict.statements if one.name == statement)
    assert any(words in text for text in found.differences), found.differences


def test_every_statement_is_broken_by_something() -> None:
    assert {statement for _, _, statement, _ in PLANTED} == {one.name for one in statements()}


@pytest.mark.parametrize(("node", "sql"), HARMLESS)
def test_what_is_not_shared_is_no_difference(connections: Connections, node: str, sql: str) -> None:
    assert connections[node].execute(sql.encode()).rowcount > 0
    assert check(connections).differences == []


def test_many_differences_are_counted_and_some_told(connections: Connections) -> None:
    connections["crm"].execute(b"INSERT INTO crm.account (name) SELECT repeat('long', 500) || n FROM generate_series(1, 80) n")
    verdict = check(connections)
    assert verdict.broken == {"customers"}
    assert verdict.difference_count == 160, "in each of two factories"
    assert len(verdict.differences) == SHOWN
    assert max(len(text) for text in verdict.differences) < LONGEST + 20


def test_statements_say_what_they_mean() -> None:
    found = statements()
    assert len(found) > 12
    assert all(one.name and one.words and one.crm.startswith("select") for one in found)
    assert [one.name for one in found if one.together] == ["stock in all"]


def test_the_check_uses_nothing_of_the_replicator() -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert imported
    assert not any(name.startswith("replicator") for name in imported)

"""If order status differs between the two, the difference is found and repaired, and someone is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from replicator.engines.postgres.setup import origin_name
from tests.pack.office import Office
from tests.pack.sales import Line


@contextmanager
def behind(office: Office, node: str, peer: str) -> Iterator[psycopg.Connection]:
    """A session whose changes no trigger sees and no flow to that peer carries, as if the replicator itself had made them."""
    with office.closed_for_lunch(), psycopg.connect(office.dsn(node), autocommit=True) as connection:
        end = time.monotonic() + 20
        while True:  # the daemon's session may still be going away
            try:
                connection.execute("SELECT pg_replication_origin_session_setup(%s)", (origin_name(peer, node),))
                break
            except psycopg.errors.ObjectInUse:
                assert time.monotonic() < end
                time.sleep(0.02)
        connection.execute("SET session_replication_role = replica")
        yield connection


@pytest.mark.versions
def test_order_status_that_differs_is_found_and_repaired(office: Office) -> None:
    _name, account = office.customer()
    _sku, found = office.product("NORTH")
    quote, other = (office.sales.sells(account, Line(found)) for _ in range(2))
    office.eventually(lambda: office.sales.status(quote) + office.sales.status(other), ["ordered", "ordered"])
    office.north.ships(office.north.order(quote))
    office.eventually(lambda: office.sales.status(quote), ["shipped"])
    with behind(office, "crm", "erp_north") as crm:  # as if the CRM had missed the one, and somebody had tampered with the other
        crm.execute("UPDATE crm.sales_order SET status = 'ordered' WHERE quote_id = %s", (quote,))
        crm.execute("UPDATE crm.sales_order SET status = 'invoiced' WHERE quote_id = %s", (other,))
    office.settle()
    assert office.sales.status(quote) + office.sales.status(other) == ["ordered", "invoiced"]
    found_out = office.command("reconcile", "sales_order@erp_north", "--json")
    assert found_out.code == 1, found_out.out + found_out.err
    told = [one for one in found_out.document["links"] if one["differences"]]
    assert [(one["link"], one["kinds"]) for one in told] == [("sales_order@erp_north", {"differs": 2})]
    repaired = office.command("reconcile", "sales_order@erp_north", "--repair", "--yes")
    assert repaired.code == 0, repaired.out + repaired.err
    office.eventually(lambda: office.sales.status(quote) + office.sales.status(other), ["shipped", "ordered"])
    assert [office.north.state(office.north.order(one)) for one in (quote, other)] == [20, 10]
    # It is written down what stood there before.
    log = office.command("conflicts", "list", "--limit", "10").out
    assert len([line for line in log.splitlines() if "repair" in line]) == 2, log


def test_terms_that_sales_tampered_with_are_found_and_repaired(office: Office) -> None:
    _name, account = office.customer()
    office.eventually(lambda: len(office.sales.terms(account)), 2)
    with behind(office, "crm", "erp_south") as crm:
        crm.execute("UPDATE crm.account_terms SET credit_limit = 1000000 WHERE factory = 'SOUTH' AND account_id = %s", (account,))
    repaired = office.command("reconcile", "account_terms@erp_south", "--repair", "--yes")
    assert repaired.code == 0, repaired.out + repaired.err
    office.eventually(lambda: [row[:2] for row in office.sales.terms(account)], [("NORTH", 0), ("SOUTH", 0)])

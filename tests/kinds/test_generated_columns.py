"""Columns that the database computes itself: before PostgreSQL 18 the stream does not carry them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import Pair, linked

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE crm.cost (id serial PRIMARY KEY, about text NOT NULL, "parts used" numeric(12,2) NOT NULL, labour numeric(12,2) NOT NULL,
    note text, total numeric(12,2) GENERATED ALWAYS AS ("parts used" + labour) STORED, about_key text GENERATED ALWAYS AS (upper(about)) STORED);
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.customer (no serial PRIMARY KEY, company text NOT NULL, cost numeric(12,2));
"""
LINKS = {
    "customer": """
link: customer
crm:
  table: crm.account
  key: id
  derived: {cost: "select sum(c.total) from crm.cost c where c.about_key = upper(crm.name)"}
erp: {table: erp.customer, key: no}
fields:
  - {crm: name, erp: company}
  - {crm: cost, erp: cost}
""",
}


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("generated")
    with linked(server, folder, "generated", CRM, ERP, LINKS) as found:
        yield found


def test_a_sum_of_generated_columns_found_by_one(pair: Pair) -> None:
    cost = "SELECT cost FROM erp.customer WHERE company = 'Acme'"
    pair.crm.execute("INSERT INTO crm.account (name) VALUES ('Acme')")
    pair.settle()
    pair.crm.execute(
        "INSERT INTO crm.cost (about, \"parts used\", labour) VALUES ('acme', 10, 5), ('acme', 1, 2), ('other', 7, 7)"
    )
    pair.settle()
    assert pair.rows("erp", cost) == [(18,)]
    pair.crm.execute("UPDATE crm.cost SET labour = 6 WHERE labour = 5")
    pair.settle()
    assert pair.rows("erp", cost) == [(19,)]
    pair.crm.execute("UPDATE crm.cost SET about = 'Acme', note = 'was another''s' WHERE about = 'other'")
    pair.settle()
    assert pair.rows("erp", cost) == [(33,)]
    pair.crm.execute('DELETE FROM crm.cost WHERE "parts used" = 10')
    pair.settle()
    assert pair.rows("erp", cost) == [(17,)]
    assert pair.parked() == []

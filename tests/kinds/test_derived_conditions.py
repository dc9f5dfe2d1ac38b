"""Derived columns where the record is more than it seems: in the condition of the side that is written, and over several tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import Pair, linked

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id serial PRIMARY KEY, name text NOT NULL, vat text);
CREATE TABLE crm.currency (id serial PRIMARY KEY, code text NOT NULL);
CREATE TABLE crm.document (id serial PRIMARY KEY, currency_id integer REFERENCES crm.currency);
CREATE TABLE crm.quote (document_id integer PRIMARY KEY REFERENCES crm.document, state text NOT NULL);
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.party (no serial PRIMARY KEY, name text NOT NULL, vat text);
CREATE TABLE erp.company (id serial PRIMARY KEY, party integer NOT NULL REFERENCES erp.party);
CREATE TABLE erp.sale (no serial PRIMARY KEY, state text, currency text);
"""
LINKS = {
    # `t` is what our statements call a row: the user's query may use it as well.
    "account": """
link: account
crm: {table: crm.account, key: id}
erp:
  table: erp.party
  key: no
  derived:
    ours: "select exists (select from erp.company t where t.party = erp.no)"
  where: "not erp.ours"
match: {crm: vat, erp: vat}
fields:
  - {crm: name, erp: name}
  - {crm: vat, erp: vat}
""",
    "quote": """
link: quote
crm:
  table: crm.quote
  key: document_id
  extends: {table: crm.document, key: id}
  derived:
    currency: "select c.code from crm.currency c where c.id = crm.currency_id"
  where: "crm.currency is distinct from 'XXX'"
erp: {table: erp.sale, key: no}
create: {crm: never}
fields:
  - {crm: state, erp: state}
  - {crm: currency, erp: currency}
""",
}


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with linked(server, tmp_path_factory.mktemp("conditions"), "conditions", CRM, ERP, LINKS) as found:
        yield found


def test_only_records_inside_are_taken_up(pair: Pair) -> None:
    """Of two parties with the number, one is our own company, which the condition leaves out."""
    pair.erp.execute("INSERT INTO erp.party (name, vat) VALUES ('us', 'AT1'), ('them', 'AT1')")
    pair.erp.execute("INSERT INTO erp.company (party) SELECT no FROM erp.party WHERE name = 'us'")
    pair.settle()
    assert pair.rows("crm", "SELECT name FROM crm.account") == [("them",)]
    pair.crm.execute("INSERT INTO crm.account (name, vat) VALUES ('other', 'AT2')")
    pair.settle()
    pair.erp.execute("INSERT INTO erp.party (name, vat) VALUES ('ours too', 'AT3')")
    pair.erp.execute("INSERT INTO erp.company (party) SELECT no FROM erp.party WHERE vat = 'AT3'")
    pair.crm.execute("INSERT INTO crm.account (name, vat) VALUES ('another', 'AT3')")
    pair.settle()
    assert not pair.parked()
    assert pair.rows("erp", "SELECT name FROM erp.party WHERE vat = 'AT3' ORDER BY no") == [("ours too",), ("another",)]


def test_a_derived_column_over_the_general_tables_columns(pair: Pair) -> None:
    pair.crm.execute("INSERT INTO crm.currency (code) VALUES ('EUR'), ('CHF'), ('XXX')")
    pair.crm.execute("INSERT INTO crm.document (currency_id) VALUES (1), (3)")
    pair.crm.execute("INSERT INTO crm.quote (document_id, state) VALUES (1, 'open'), (2, 'test')")
    pair.settle()
    assert pair.rows("erp", "SELECT state, currency FROM erp.sale") == [("open", "EUR")]
    pair.crm.execute("UPDATE crm.document SET currency_id = 2 WHERE id = 1")
    pair.settle()
    assert pair.rows("erp", "SELECT state, currency FROM erp.sale") == [("open", "CHF")]
    pair.crm.execute("UPDATE crm.currency SET code = 'SFR' WHERE id = 2")
    pair.settle()
    pair.erp.execute("UPDATE erp.sale SET state = 'won'")
    pair.settle()
    assert pair.rows("erp", "SELECT state, currency FROM erp.sale") == [("won", "SFR")]
    assert pair.rows("crm", "SELECT state FROM crm.quote WHERE document_id = 1") == [("won",)]
    assert not pair.parked()

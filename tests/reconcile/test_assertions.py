"""What a link file states of both sides together is checked, under the same rules as records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.demo.servers import Server
from replicator.mapping.config import load_config
from replicator.runtime.lint import check_links
from replicator.runtime.reconcile import reconcile
from replicator.runtime.wiring import plain_connections, read_catalog
from tests.reconcile.faults import compared, of_link, plant, told
from tests.reconcile.test_kinds import NUMBERS
from tests.two_way.pair_of_nodes import Pair, linked

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.quote (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), title text);
CREATE TABLE crm.line (id serial PRIMARY KEY, quote_id uuid NOT NULL REFERENCES crm.quote, total numeric(12,4));
CREATE TABLE crm.rate (code text PRIMARY KEY, percent numeric);
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.orders (no serial PRIMARY KEY, title text);
CREATE TABLE erp.pos (nr serial PRIMARY KEY, order_no integer NOT NULL REFERENCES erp.orders, amount double precision);
CREATE TABLE erp.rate (code text PRIMARY KEY, percent numeric, used integer);
"""
LINKS = {
    "orders": """
link: orders
crm: {table: crm.quote, key: id}
erp: {table: erp.orders, key: no}
fields:
  - {crm: title, erp: title}
assert:
  - name: order totals
    per: record
    crm: "select quote_id, sum(total), count(*) from crm.line group by 1"
    erp: "select order_no, sum(amount), count(*)::smallint from erp.pos group by 1"
  - {name: turnover, crm: "select sum(total) as turnover from crm.line", erp: "select sum(amount) from erp.pos"}
""",
    "line": """
link: line
crm: {table: crm.line, key: id}
erp: {table: erp.pos, key: nr}
fields:
  - {crm: quote_id, erp: order_no, link: orders}
  - {crm: total, erp: amount}
""",
    "rate": """
link: rate
flow: crm -> erp
crm: {table: crm.rate, key: code}
erp: {table: erp.rate, key: code}
fields:
  - {crm: code, erp: code}
assert:
  - {name: percent, per: record, crm: "select code, percent from crm.rate", erp: "select code, percent from erp.rate"}
""",
}


@pytest.fixture
def pair(server: Server, tmp_path: Path) -> Iterator[Pair]:
    with linked(server, tmp_path, f"asserted{next(NUMBERS)}", CRM, ERP, LINKS) as pair:
        pair.crm.execute("INSERT INTO crm.quote (title) VALUES ('a'), ('b'), ('no lines')")
        pair.settle()
        pair.crm.execute(
            "INSERT INTO crm.line (quote_id, total) SELECT id, 12.5 FROM crm.quote, generate_series(1, 2) WHERE title <> 'no lines'"
        )
        pair.crm.execute("INSERT INTO crm.rate VALUES ('AT', 20), ('DE', 19)")
        pair.settle()
        plant(pair, "erp", "UPDATE erp.rate SET percent = CASE code WHEN 'AT' THEN 20.0 ELSE 19.00 END")
        pair.crash()
        yield pair


def test_assertions_hold(pair: Pair) -> None:
    assert told(compared(pair)) == []
    assert {one.how for one in compared(pair).links} == {"nothing"}


def test_what_does_not_hold(pair: Pair) -> None:
    assert told(compared(pair)) == []
    plant(pair, "erp", "UPDATE erp.pos SET amount = 20 WHERE nr = (SELECT min(nr) FROM erp.pos)")
    plant(pair, "erp", "DELETE FROM erp.rate WHERE code = 'DE'")
    plant(pair, "erp", "UPDATE erp.rate SET percent = 21 WHERE code = 'AT'")
    for _ in range(2):
        report = compared(pair)
        of_orders = list(of_link(report, "orders").differences)
        assert {(one.said, tuple(one.fields)) for one in of_orders} == {("order totals", ("sum",)), ("turnover", ("turnover",))}
        assert next(one for one in of_orders if one.said == "turnover").fields == {"turnover": ("50.0000", "57.5")}
        assert len(next(one for one in of_orders if one.keys).keys["crm"][0] or "") == 36
        (rate,) = (one for one in of_link(report, "rate").differences if one.kind == "assertion")
        assert (rate.keys, rate.fields) == ({"crm": ("AT",), "erp": ("AT",)}, {"percent": ("20", "21")})


def test_one_side_has_no_row_of_a_record(pair: Pair) -> None:
    plant(pair, "erp", "DELETE FROM erp.pos WHERE order_no = (SELECT no FROM erp.orders WHERE title = 'a')")
    (found,) = (one for one in of_link(compared(pair, "orders"), "orders").differences if one.keys)
    assert found.fields == {"sum": ("25.0000", None), "count": ("2", None)}


@pytest.mark.parametrize(
    ("crm", "erp", "message"),
    [
        ("select 1 from crm.rate", "select 1 from erp.rate", "gives 2 rows, not one"),
        ("select 1, 2 from crm.quote limit 1", "select 1 from erp.rate limit 1", "crm gives 2 columns, erp 1"),
        ("select nothing from crm.rate", "select 1 from erp.rate limit 1", '"nothing" does not exist'),
    ],
)
def test_queries_that_do_not_suit(pair: Pair, crm: str, erp: str, message: str) -> None:
    path = Path(pair.config.mappings) / "rate.yaml"
    text = LINKS["rate"].replace("per: record, ", "").replace("select code, percent from crm.rate", crm)
    path.write_text(text.replace("select code, percent from erp.rate", erp))
    config, findings = load_config(Path(pair.config.path), pair.environ)
    assert config is not None, findings
    try:
        report = reconcile(config, pair.environ, ["rate"])
        said = report.links[0].problem or ""
    except Exception as error:  # noqa: BLE001 - whichever; its words are what matters
        said = str(error)
    assert message in said
    connections = plain_connections(config, pair.environ, "lint")
    try:
        codes = {finding.code for finding in check_links(config, connections, read_catalog(config.links, connections))}
    finally:
        for connection in connections.values():
            connection.close()
    assert ("K070" in codes) == ("nothing" in crm)

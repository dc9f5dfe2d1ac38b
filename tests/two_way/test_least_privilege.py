"""The grants that the README lists are all that `run` needs: both flows, creates, deletes, conflicts, parked changes."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import linked

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL, city text, country char(2));
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.country (id serial PRIMARY KEY, iso2 char(2) UNIQUE);
INSERT INTO erp.country (iso2) VALUES ('AT'), ('DE');
CREATE TABLE erp.customer (no serial PRIMARY KEY, company varchar(80) NOT NULL, town text, country_id integer REFERENCES erp.country);
"""
LINKS = {
    "customer": """
link: customer
crm: {table: crm.account, key: id}
erp: {table: erp.customer, key: no}
fields:
  - {crm: name, erp: company}
  - {crm: city, erp: town}
  - {crm: country, erp: country_id, lookup: {table: erp.country, by: iso2, on: erp}}
"""
}
ROLE = "least"


def grants(schema: str, table: str) -> list[str]:
    """The README's statements, for this database and role."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    block = re.search(r"```sql\n(ALTER ROLE.*?)```", text, re.DOTALL)
    assert block is not None
    sql = re.sub(r"--[^\n]*", "", block[1]).replace("crm.account", f"{schema}.{table}").replace("SCHEMA crm", f"SCHEMA {schema}")
    return [
        part.strip()
        for part in re.sub(r"\breplicator;", f"{ROLE};", sql).replace("ALTER ROLE replicator", f"ALTER ROLE {ROLE}").split(";")
        if part.strip()
    ]


def test_run_with_the_documented_grants(server: Server, tmp_path: Path) -> None:
    with linked(server, tmp_path, "least", CRM, ERP, LINKS) as pair:
        pair.crm.execute(f"CREATE ROLE {ROLE}")  # type: ignore[call-overload]
        for connection, schema, table in ((pair.crm, "crm", "account"), (pair.erp, "erp", "customer")):
            for sql in grants(schema, table):
                connection.execute(sql)  # type: ignore[call-overload]
        pair.erp.execute(f"GRANT SELECT ON erp.country TO {ROLE}")  # type: ignore[call-overload]
        pair.environ = {name: dsn.replace("postgres@", f"{ROLE}@", 1) for name, dsn in pair.environ.items()}
        with psycopg.connect(pair.environ["CRM_DSN"]) as connection:
            assert connection.info.user == ROLE
        pair.crm.execute("INSERT INTO crm.account (name, city, country) VALUES ('a', 'Wien', 'AT'), ('b', 'Graz', 'XX')")
        pair.erp.execute("INSERT INTO erp.customer (company, town, country_id) VALUES ('c', 'Ulm', 2)")
        pair.settle()
        assert [row[3] for row in pair.parked()] == ["unknown value"]
        pair.crm.execute("UPDATE crm.account SET country = 'DE' WHERE name = 'b'")
        pair.crm.execute("UPDATE crm.account SET city = 'Linz' WHERE name = 'a'")
        pair.erp.execute("UPDATE erp.customer SET town = 'Bonn' WHERE company = 'a'")
        pair.crm.execute("DELETE FROM crm.account WHERE name = 'c'")
        pair.settle()
        for flow in pair.exchange.flows:
            flow.tidy(1, 1)
            flow.note_pace()
            flow.ask_for_retries()
        assert pair.rows("erp", "SELECT company, town FROM erp.customer ORDER BY 1") == [("a", "Bonn"), ("b", "Graz")]
        assert pair.rows("crm", "SELECT name, city, country FROM crm.account ORDER BY 1") == [
            ("a", "Bonn", "AT"),
            ("b", "Graz", "DE"),
        ]
        assert pair.conflicts()
        assert pair.parked() == []

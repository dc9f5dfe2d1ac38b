"""The tables of the bench, the three backlogs, and how a row is recognised on either side.

A row has 9 columns and about 200 bytes. PostgreSQL's own subscription writes the same table on the target;
ours writes a table with other names; one column is computed, one a code, one a key of a reference table. Row 0 is the marker: the last
transaction of every backlog numbers it, so that its arrival means that all before it has arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

SOURCE = """
CREATE SCHEMA app;
CREATE TABLE app.customer (
    id      bigint PRIMARY KEY,
    name    text NOT NULL,
    city    text NOT NULL,
    country text NOT NULL,
    credit  numeric(12,2) NOT NULL,
    opened  timestamptz NOT NULL,
    active  boolean NOT NULL,
    note    text,
    changes integer NOT NULL
)"""

TARGET = """
CREATE SCHEMA erp;
CREATE TABLE erp.country (no integer PRIMARY KEY, iso2 text NOT NULL UNIQUE);
INSERT INTO erp.country VALUES (40, 'AT'), (49, 'DE'), (33, 'FR'), (41, 'CH'), (0, '');
CREATE TABLE erp.client (
    client_no    bigint {identity} PRIMARY KEY,
    company      text NOT NULL,
    town         text NOT NULL,
    country_no   integer NOT NULL,
    credit_cents bigint NOT NULL,
    client_since timestamptz NOT NULL,
    state        char(1) NOT NULL CHECK (state IN ('A', 'D')),
    remark       text,
    edits        integer NOT NULL
)"""

CONFIG = """
nodes:
  crm: {engine: postgres, dsn: "${BENCH_CRM_DSN}"}
  erp: {engine: postgres, dsn: "${BENCH_ERP_DSN}"}
mappings: mappings
"""

ONE_WAY = """
link: customer
crm: {table: app.customer, key: id}
erp: {table: erp.client, key: client_no}
flow: crm -> erp
fields:
  - {crm: id,      erp: client_no}
  - {crm: name,    erp: company}
  - {crm: city,    erp: town}
  - {crm: country, erp: country_no, lookup: {table: erp.country, by: iso2, key: no, on: erp}}
  - {crm: credit,  erp: credit_cents, convert: {erp: "cast(crm.credit * 100 as bigint)"}}
  - {crm: opened,  erp: client_since}
  - {crm: active,  erp: state, values: {"true": A, "false": D}}
  - {crm: note,    erp: remark}
  - {crm: changes, erp: edits}
"""

TWO_WAY = """
link: customer
crm: {table: app.customer, key: id}
erp: {table: erp.client, key: client_no}
rule: latest
create: {crm: never}
fields:
  - {crm: name,    erp: company}
  - {crm: city,    erp: town}
  - {crm: country, erp: country_no, lookup: {table: erp.country, by: iso2, key: no, on: erp}}
  - crm: credit
    erp: credit_cents
    convert: {erp: "cast(crm.credit * 100 as bigint)", crm: "cast(erp.credit_cents as numeric(12,2)) / 100"}
  - {crm: opened,  erp: client_since}
  - {crm: active,  erp: state, values: {"true": A, "false": D}}
  - {crm: note,    erp: remark}
  - {crm: changes, erp: edits}
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """A table, and its columns by what they mean. `values`: all but the key, in the source's terms."""

    table: str
    key: str
    name: str
    changes: str
    values: str

    def fingerprint(self) -> str:
        """Equal for equal rows, whatever the keys and the order."""
        row = f"concat_ws('|', {self.values})"
        return f"SELECT count(*), COALESCE(sum(hashtextextended({row}, 0)), 0) FROM {self.table}"


AT_SOURCE = Rows(
    "app.customer", "id", "name", "changes", "name, city, country, credit, opened, active, note, changes"
)  # fmt: skip
AT_TARGET = Rows(
    "erp.client",
    "client_no",
    "company",
    "edits",
    "company, town, (SELECT iso2 FROM erp.country c WHERE c.no = country_no), (credit_cents::numeric / 100)::numeric(12,2),"
    " client_since, state = 'A', remark, edits",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything. Updates concern rows that the first backlog inserted."""

    inserts: int
    singles: int
    updates: int
    transactions: int
    runs: int
    latency_seconds: float
    latency_rate: int = 200


FULL = Size(200_000, 80_000, 200_000, 200, 3, 5.0)
QUICK = Size(30_000, 12_000, 30_000, 30, 1, 2.0)


@dataclass(frozen=True, slots=True)
class Work:
    """A backlog: `sql` is a DO block that commits `transactions` times."""

    name: str
    rows: int
    transactions: int
    sql: str


def works(size: Size) -> list[Work]:
    """The three backlogs, in the order they are made: the updates need the inserted rows."""
    per = size.inserts // size.transactions
    insert = f"""
        INSERT INTO app.customer
        SELECT i, 'Customer ' || lpad(i::text, 9, '0'), 'City ' || md5(i::text), (ARRAY['AT', 'DE', 'FR', 'CH'])[1 + i % 4], i / 7.0,
               timestamptz '2026-01-01 00:00:00Z' + i * interval '1 minute', i % 2 = 0, repeat('note ', 14) || i, 0
        FROM generate_series(k * {per} + 1, (k + 1) * {per}) i"""
    # 7919 is a prime that divides none of our sizes: the rows are all different ones, and far from each other.
    single = f"UPDATE app.customer SET note = 'single ' || k, changes = 1 WHERE id = 1 + (k::bigint * 7919) % {size.inserts}"
    each = size.updates // size.transactions
    update = f"""
        UPDATE app.customer SET city = 'Town ' || md5((id + 1)::text), credit = credit + 1, changes = changes + 2
        WHERE id BETWEEN k * {each} + 1 AND (k + 1) * {each}"""
    return [
        Work("insert", size.inserts, size.transactions, _loop(size.transactions, insert)),
        Work("single update", size.singles, size.singles, _loop(size.singles, single)),
        Work("bulk update", size.updates, size.transactions, _loop(size.transactions, update)),
    ]


def _loop(times: int, statement: str) -> str:
    return f"DO $$ BEGIN FOR k IN 0..{times - 1} LOOP {statement}; COMMIT; END LOOP; END $$"


MARKER = "INSERT INTO app.customer VALUES (0, 'marker', '', '', 0, '2026-01-01 00:00:00Z', true, NULL, 0)"


def run(connection: Connection, text: str, params: Sequence[Any] = ()) -> None:
    connection.execute(text.encode(), params or None)


def query(connection: Connection, text: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    return connection.execute(text.encode(), params or None).fetchall()

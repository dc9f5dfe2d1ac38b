"""The tables of the bench, the three backlogs, and how a row is recognised on either side.

`Tables` is what a system is given to copy. `CUSTOMERS` is one table: a row has 9 columns and about 200 bytes. PostgreSQL's own
subscription writes the same table on the target; ours writes a table with other names; one column is computed, one a code, one
a key of a reference table. (tpcb.py has pgbench's tables.) The marker is a row with the key 0: the last transaction of every
backlog numbers it, so that its arrival means that all before it has arrived.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

NATIVE, ONE, TWO = "native", "one-way", "two-way"
KINDS = (NATIVE, ONE, TWO)

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
    """A table, and its columns by what they mean.

    number   what the marker is numbered in; updates whose way is measured write it too
    values   all that is compared, in the source's terms: all columns, less a key that each side makes for itself
    sorts    sorts the target's rows as the source's key does, where the target's key need not
    """

    table: str
    key: str
    values: str
    number: str = ""
    sorts: str = ""

    def fingerprint(self) -> str:
        """Equal for equal rows, whatever the order."""
        row = f"concat_ws('|', {self.values})"
        return f"SELECT count(*), COALESCE(sum(hashtextextended({row}, 0)), 0) FROM {self.table}"


@dataclass(frozen=True, slots=True)
class Tables:
    """What is copied, as a system is given it.

    source       SQL that makes the source, what is there before included; native's target is made by the same
    target       SQL that makes our target, for each path
    links        our link files by their names, for each path
    at_source,   the tables in the same order; the first of them has the marker, and is empty to begin with
    at_target
    marker       SQL that inserts it, with the key 0 and the number 0
    """

    source: str
    target: Mapping[str, str]
    links: Mapping[str, Mapping[str, str]]
    at_source: tuple[Rows, ...]
    at_target: tuple[Rows, ...]
    marker: str


CUSTOMER = Rows(
    table="app.customer",
    key="id",
    values="name, city, country, credit, opened, active, note, changes",
    number="changes",
    sorts="name",
)
CLIENT = Rows(
    table="erp.client",
    key="client_no",
    values="company, town, (SELECT iso2 FROM erp.country c WHERE c.no = country_no),"
    " (credit_cents::numeric / 100)::numeric(12,2), client_since, state = 'A', remark, edits",
    number="edits",
    sorts="company",
)
CUSTOMERS = Tables(
    source=SOURCE,
    target={ONE: TARGET.format(identity=""), TWO: TARGET.format(identity="GENERATED ALWAYS AS IDENTITY")},
    links={ONE: {"customer": ONE_WAY}, TWO: {"customer": TWO_WAY}},
    at_source=(CUSTOMER,),
    at_target=(CLIENT,),
    marker="INSERT INTO app.customer VALUES (0, 'marker', '', '', 0, '2026-01-01 00:00:00Z', true, NULL, 0)",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything. Updates concern rows that the first backlog inserted.

    growth      rows of the smaller backlog of which the other has ten times as many
    records     that are there already, where that is what it is about
    batch_rows  the sizes of a batch that are tried, and
    rates       the updates a second, for the drawings
    """

    inserts: int
    singles: int
    updates: int
    transactions: int
    runs: int
    latency_seconds: float
    tpcb_seconds: int
    tpcb_scale: int
    growth: int
    records: int
    batch_rows: tuple[int, ...]
    rates: tuple[int, ...]
    latency_rate: int = 200


FULL = Size(
    200_000, 80_000, 200_000, 200, 3, 5.0, 60, 10, 100_000, 1_000_000,
    (250, 1_000, 5_000, 20_000, 50_000), (25, 50, 100, 200, 400, 800),
)  # fmt: skip
QUICK = Size(30_000, 12_000, 30_000, 30, 1, 2.0, 5, 4, 10_000, 50_000, (500, 5_000, 20_000), (50, 200))


@dataclass(frozen=True, slots=True)
class Work:
    """A backlog: `sql` is a DO block that commits `transactions` times."""

    name: str
    rows: int
    transactions: int
    sql: str


def fill(first: str, last: str) -> str:
    return f"""
        INSERT INTO app.customer
        SELECT i, 'Customer ' || lpad(i::text, 9, '0'), 'City ' || md5(i::text), (ARRAY['AT', 'DE', 'FR', 'CH'])[1 + i % 4], i / 7.0,
               timestamptz '2026-01-01 00:00:00Z' + i * interval '1 minute', i % 2 = 0, repeat('note ', 14) || i, 0
        FROM generate_series({first}, {last}) i"""


def inserts(rows: int, transactions: int) -> Work:
    per = rows // transactions
    return Work("insert", rows, transactions, _loop(transactions, fill(f"k * {per} + 1", f"(k + 1) * {per}")))


def singles(count: int, rows: int) -> Work:
    # 7919 is a prime that divides none of our sizes: the rows are all different ones, and far from each other.
    update = f"UPDATE app.customer SET note = 'single ' || k, changes = 1 WHERE id = 1 + (k::bigint * 7919) % {rows}"
    return Work("single update", count, count, _loop(count, update))


def works(size: Size) -> list[Work]:
    """The three backlogs, in the order they are made: the updates need the inserted rows."""
    each = size.updates // size.transactions
    update = f"""
        UPDATE app.customer SET city = 'Town ' || md5((id + 1)::text), credit = credit + 1, changes = changes + 2
        WHERE id BETWEEN k * {each} + 1 AND (k + 1) * {each}"""
    return [
        inserts(size.inserts, size.transactions),
        singles(size.singles, size.inserts),
        Work("bulk update", size.updates, size.transactions, _loop(size.transactions, update)),
    ]


def _loop(times: int, statement: str) -> str:
    return f"DO $$ BEGIN FOR k IN 0..{times - 1} LOOP {statement}; COMMIT; END LOOP; END $$"


def run(connection: Connection, text: str, params: Sequence[Any] = ()) -> None:
    connection.execute(text.encode(), params or None)


def query(connection: Connection, text: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    return connection.execute(text.encode(), params or None).fetchall()

"""Which records a changed row concerns: the query turned round, run on a real server and compared with the truth."""

from __future__ import annotations

import random
from collections.abc import Iterator

import psycopg
import pytest

from replicator.demo.servers import Server
from replicator.model.table import TableName
from replicator.program.affected import affected
from tests.databases import empty

SCHEMA = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id int PRIMARY KEY, city_id int, x int);
CREATE TABLE crm.address (id int PRIMARY KEY, account_id int, city_id int, kind text, x int);
CREATE TABLE crm.city (id int PRIMARY KEY, x int);
"""
TABLES = {"account": ("id", "city_id", "x"), "address": ("id", "account_id", "city_id", "kind", "x"), "city": ("id", "x")}
QUERIES = {
    "first of many": "SELECT own.id, (select a.x from crm.address a where a.account_id = own.id and a.kind = 'a' order by a.x limit 1) FROM crm.account AS own",
    "through another": "SELECT own.id, (select max(c.x) from crm.address a join crm.city c on c.id = a.city_id where a.account_id = own.id) FROM crm.account AS own",
    "own column": "SELECT own.id, (select c.x from crm.city c where c.id = own.city_id) FROM crm.account AS own",
    "there is none": "SELECT own.id, (not exists (select from crm.address a where a.account_id = own.id and a.x > 5)) FROM crm.account AS own",
    "none in none": (
        "SELECT own.id, (exists (select from crm.address a where a.account_id = own.id and not exists"
        " (select from crm.city c where c.id = a.city_id and c.x > 4))) FROM crm.account AS own"
    ),
    "exists alone": "SELECT own.id, (select exists (select from crm.address a where a.account_id = own.id and a.x > 5)) FROM crm.account AS own",
    "in": "SELECT own.id, (own.city_id in (select c.id from crm.city c where c.x > 3)) FROM crm.account AS own",
    "not in": "SELECT own.id, (own.city_id not in (select c.id from crm.city c where c.x > 3)) FROM crm.account AS own",
    "grouped": "select q.id, sum(l.x), count(l.id) from crm.account q left join crm.address l on l.account_id = q.id where q.x > 2 group by q.id having count(*) > 1",
    "from subquery": "select q.id, t.s from crm.account q left join (select account_id, sum(x) s from crm.address group by account_id having sum(x) > 3) t on t.account_id = q.id",
    "with": "with t as (select account_id, sum(x) s from crm.address group by 1) select q.id, t.s from crm.account q join t on t.account_id = q.id",
    "union": "select id, x from crm.account union all select id + 100, x from crm.address where city_id in (select c.id from crm.city c)",
    "lateral": "select q.id, z.x from crm.account q left join lateral (select l.x from crm.address l where l.account_id = q.id order by l.x, l.id limit 1) z on true",
    "right join": "select l.id, q.x from crm.account q right join crm.address l on l.account_id = q.id",
    "case of names": 'select "Q".id, A.x from crm.account "Q" left join crm.address A on A.account_id = "Q".id',
    "twice": "select a.id, b.x from crm.address a join crm.address b on b.city_id = a.city_id and b.id <> a.id",
}


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[psycopg.Connection]:
    with psycopg.connect(empty(server, "affected"), autocommit=True) as found:
        found.execute(SCHEMA)  # type: ignore[call-overload]
        yield found


def records(connection: psycopg.Connection, sql: str) -> dict[int, list[tuple[object, ...]]]:
    found: dict[int, list[tuple[object, ...]]] = {}
    for row in connection.execute(sql).fetchall():  # type: ignore[call-overload]
        found.setdefault(row[0], []).append(row)
    return {key: sorted(rows, key=repr) for key, rows in found.items()}


def change(connection: psycopg.Connection, r: random.Random, table: str) -> None:
    """Makes one row, changes it or removes it; its images are kept in `changed`."""
    columns = TABLES[table]
    row = [r.randint(1, 6) if c != "kind" else r.choice("ab") for c in columns]
    old = f"INSERT INTO changed_{table} SELECT * FROM crm.{table} WHERE id = %s"
    connection.execute(old, (row[0],))  # type: ignore[call-overload]
    connection.execute(f"DELETE FROM crm.{table} WHERE id = %s", (row[0],))  # type: ignore[call-overload]
    if r.random() < 0.8:
        places = ", ".join(["%s"] * len(row))
        connection.execute(f"INSERT INTO crm.{table} VALUES ({places})", row)  # type: ignore[call-overload]
        connection.execute(old, (row[0],))  # type: ignore[call-overload]


@pytest.mark.parametrize("sql", QUERIES.values(), ids=QUERIES.keys())
def test_no_record_that_changes_is_missed(connection: psycopg.Connection, sql: str) -> None:
    r = random.Random(sql)
    for table in TABLES:
        connection.execute(
            f"DROP TABLE IF EXISTS changed_{table}; CREATE TEMP TABLE changed_{table} (LIKE crm.{table}); TRUNCATE crm.{table}"
        )  # type: ignore[call-overload]
    for _ in range(30):
        for table in TABLES:
            change(connection, r, table)
    named = 0
    for _ in range(60):
        for table in TABLES:
            connection.execute(f"TRUNCATE changed_{table}")  # type: ignore[call-overload]
        before = records(connection, sql)
        for table in r.choices(list(TABLES), k=r.randint(1, 3)):
            change(connection, r, table)
        after = records(connection, sql)
        differ = {key for key in {*before, *after} if before.get(key) != after.get(key)}
        told: set[int] = set()
        for table in TABLES:
            for statement in affected(sql, [0], TableName("crm", table), f"changed_{table}"):
                told |= {row[0] for row in connection.execute(statement).fetchall()}  # type: ignore[call-overload]
        assert differ <= told
        named += len(told)
    assert named

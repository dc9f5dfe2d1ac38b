"""A link with a field of every rule, and entries in the log as the replicator writes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from replicator.model import stamp

from .conftest import Site

CUSTOMER = """\
link: customer
crm: {table: crm.account, key: id}
erp: {table: erp.customer, key: no}
fields:
  - {crm: name, erp: company}
  - {crm: city, erp: town, rule: queue}
  - {crm: note, erp: note, rule: erp}
  - {crm: score, erp: points, rule: {merge: "greatest(crm.score, erp.points)"}}
  - {crm: stage, erp: state, rule: queue, values: {won: W, lead: L}}
  - {crm: erp_no, erp: no, to: crm}
"""
LINE = """\
link: line
crm: {table: crm.line, key: [doc, pos]}
erp: {table: erp.line, key: [doc_no, item]}
fields:
  - {crm: doc, erp: doc_no}
  - {crm: pos, erp: item}
  - {crm: qty, erp: amount}
"""
TABLES = {
    "crm": "ALTER TABLE crm.account ADD score int; CREATE TABLE crm.line (doc text, pos int, qty int, PRIMARY KEY (doc, pos))",
    "erp": "ALTER TABLE erp.customer ADD points int, ADD state text, ALTER town TYPE varchar(20);"
    "CREATE TABLE erp.line (doc_no text, item int, amount int, PRIMARY KEY (doc_no, item))",
}
DAY = datetime(2026, 11, 20, 10, tzinfo=UTC)
NUMBERS = {"crm": 1, "erp": 2}


def made(node: str, seconds: float = 0.0, since: datetime = DAY) -> int:
    """The stamp of a transaction so long after ten o'clock that day."""
    return stamp.make((since + timedelta(seconds=seconds) - stamp.EPOCH) // timedelta(microseconds=1), NUMBERS[node])


def prepare(site: Site) -> Site:
    """Tables and links, and `init`."""
    for node, ddl in TABLES.items():
        site.db(node).execute(ddl)  # type: ignore[call-overload]
    site.link("customer", CUSTOMER)
    site.link("line", LINE)
    result = site("init")
    assert result.code == 0, result.err
    return site


def insert(site: Site, node: str, table: str, **columns: Any) -> Any:
    """A row of one of the replicator's tables; gives its id if it has one."""
    statement = sql.SQL("INSERT INTO replicator.{} ({}) VALUES ({}) RETURNING *").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(sql.Placeholder() * len(columns)),
    )
    row = site.db(node).execute(statement, list(columns.values())).fetchone()
    assert row is not None
    return row[0]


def conflict(site: Site, node: str, **columns: Any) -> str:
    """An entry of the log on that node, between two edits of a customer's name unless said otherwise. Gives its id."""
    source = "erp" if node == "crm" else "crm"
    keys = {"crm": "a1", "erp": "1"}
    given = {
        "at": DAY, "flow": f"{source}_to_{node}", "link": "customer", "kind": "update_origin_differs", "field": "name",
        "source_key": keys[source], "target_key": keys[node], "incoming": "from " + source, "existing": "from " + node,
        "incoming_stamp": made(source, 1), "existing_stamp": made(node), "incoming_lsn": "0/1A2B3C",
        "winner": source, "rule": "latest", "place": "links/customer.yaml:5:5",
    }  # fmt: skip
    return f"{node}:{insert(site, node, 'conflict', **given | columns)}"


def waiting(site: Site, **columns: Any) -> str:
    """An entry that waits, on the node that decides: of two towns."""
    given = {"field": "city", "incoming": "Linz", "existing": "Graz", "existing_stamp": None, "base": "Wien", "winner": None}
    return conflict(site, "crm", **given | {"rule": "queue", "status": "open", "place": "links/customer.yaml:6:34"} | columns)


def linked(site: Site, number: int = 1, made_by: str | None = None, since: datetime = DAY) -> uuid.UUID:
    """A customer on both sides, and the pair on both. Gives the CRM's key."""
    key = uuid.uuid4()
    site.db("crm").execute("INSERT INTO crm.account (id, name, city) VALUES (%s, 'ACME', 'Graz')", (key,))
    site.db("erp").execute(
        "INSERT INTO erp.customer (no, company, town) OVERRIDING SYSTEM VALUE VALUES (%s, 'ACME', 'Linz')", (number,)
    )
    for node in ("crm", "erp"):
        here = made(made_by, since=since) if made_by and node != made_by else None
        insert(site, node, "crosswalk_customer", crm_id=key, erp_no=number, made=here)
    return key


@contextmanager
def daemon(site: Site, *options: str, nodes: Sequence[str] = ("crm", "erp")) -> Iterator[subprocess.Popen[str]]:
    """`replicator run` in a process of its own, once it reads all of these nodes' slots."""
    code = "import sys; from replicator_cli.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", *options],
        cwd=site.folder, env={**os.environ, **site.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        reads = "SELECT bool_and(active) FROM pg_replication_slots WHERE database = current_database()"
        until(lambda: all(site.rows(node, reads)[0][0] for node in nodes))
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)

"""A daemon on a star, with users busy on every node: two exchanges write the hub at once, in threads of their own."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import psycopg

from replicator.demo.servers import Server
from replicator.runtime.daemon import Daemon
from tests.two_way.nodes import COLUMNS, FIELDS, STAR_4, TABLES, Nodes, tree

BUSY_SECONDS = 4.0
RECORDS = 12


def work(nodes: Nodes, node: str, stop: threading.Event, made: list[str]) -> None:
    """Edits of the same few records, new records, several rows in one transaction in any order."""
    r, column = random.Random(node), COLUMNS[nodes.kinds[node]]
    table = TABLES[nodes.kinds[node]][0]
    with psycopg.connect(nodes.environ[f"{node.upper()}_DSN"], autocommit=True) as connection:
        while not stop.is_set():
            try:
                with connection.transaction():
                    for _ in range(r.randint(1, 3)):
                        sql = f"UPDATE {table} SET {column[r.choice(('name', 'city', 'note'))]} = %s WHERE {column['tag']} = %s"
                        connection.execute(sql, (f"{node}-{r.random()}", f"t{r.randrange(RECORDS)}"))  # type: ignore[arg-type]
                if r.random() < 0.1:
                    tag = f"t-{node}-{len(made)}"
                    sql = f"INSERT INTO {table} ({column['tag']}, {column['score']}) VALUES (%s, 1)"
                    connection.execute(sql, (tag,))  # type: ignore[arg-type]
                    made.append(tag)
            except psycopg.errors.DeadlockDetected:
                pass  # users' own, or with us: they try again
            time.sleep(r.random() * 0.01)


def test_users_on_every_node_at_once(server: Server, tmp_path: Path) -> None:
    with tree(server, tmp_path, STAR_4) as nodes:
        for i in range(RECORDS):
            nodes.create("n1", f"t{i}", dict.fromkeys(FIELDS, 1))
        nodes.settle()
        nodes.crash()
        daemon, stop = Daemon(nodes.config, nodes.environ), threading.Event()
        running = threading.Thread(target=daemon.run)
        running.start()
        made: dict[str, list[str]] = {node: [] for node in nodes.users}
        users = [threading.Thread(target=work, args=(nodes, node, stop, made[node])) for node in nodes.users]
        try:
            for user in users:
                user.start()
            time.sleep(BUSY_SECONDS)
            stop.set()
            for user in users:
                user.join()
            found = settled(nodes, daemon)
        finally:
            stop.set()
            daemon.stop.set()
            running.join()
        assert daemon.failed is None
        first, *others = found.values()
        assert all(rows == first for rows in others)
        assert {tag for tags in made.values() for tag in tags} <= set(first)
        assert nodes.parked() == []
        nodes.settle()  # and a new daemon finds nothing to do
        assert nodes.records("t%") == found


def settled(nodes: Nodes, daemon: Daemon) -> dict[str, dict[str, Any]]:
    """The records, once they have been the same everywhere for a while and nothing waits for a row that was locked; or as
    they are when that takes too long."""
    end, quiet = time.monotonic() + 90, 0
    while time.monotonic() < end and daemon.failed is None:
        found = nodes.records("t%")
        alike = len({str(sorted(rows.items())) for rows in found.values()}) == 1
        quiet = quiet + 1 if alike and nodes.parked() == [] else 0
        if quiet == 5:
            break
        time.sleep(0.1)
    return nodes.records("t%")

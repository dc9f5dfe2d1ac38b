"""What people write today to keep a PostgreSQL table in step with another one from Python: Debezium's engine (pydbzengine) reads the
changes, and its handler upserts them with psycopg, a batch a transaction. A process of its own, started by debezium.py.

    python debezium_upserts.py SOURCE_DSN TARGET_DSN SLOT PUBLICATION TABLE KEY     in a folder for its offsets and log

It is no straw man: one prepared statement, executemany (psycopg sends it in a pipeline), batches as large as ours, numbers and
times as text that PostgreSQL casts. It maps nothing, and detects no conflicts.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydbzengine import BasePythonChangeHandler, ChangeEvent, DebeziumJsonEngine

BATCH = 20_000


class Upserts(BasePythonChangeHandler):
    def __init__(self, connection: psycopg.Connection[Any], table: str, key: str) -> None:
        self._connection = connection
        self._table = sql.Identifier(*table.split("."))
        self._key = key
        self._upsert: sql.Composed | None = None

    def handleJsonBatch(self, records: list[ChangeEvent]) -> None:
        rows, gone = [], []
        for record in records:
            value = record.value()
            if value is None:  # the tombstone behind a delete
                continue
            change = json.loads(str(value))
            if change["op"] == "d":
                gone.append((change["before"][self._key],))
            else:
                rows.append(change["after"])
        with self._connection.transaction(), self._connection.cursor() as cursor:
            if rows:
                cursor.executemany(self._statement(rows[0]), rows)
            if gone:
                delete = sql.SQL("DELETE FROM {} WHERE {} = %s").format(self._table, sql.Identifier(self._key))
                cursor.executemany(delete, gone)

    def _statement(self, row: dict[str, Any]) -> sql.Composed:
        if self._upsert is None:
            names = [sql.Identifier(name) for name in row]
            self._upsert = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}").format(
                self._table,
                sql.SQL(", ").join(names),
                sql.SQL(", ").join(map(sql.Placeholder, row)),
                sql.Identifier(self._key),
                sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in names),
            )
        return self._upsert


def main(source: str, target: str, slot: str, publication: str, table: str, key: str) -> None:
    at = conninfo_to_dict(source)
    properties = {
        "name": "bench",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset.storage.file.filename": "offsets.dat",
        "offset.flush.interval.ms": "1000",
        "topic.prefix": "bench",
        "database.hostname": at["host"],
        "database.port": at["port"],
        "database.user": at["user"],
        "database.password": at.get("password", ""),
        "database.dbname": at["dbname"],
        "plugin.name": "pgoutput",
        "slot.name": slot,
        "publication.name": publication,
        "publication.autocreate.mode": "disabled",
        "table.include.list": table,
        "snapshot.mode": "no_data",
        "decimal.handling.mode": "string",
        "converter.schemas.enable": "false",
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "max.batch.size": str(BATCH),
        "max.queue.size": str(4 * BATCH),
        "poll.interval.ms": "10",
    }
    with psycopg.connect(target) as connection:
        DebeziumJsonEngine(properties=properties, handler=Upserts(connection, table, key)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])

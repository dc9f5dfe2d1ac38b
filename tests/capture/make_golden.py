"""Captures pgoutput payloads from a real server into a golden file, beside what SQL said of the same deeds.

    python tests/capture/make_golden.py 'host=... dbname=... user=...' tests/capture/golden/pgNN.jsonl

The server is a throwaway one: wal_level=logical, track_commit_timestamp=on, a UTF8 database, a
superuser. The script drops and creates the schema `golden`, a publication and a replication origin.

The file holds one JSON object per line. A scenario starts with its facts; its messages follow:

    {"scenario", "server", "options", "facts"}
    {"scenario", "hex": payload, "repr": what the decoder of that day made of it}

`repr` only keeps the decoder stable. Its truth is in the facts, none of which went through pgoutput:

    story         per change, in order of arrival, what the SQL must cause; written here by hand
    relations     "schema.table": oid, relreplident, published columns as [name, key, type oid, typmod]
    types         oid: [schema, name] of the base type, of every column type made here
    states        per transaction that reached the slot, in commit order: xid, commit_time
                  (microseconds since 2000), after <= commit LSN < end LSN <= before, and the rows of all
                  tables as SELECT gave them once it had committed (text, or hex of the binary form)
    anything else a scenario notes for its own test
"""

from __future__ import annotations

import json
import select
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from replicator.capture.decode import Decoder

EPOCH = 946_684_800_000_000  # 2000-01-01 in microseconds since 1970
HEADER = 25


def lsn(text: str) -> int:
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


class Stage:
    """A scenario being played: an SQL session, another beside it, and the replication stream."""

    def __init__(self, dsn: str, options: dict[str, str], binary: bool = False) -> None:
        self.dsn = dsn
        self.options = options
        self.binary = binary
        self.payloads: list[bytes] = []
        self.facts: dict[str, Any] = {"story": [], "relations": {}, "types": {}, "states": []}
        self.tables: dict[str, list[str]] = {}
        self.main = psycopg.connect(dsn)
        self.side = psycopg.connect(dsn, autocommit=True)
        self.stream = psycopg.connect(
            f"{dsn} replication=database client_encoding=UTF8 options='-c logical_decoding_work_mem=64kB'",
            autocommit=True,
        )

    def ask(self, query: str) -> Any:
        return self.side.execute(query).fetchone()[0]

    def setup(self, ddl: str, published: dict[str, list[str]]) -> None:
        """Creates the tables and starts the stream. `published` maps a table, as SQL spells it, to its columns."""
        for statement in ("DROP PUBLICATION IF EXISTS golden", "DROP SCHEMA IF EXISTS golden CASCADE"):
            self.side.execute(statement)
        self.side.execute("CREATE SCHEMA golden")
        self.side.execute("CREATE TABLE golden.fence (n integer)")
        self.side.execute(ddl)
        self.tables = published
        # A list of all columns is not the same as no list: it forbids REPLICA IDENTITY FULL.
        lists = (
            f"{table} ({', '.join(columns)})" if self._narrowed(table, columns) else table for table, columns in published.items()
        )
        self.side.execute(f"CREATE PUBLICATION golden FOR TABLE {', '.join(lists)}")
        self._look_up()
        self.stream.execute("CREATE_REPLICATION_SLOT golden TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')")
        options = {"publication_names": "golden", **self.options}
        spelled = ", ".join(f"{name} '{value}'" for name, value in options.items())
        self.stream.execute(f"START_REPLICATION SLOT golden LOGICAL 0/0 ({spelled})")

    def _narrowed(self, table: str, columns: list[str]) -> bool:
        return len(columns) < self.ask(f"SELECT count(*) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0")

    def _look_up(self) -> None:
        for table in self.tables:
            key, oid, identity = self.side.execute(
                "SELECT n.nspname || '.' || relname, c.oid::bigint, relreplident::text"
                " FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = %s::regclass",
                [table],
            ).fetchone()
            columns = self.side.execute(
                """
                SELECT a.attname, CASE c.relreplident
                         WHEN 'f' THEN true
                         WHEN 'n' THEN false
                         ELSE coalesce(a.attnum = ANY (i.indkey), false) END,
                       a.atttypid::bigint, a.atttypmod
                FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                JOIN pg_publication_tables p ON p.pubname = 'golden' AND a.attname = ANY (p.attnames)
                     AND format('%%I.%%I', p.schemaname, p.tablename)::regclass = c.oid
                LEFT JOIN pg_index i ON i.indrelid = c.oid
                     AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END
                WHERE c.oid = %s::regclass ORDER BY a.attnum
                """,
                [table],
            ).fetchall()
            self.facts["relations"][key] = {
                "oid": oid,
                "identity": identity,
                "columns": [list(column) for column in columns],
            }
            for type_oid in {column[2] for column in columns if column[2] >= 10_000}:
                self.facts["types"][type_oid] = self.side.execute(
                    """
                    WITH RECURSIVE chain AS (
                        SELECT oid, typbasetype, typnamespace, typname FROM pg_type WHERE oid = %s
                        UNION ALL SELECT t.oid, t.typbasetype, t.typnamespace, t.typname
                        FROM pg_type t JOIN chain ON t.oid = chain.typbasetype)
                    SELECT nspname, typname FROM chain JOIN pg_namespace n ON n.oid = typnamespace
                    WHERE typbasetype = 0
                    """,
                    [type_oid],
                ).fetchone()

    def rows(self) -> dict[str, list[list[str | None]]]:
        """All rows of all tables, published columns only, as another session sees them."""
        found = {}
        for key, (table, columns) in zip(self.facts["relations"], self.tables.items(), strict=True):
            if self.binary:
                parts = [f"encode({self._send(table, column)}({column}), 'hex')" for column in columns]
            else:
                # format() asks the type's output function, as pgoutput does. A cast need not: boolean gives `true`.
                parts = [f"CASE WHEN num_nulls({column}) = 0 THEN format('%s', {column}) END" for column in columns]
            rows = self.side.execute(f"SELECT {', '.join(parts)} FROM {table}").fetchall()
            found[key] = [list(row) for row in rows]
        return found

    def _send(self, table: str, column: str) -> str:
        """The name of the function that gives a column's binary form."""
        query = "SELECT typsend::text FROM pg_type JOIN pg_attribute ON atttypid = pg_type.oid"
        return str(self.ask(f"{query} WHERE attrelid = '{table}'::regclass AND attname = '{column}'"))

    @contextmanager
    def transaction(self, *story: str, session: Any = None, streamed: bool = False) -> Iterator[Callable[[str], Any]]:
        """A transaction that commits: yields what runs a statement in it, then keeps its facts."""
        session = session or self.main
        run = session.execute
        if session.autocommit:
            run("BEGIN")
        yield run
        (xid,) = run("SELECT (pg_current_xact_id()::text::bigint % 4294967296)").fetchone()
        after = lsn(self.ask("SELECT pg_current_wal_insert_lsn()"))
        run("COMMIT")
        before = lsn(self.ask("SELECT pg_current_wal_insert_lsn()"))
        micros = self.ask(f"SELECT (extract(epoch FROM pg_xact_commit_timestamp('{xid}')) * 1000000)::bigint")
        self.facts["story"] += story
        self.facts["states"].append(
            {
                "xid": xid,
                "streamed": streamed,
                "commit_time": micros - EPOCH,
                "after": after,
                "before": before,
                "rows": self.rows(),
            }
        )

    def catch_up(self) -> None:
        """Reads the stream up to all that happened so far, commits or not."""
        target = lsn(self.ask("SELECT pg_current_wal_insert_lsn()"))
        # Only what is flushed is sent, and only a commit that wrote something flushes.
        self.side.execute("INSERT INTO golden.fence VALUES (1)")
        connection = self.stream.pgconn
        status = b"r" + struct.pack(">QQQqB", 0, 0, 0, 0, 1)
        limit = time.monotonic() + 30
        asked = 0.0
        while time.monotonic() < limit:
            if time.monotonic() - asked > 0.2:
                connection.put_copy_data(status)
                connection.flush()
                asked = time.monotonic()
            size, data = connection.get_copy_data(1)
            if size <= 0:
                select.select([connection.socket], [], [], 0.1)
                connection.consume_input()
                continue
            body = bytes(data)
            if body[:1] == b"w":
                self.payloads.append(body[HEADER:])
            elif struct.unpack_from(">Q", body, 1)[0] >= target:
                return
        raise TimeoutError("the stream does not catch up")

    def close(self) -> None:
        for connection in (self.stream, self.main, self.side):
            connection.close()


BOOKS = 'golden."Bücher & ""Co"""'
IDENTITIES = f"""
CREATE TABLE golden.people (
    id integer PRIMARY KEY, name varchar(40) NOT NULL, email text, born date, balance numeric(10,2),
    active boolean, seen timestamptz(3), photo bytea, notes text);
CREATE TABLE golden.whole (a integer, b text, c text);
ALTER TABLE golden.whole REPLICA IDENTITY FULL;
CREATE TABLE golden.bare (a integer PRIMARY KEY, b text);
ALTER TABLE golden.bare REPLICA IDENTITY NOTHING;
CREATE TABLE golden.indexed (code text NOT NULL, note text, region integer NOT NULL);
CREATE UNIQUE INDEX indexed_key ON golden.indexed (region, code);
ALTER TABLE golden.indexed REPLICA IDENTITY USING INDEX indexed_key;
CREATE TABLE {BOOKS} ("Titel ☃" text PRIMARY KEY, "order" integer);
"""


def identities(stage: Stage) -> None:
    stage.setup(
        IDENTITIES,
        {
            "golden.people": ["id", "name", "email", "born", "balance", "active", "seen", "photo", "notes"],
            "golden.whole": ["a", "b", "c"],
            "golden.bare": ["a", "b"],
            "golden.indexed": ["code", "note", "region"],
            BOOKS: ['"Titel ☃"', '"order"'],
        },
    )
    with stage.transaction("insert people", "insert people") as run:
        run(
            "INSERT INTO golden.people VALUES (1, 'Ada Lovelace', 'ada@example.org', '1815-12-10', 12.50, true,"
            " '2024-05-06 07:08:09.123+02', '\\x00ff10', 'née Byron — 数学'),"
            " (2, '', NULL, NULL, NULL, NULL, NULL, '', NULL)"
        )
    with stage.transaction("update people -") as run:
        run("UPDATE golden.people SET email = NULL, balance = -0.01 WHERE id = 1")
    with stage.transaction("update people K", "delete people K") as run:
        run("UPDATE golden.people SET id = 3 WHERE id = 2")
        run("DELETE FROM golden.people WHERE id = 1")
    with stage.transaction("insert whole", "insert whole", "insert whole") as run:
        run("INSERT INTO golden.whole VALUES (1, 'x', NULL), (2, NULL, 'y'), (NULL, NULL, NULL)")
    with stage.transaction("update whole O", "update whole O", "delete whole O", "delete whole O") as run:
        run("UPDATE golden.whole SET c = 'z' WHERE a = 1")
        run("UPDATE golden.whole SET a = -2 WHERE a = 2")
        run("DELETE FROM golden.whole WHERE a IS NULL")
        run("DELETE FROM golden.whole WHERE a = 1")
    with stage.transaction("insert bare", "insert bare") as run:
        run("INSERT INTO golden.bare VALUES (1, 'one'), (2, NULL)")
    with stage.transaction("insert indexed", "insert indexed", "insert indexed") as run:
        run("INSERT INTO golden.indexed VALUES ('a', 'first', 1), ('b', 'second', 1), ('a', NULL, 2)")
    with stage.transaction("update indexed -", "update indexed K", "update indexed K", "delete indexed K") as run:
        run("UPDATE golden.indexed SET note = 'new' WHERE code = 'a' AND region = 2")
        run("UPDATE golden.indexed SET code = 'c' WHERE code = 'b' AND region = 1")
        run("UPDATE golden.indexed SET code = 'd', region = 9 WHERE code = 'a' AND region = 2")
        run("DELETE FROM golden.indexed WHERE code = 'a' AND region = 1")
    books = 'Bücher & "Co"'
    with stage.transaction(f"insert {books}", f"update {books} -", f"update {books} K", f"delete {books} K") as run:
        run(f"INSERT INTO {BOOKS} VALUES ('Öl', 1)")
        run(f'UPDATE {BOOKS} SET "order" = 2')
        run(f"UPDATE {BOOKS} SET \"Titel ☃\" = 'Wein'")
        run(f"DELETE FROM {BOOKS}")
    # The same tables, shaped otherwise: the stream must describe them anew.
    stage.side.execute("ALTER TABLE golden.bare REPLICA IDENTITY DEFAULT")
    with stage.transaction("update bare -", "delete bare K") as run:
        run("UPDATE golden.bare SET b = 'two' WHERE a = 2")
        run("DELETE FROM golden.bare WHERE a = 1")
    stage.catch_up()


# A row is TOASTed when it is over 2 kB. `filler` makes it so without being published; where the
# replica identity is FULL that is not allowed, so there the value itself is long.
TOAST = """
CREATE TABLE golden.plain (id integer PRIMARY KEY, big text, n integer, filler text DEFAULT repeat('x', 2000))
    WITH (toast_tuple_target = 128);
CREATE TABLE golden.whole (id integer, big text, n integer);
ALTER TABLE golden.whole REPLICA IDENTITY FULL;
CREATE TABLE golden.keyed (big text PRIMARY KEY, n integer, filler text DEFAULT repeat('x', 2000))
    WITH (toast_tuple_target = 128);
ALTER TABLE golden.plain ALTER big SET STORAGE EXTERNAL, ALTER filler SET STORAGE PLAIN;
ALTER TABLE golden.whole ALTER big SET STORAGE EXTERNAL;
ALTER TABLE golden.keyed ALTER big SET STORAGE EXTERNAL, ALTER filler SET STORAGE PLAIN;
"""


def toast(stage: Stage) -> None:
    stage.setup(
        TOAST,
        {"golden.plain": ["id", "big", "n"], "golden.whole": ["id", "big", "n"], "golden.keyed": ["big", "n"]},
    )
    with stage.transaction("insert plain", "insert whole", "insert keyed") as run:
        run("INSERT INTO golden.plain VALUES (1, repeat('plain toast ', 20), 0)")
        run("INSERT INTO golden.whole VALUES (1, repeat('whole toast ', 180), 0)")
        run("INSERT INTO golden.keyed VALUES (repeat('keyed toast ', 20), 0)")
    with stage.transaction("update plain - unchanged") as run:
        run("UPDATE golden.plain SET n = 1")
    with stage.transaction("update plain K unchanged") as run:
        run("UPDATE golden.plain SET id = 2")
    with stage.transaction("update plain -", "update plain -", "update plain -") as run:
        run("UPDATE golden.plain SET big = repeat('other toast ', 20)")
        run("UPDATE golden.plain SET big = NULL")
        run("UPDATE golden.plain SET big = 'short'")
    with stage.transaction("update whole O unchanged", "update whole O") as run:
        run("UPDATE golden.whole SET n = 1")
        run("UPDATE golden.whole SET big = 'short'")
    with stage.transaction("update keyed K unchanged", "update keyed K", "delete keyed K") as run:
        run("UPDATE golden.keyed SET n = 1")
        run("UPDATE golden.keyed SET big = repeat('other toast ', 20)")
        run("DELETE FROM golden.keyed")
    stage.catch_up()


def truncate(stage: Stage) -> None:
    stage.setup(
        """
        CREATE TABLE golden.parent (id serial PRIMARY KEY);
        CREATE TABLE golden.child (id integer PRIMARY KEY, parent integer REFERENCES golden.parent);
        CREATE TABLE golden.lone (id integer PRIMARY KEY);
        """,
        {"golden.parent": ["id"], "golden.child": ["id", "parent"], "golden.lone": ["id"]},
    )
    fill = ("insert parent", "insert child", "insert lone")
    for flags, tables, clause in (
        ("- -", "lone", "golden.lone"),
        ("cascade -", "child parent", "golden.parent CASCADE"),
        ("- restart", "child lone parent", "golden.lone, golden.child, golden.parent RESTART IDENTITY"),
        ("cascade restart", "child parent", "golden.parent RESTART IDENTITY CASCADE"),
    ):
        with stage.transaction("truncate - - child lone parent", *fill) as run:
            run("TRUNCATE golden.lone, golden.child, golden.parent")
            run("INSERT INTO golden.parent VALUES (1)")
            run("INSERT INTO golden.child VALUES (1, 1)")
            run("INSERT INTO golden.lone VALUES (1)")
        with stage.transaction(f"truncate {flags} {tables}") as run:
            run(f"TRUNCATE {clause}")
    stage.catch_up()


def types(stage: Stage) -> None:
    stage.setup(
        """
        CREATE TYPE golden.mood AS ENUM ('sad', 'it''s ok', 'très bien');
        CREATE DOMAIN golden.email AS text CHECK (VALUE LIKE '%@%');
        CREATE DOMAIN golden.work_email AS golden.email;
        CREATE DOMAIN golden.feeling AS golden.mood;
        CREATE TYPE golden.point3 AS (x integer, y integer, label text);
        CREATE TABLE golden.typed (id integer PRIMARY KEY, mood golden.mood, email golden.work_email,
            feeling golden.feeling, point golden.point3, moods golden.mood[], numbers integer[], doc jsonb,
            span int4range);
        """,
        {"golden.typed": ["id", "mood", "email", "feeling", "point", "moods", "numbers", "doc", "span"]},
    )
    with stage.transaction("insert typed", "insert typed") as run:
        run(
            "INSERT INTO golden.typed VALUES (1, 'sad', 'a@b', 'it''s ok', (1, NULL, 'a \"b\"'),"
            " '{sad,NULL,très bien}', '{{1,2},{3,4}}', '{\"k\": [1, null]}', '[1,5)')"
        )
        run("INSERT INTO golden.typed (id) VALUES (2)")
    stage.catch_up()


def emitted(stage: Stage, note: list[dict[str, Any]], run: Callable[[str], Any], call: str, **fact: Any) -> None:
    """Emits one logical message through `run` and notes, in `note`, what must arrive and where its record lies."""
    start = lsn(stage.ask("SELECT pg_current_wal_insert_lsn()"))
    (end,) = run(f"SELECT pg_logical_emit_message({call})").fetchone()
    note.append({**fact, "after": start, "before": lsn(end)})


def messages(stage: Stage) -> None:
    stage.setup("CREATE TABLE golden.t (id integer PRIMARY KEY)", {"golden.t": ["id"]})
    note: list[dict[str, Any]] = []
    story = ("message outside", "message inside", "insert t", "message bytes")
    with stage.transaction(*story) as run:
        emitted(stage, note, run, "true, 'inside', 'grüße'", prefix="inside", content="grüße".encode().hex())
        run("INSERT INTO golden.t VALUES (1)")
        # Not transactional: it must overtake the transaction it was written in.
        emitted(stage, note, run, "false, 'outside', ''", prefix="outside", content="")
        emitted(stage, note, run, "true, 'bytes', '\\x0001feff00'::bytea", prefix="bytes", content="0001feff00")
    stage.facts["story"].append("message survives")
    emitted(stage, note, stage.main.execute, "true, 'rolled back', 'x'", prefix="", content="")
    note.pop()
    emitted(stage, note, stage.main.execute, "false, 'survives', 'y'", prefix="survives", content=b"y".hex())
    stage.main.rollback()
    stage.facts["messages"] = note
    stage.catch_up()


def origin(stage: Stage) -> None:
    stage.setup("CREATE TABLE golden.t (id integer PRIMARY KEY)", {"golden.t": ["id"]})
    with replaying(stage, "erp → crm"):
        stage.facts["origins"] = []
        for number, (position, moment) in enumerate(
            [("1/ABCD1234", "2024-02-29 12:34:56.789012+00"), ("FFFFFFFE/FFFFFFF0", "1999-12-31 23:59:59.5+00")]
        ):
            with stage.transaction("insert t") as run:
                run(f"SELECT pg_replication_origin_xact_setup('{position}', '{moment}')")
                run(f"INSERT INTO golden.t VALUES ({number})")
            stage.facts["origins"].append([lsn(position), "erp → crm"])
    with stage.transaction("insert t") as run:
        run("INSERT INTO golden.t VALUES (99)")
    stage.catch_up()


@contextmanager
def replaying(stage: Stage, name: str) -> Iterator[None]:
    """What the main session does within is marked as replicated from origin `name`."""
    literal = "'" + name + "'"
    if stage.ask(f"SELECT pg_replication_origin_oid({literal})") is None:
        stage.side.execute(f"SELECT pg_replication_origin_create({literal})")
    stage.main.execute(f"SELECT pg_replication_origin_session_setup({literal})")
    stage.main.commit()
    yield
    stage.main.execute("SELECT pg_replication_origin_session_reset()")
    stage.main.commit()
    stage.side.execute(f"SELECT pg_replication_origin_drop({literal})")


def binary(stage: Stage) -> None:
    stage.setup(
        """
        CREATE TABLE golden.b (id integer PRIMARY KEY, big bigint, txt text, raw bytea, flag boolean, at timestamptz,
            amount numeric);
        """,
        {"golden.b": ["id", "big", "txt", "raw", "flag", "at", "amount"]},
    )
    with stage.transaction("insert b", "insert b", "update b K", "delete b K") as run:
        run(
            "INSERT INTO golden.b VALUES (1, -2, 'ünï', '\\x00ff', true, '2024-01-01 00:00:00+00', 12.34),"
            " (-7, NULL, '', '', NULL, NULL, 'NaN')"
        )
        run("UPDATE golden.b SET id = 256 WHERE id = -7")
        run("DELETE FROM golden.b WHERE id = 1")
    stage.catch_up()


# `filler` is not published: it fills logical_decoding_work_mem, not this file.
STREAMED = """
CREATE TYPE golden.mood AS ENUM ('calm', 'wild');
CREATE TABLE golden.big (id integer PRIMARY KEY, note text, mood golden.mood, filler text);
ALTER TABLE golden.big ALTER filler SET STORAGE PLAIN;
CREATE TABLE golden.other (id integer PRIMARY KEY);
"""
ROW = "INSERT INTO golden.big SELECT i, '{note} ' || i, '{mood}', repeat('x', 7000) FROM generate_series({low}, {high}) i"


def streamed(stage: Stage) -> None:
    stage.setup(STREAMED, {"golden.big": ["id", "note", "mood"], "golden.other": ["id"]})
    note: list[dict[str, Any]] = []
    stage.facts["messages"] = note
    aborts: list[dict[str, int]] = []
    stage.facts["aborts"] = aborts

    def rows(run: Callable[[str], Any], word: str, low: int, mood: str = "calm") -> None:
        run(ROW.format(note=word, mood=mood, low=low, high=low + 11))

    def row_xid(run: Callable[[str], Any], key: int) -> int:
        return int(run(f"SELECT xmin::text FROM golden.big WHERE id = {key}").fetchone()[0])

    def clock() -> int:
        return int(stage.ask("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")) - EPOCH

    def abort(run: Callable[[str], Any], subxid: int, command: str) -> None:
        (xid,) = run("SELECT (pg_current_xact_id()::text::bigint % 4294967296)").fetchone()
        at, now = lsn(stage.ask("SELECT pg_current_wal_insert_lsn()")), clock()
        run(command)
        end, later = lsn(stage.ask("SELECT pg_current_wal_insert_lsn()")), clock()
        aborts.append({"xid": xid, "subxid": subxid, "after": at, "before": end, "since": now, "until": later})

    # A transaction with a subtransaction that fails after it was streamed and one that succeeds, while
    # another transaction commits in between.
    with stage.transaction(streamed=True) as run:
        rows(run, "kept", 0)
        stage.catch_up()
        run("SAVEPOINT lost")
        rows(run, "lost", 100, "wild")
        subxid = row_xid(run, 100)
        run("UPDATE golden.big SET note = 'lost too' WHERE id = 0")
        stage.catch_up()
        with stage.transaction("insert other", session=stage.side) as beside:
            beside("INSERT INTO golden.other VALUES (1)")
        abort(run, subxid, "ROLLBACK TO SAVEPOINT lost")
        run("RELEASE SAVEPOINT lost")
        stage.catch_up()
        run("SAVEPOINT kept")
        rows(run, "saved", 200)
        stage.facts["subxid_kept"] = row_xid(run, 200)
        run("RELEASE SAVEPOINT kept")
        run("UPDATE golden.big SET id = -1, mood = 'wild' WHERE id = 1")
        run("UPDATE golden.big SET note = NULL WHERE id = 2")
        run("DELETE FROM golden.big WHERE id BETWEEN 3 AND 11")
        emitted(stage, note, run, "true, 'streamed', 'm'", prefix="streamed", content=b"m".hex())
    # One that fails as a whole.
    rows(stage.main.execute, "void", 300)
    emitted(stage, note, stage.main.execute, "false, 'outside', 'n'", prefix="outside", content=b"n".hex())
    stage.catch_up()
    (xid,) = stage.main.execute("SELECT (pg_current_xact_id()::text::bigint % 4294967296)").fetchone()
    abort(stage.main.execute, xid, "ROLLBACK")
    stage.catch_up()
    # Two replicated from elsewhere. The second starts with TRUNCATE, and with that its Origin is lost:
    # the server takes it from the transaction's first record, here one about the catalog.
    with replaying(stage, "far"):
        for low, first in ((400, "DELETE FROM golden.big"), (500, "TRUNCATE golden.big, golden.other")):
            with stage.transaction(streamed=True) as run:
                run("SELECT pg_replication_origin_xact_setup('0/77', '2020-01-01 00:00:00+00')")
                run(first)
                rows(run, "far", low, "wild")
    stage.facts["origins"] = [[0, "far"]]
    stage.catch_up()


def scenarios(server: int) -> list[tuple[str, Callable[[Stage], None], dict[str, str]]]:
    """Name, play and START_REPLICATION options of all that a server of this major version can do."""
    parallel = server >= 16  # and with it, protocol version 4
    versions = [1, 2, 3, 4] if parallel else [1, 2, 3]
    found: list[tuple[str, Callable[[Stage], None], dict[str, str]]] = [
        (f"identities v{version}", identities, {"proto_version": str(version)}) for version in versions
    ]
    one = {"proto_version": "1"}
    found += [("toast", toast, one), ("truncate", truncate, one), ("types", types, one)]
    found += [("messages", messages, {**one, "messages": "true"}), ("origin", origin, one)]
    found += [("binary", binary, {**one, "binary": "true"})]
    streams = [(version, "on") for version in versions if version >= 2]
    streams += [(4, "parallel")] if parallel else []
    found += [
        (f"streamed v{version} {how}", streamed, {"proto_version": str(version), "streaming": how, "messages": "true"})
        for version, how in streams
    ]
    return found


def main(dsn: str, target: str) -> None:
    with psycopg.connect(dsn) as connection:
        server = connection.info.server_version // 10_000
    lines: list[dict[str, Any]] = []
    for name, play, options in scenarios(server):
        stage = Stage(dsn, options, binary="binary" in options)
        try:
            play(stage)
        finally:
            stage.close()
        # The slot's name is free again only once its walsender is gone.
        with psycopg.connect(dsn, autocommit=True) as connection:
            while connection.execute("SELECT FROM pg_replication_slots WHERE slot_name = 'golden'").fetchone():
                time.sleep(0.1)
        lines.append({"scenario": name, "server": server, "options": options, "facts": stage.facts})
        decoder = Decoder()
        lines += [{"scenario": name, "hex": each.hex(), "repr": repr(decoder.decode(each))} for each in stage.payloads]
        print(f"{name}: {len(stage.payloads)} messages")
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    Path(target).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

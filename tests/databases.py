"""Databases for tests. Making one costs more than most tests do (its 300 files are copied), so a database that a test leaves
is emptied for the next.

Promise: what `empty` gives holds nothing that a new database would not hold. It looks, and makes the database anew if
emptying has left anything.
"""

from __future__ import annotations

from typing import LiteralString

import psycopg
from psycopg import sql

from replicator.demo.servers import Server

FIRST_OF_USERS = 16384  # object identifiers below are the server's own

ALONE: LiteralString = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
STATEMENTS: LiteralString = """
    SELECT format('DROP PUBLICATION %I', pubname) FROM pg_publication
    UNION ALL SELECT format('DROP EVENT TRIGGER %I', evtname) FROM pg_event_trigger
    UNION ALL SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace
              WHERE nspname = 'public' OR oid >= 16384 AND nspname !~ '^pg_'
    UNION ALL SELECT 'CREATE SCHEMA public AUTHORIZATION pg_database_owner'
    UNION ALL SELECT 'GRANT USAGE ON SCHEMA public TO public'
    UNION ALL SELECT format('ALTER DATABASE %I RESET ALL', current_database())"""
CATALOGS = (
    "pg_cast", "pg_class", "pg_collation", "pg_conversion", "pg_event_trigger", "pg_extension", "pg_foreign_data_wrapper",
    "pg_foreign_server", "pg_language", "pg_largeobject_metadata", "pg_opclass", "pg_operator", "pg_policy", "pg_proc",
    "pg_publication", "pg_statistic_ext", "pg_subscription", "pg_trigger", "pg_ts_config", "pg_ts_dict", "pg_type",
)  # fmt: skip


def empty(server: Server, name: str) -> str:
    """The DSN of an empty database of that name. Whoever is still connected to it is thrown out."""
    dsn = server.dsn(name)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None:
            with psycopg.connect(dsn, autocommit=True) as inside:
                if _emptied(inside):
                    return dsn
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    return server.create_database(name)


def _emptied(connection: psycopg.Connection) -> bool:
    connection.execute(ALONE)
    with connection.transaction():
        for (statement,) in connection.execute(STATEMENTS).fetchall():
            connection.execute(statement)
    left = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT FROM {} WHERE oid >= {}").format(sql.Identifier(catalog), FIRST_OF_USERS) for catalog in CATALOGS
    )
    return connection.execute(left).fetchone() is None

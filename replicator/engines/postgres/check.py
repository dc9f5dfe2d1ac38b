"""What a server lacks for what is asked of it, as findings with what to type. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import psycopg

from replicator.engines.postgres.slots import idle_timeout, slot_findings, slot_state
from replicator.engines.postgres.sql import statement
from replicator.model.finding import Finding
from replicator.model.table import Table
from replicator.program.sql import table


def _sql(name: str) -> str:
    return statement(name, "setup.sql")


def check_server(connection: psycopg.Connection, node: str, slots: Collection[str]) -> list[Finding]:
    """Settings and privileges of one node. `slots`: the slots the configuration wants there."""
    findings = []
    version = connection.info.server_version
    if version < 150000:
        findings.append(Finding(node, "K001", f"PostgreSQL {version // 10000} is too old", "version 15 or later is needed"))
    row = connection.execute(_sql("settings")).fetchone()
    assert row is not None
    wal_level, max_slots, used_slots, max_senders, used_senders, keep = row
    if wal_level != "logical":
        findings.append(
            Finding(
                node,
                "K002",
                f"wal_level is {wal_level}",
                "ALTER SYSTEM SET wal_level = 'logical'; then restart the server",
            )
        )
    known = {r[0] for r in connection.execute(_sql("slots_like"), (list(slots),))}
    missing = len([s for s in slots if s not in known])
    if used_slots + missing > max_slots:
        findings.append(
            Finding(
                node,
                "K003",
                f"{missing} replication slots are needed and {max_slots - used_slots} of {max_slots} are free",
                f"ALTER SYSTEM SET max_replication_slots = {used_slots + missing + 2}; then restart the server",
            )
        )
    if used_senders + missing > max_senders:
        findings.append(
            Finding(
                node,
                "K004",
                f"{missing} WAL senders are needed and {max_senders - used_senders} of {max_senders} are free",
                f"ALTER SYSTEM SET max_wal_senders = {used_senders + missing + 2}; then restart the server",
            )
        )
    if keep == "-1":
        findings.append(
            Finding(
                node,
                "K006",
                "max_slot_wal_keep_size is unlimited: while the replicator is stopped, WAL is kept without end",
                "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB' (what the disk can spare); SELECT pg_reload_conf()",
                "note",
            )
        )
    return findings + _check_slots(connection, node, slots) + _check_role(connection, node)


def _check_slots(connection: psycopg.Connection, node: str, slots: Iterable[str]) -> list[Finding]:
    """How long the slots will last."""
    findings = []
    for slot in slots:
        state = slot_state(connection, slot, None)
        findings += slot_findings(state, node, slot, node, "K050") if state is not None else []
    timeout = idle_timeout(connection)
    if timeout is not None:
        message = f"idle_replication_slot_timeout is {timeout}: a replicator that is stopped for longer loses its slots"
        hint = "ALTER SYSTEM SET idle_replication_slot_timeout = 0; limit the WAL with max_slot_wal_keep_size"
        findings.append(Finding(node, "K051", message, hint, "warning"))
    return findings


def _check_role(connection: psycopg.Connection, node: str) -> list[Finding]:
    findings = []
    row = connection.execute(_sql("role")).fetchone()
    assert row is not None
    may_replicate, _, role = row
    if not may_replicate:
        findings.append(Finding(node, "K010", f"role {role} may not replicate", f'ALTER ROLE "{role}" REPLICATION'))
    row = connection.execute(_sql("may_create_schema")).fetchone()
    if not (row and row[0]):
        findings.append(
            Finding(
                node,
                "K011",
                f"role {role} may not create schema replicator",
                f'GRANT CREATE ON DATABASE ... TO "{role}"',
            )
        )
    row = connection.execute(_sql("may_use_origins")).fetchone()
    if not (row and row[0]):
        findings.append(
            Finding(
                node,
                "K012",
                f"role {role} may not use replication origins",
                "GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), pg_replication_origin_drop(text),"
                f' pg_replication_origin_session_setup(text) TO "{role}"',
            )
        )
    return findings


def check_table(
    connection: psycopg.Connection, node: str, found: Table, *, written: bool, read: bool, full: bool, publish: bool
) -> list[Finding]:
    """Privileges on one table. `full`: a two-way link wants REPLICA IDENTITY FULL, which only the owner may set.
    `publish`: it is still to be put into a publication, which only the owner may do."""
    row = connection.execute(_sql("table_privileges"), (found.name.schema, found.name.name)).fetchone()
    where = f"{node}: {found.name}"
    if row is None:
        return []
    usage, select, insert, update, delete, owner = row
    role = connection.info.user
    findings = []
    if not usage:
        findings.append(
            Finding(
                where,
                "K020",
                f"role {role} may not use schema {found.name.schema}",
                f'GRANT USAGE ON SCHEMA "{found.name.schema}" TO "{role}"',
            )
        )
    wanted = [("SELECT", select)] + ([("INSERT", insert), ("UPDATE", update), ("DELETE", delete)] if written else [])
    lacking = [name for name, there in wanted if not there]
    if lacking:
        grant = f'GRANT {", ".join(lacking)} ON {table(found.name)} TO "{role}"'
        findings.append(Finding(where, "K021", f"role {role} lacks {', '.join(lacking)}", grant))
    if publish and not owner:
        hint = f'GRANT the role that owns it TO "{role}", at least while init runs'
        findings.append(Finding(where, "K023", "only the owner of a table may put it into a publication", hint))
    if read and full and found.replica_identity != "full" and not owner:
        findings.append(
            Finding(
                where,
                "K022",
                "a two-way link needs REPLICA IDENTITY FULL, and only the owner may set it",
                f"ALTER TABLE {table(found.name)} REPLICA IDENTITY FULL",
            )
        )
    return findings


def server_clock(connection: psycopg.Connection) -> int:
    """Microseconds since 1970, by the server's clock."""
    row = connection.execute(_sql("clock")).fetchone()
    assert row is not None
    return int(row[0])

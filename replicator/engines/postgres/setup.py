"""What a database needs before a flow can run, as a list of actions: `--dry-run` prints the list that `init` executes.

Promises: `plan_setup` changes nothing and leaves out what is there already, so a second
`init` has nothing to do; `plan_teardown` gives back everything `init` changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from replicator.engines.postgres.sql import script, statement
from replicator.errors import ConfigurationError
from replicator.model.config import Node
from replicator.model.position import number
from replicator.model.table import Table, TableName
from replicator.program.sql import literal, quote, table


@dataclass(frozen=True, slots=True)
class Action:
    """One change of one node: `what` for people, `sql` for the server."""

    node: str
    what: str
    sql: str


@dataclass(frozen=True, slots=True)
class SourceWork:
    """What a node must offer to one flow that reads it."""

    flow: str
    publication: str
    slot: str
    tables: tuple[TableName, ...]
    full_identity: tuple[Table, ...]


def flow_name(source: str, target: str) -> str:
    return f"{source}_to_{target}"


def slot_name(flow: str) -> str:
    """Slot and publication of a flow. At most 63 bytes: node names are at most 31 characters, lower case."""
    return f"replicator_{flow}"[:63]


def origin_name(peer: str, node: str) -> str:
    """The replication origin, on `node`, of what came from `peer`. Origins are the server's, which may hold several nodes."""
    return f"replicator_{flow_name(peer, node)}"


def _sql(name: str) -> str:
    return statement(name, "setup.sql")


def has_state(connection: psycopg.Connection) -> bool:
    row = connection.execute(_sql("state_exists")).fetchone()
    return bool(row and row[0])


def plan_state(connection: psycopg.Connection, node: Node, peers: Sequence[str], link_ddl: Sequence[str]) -> list[Action]:
    """Schema `replicator`, the links' own tables, and an origin for each node that changes come from."""
    actions = []
    fresh = not has_state(connection)
    if fresh:
        actions.append(Action(node.name, "schema replicator with the replicator's state", script("state.sql")))
        actions.append(
            Action(
                node.name,
                f"this database is node {node.name}",
                f"INSERT INTO replicator.node (name, number) VALUES ({literal(node.name)}, {node.number})",
            )
        )
    else:
        row = connection.execute(_sql("node")).fetchone()
        if row is not None and (row[0], row[1]) != (node.name, node.number):
            raise ConfigurationError(
                f"{node.name}: this database is known as node {row[0]} (number {row[1]}), not {node.name} ({node.number})",
                "check the DSNs in the environment, or run `replicator teardown` with the old configuration",
            )
    for ddl in link_ddl:
        name = ddl.split("IF NOT EXISTS ")[1].split(" ON ")[0].split(" (")[0]
        relation = name if name.startswith("replicator.") else f"replicator.{name}"
        row = connection.execute("SELECT to_regclass(%s) IS NULL", (relation,)).fetchone()
        if row is None or row[0]:
            actions.append(Action(node.name, f"{'index' if 'INDEX' in ddl.split('(')[0] else 'table'} {name}", ddl))
    wanted = [origin_name(peer, node.name) for peer in peers]
    known = {row[0] for row in connection.execute(_sql("origins"), (wanted,))}
    actions += [
        Action(node.name, f"replication origin {name}", f"SELECT pg_replication_origin_create({literal(name)})")
        for name in wanted
        if name not in known
    ]
    return actions


def plan_source(connection: psycopg.Connection, node: str, work: SourceWork) -> list[Action]:
    """Replica identities, the publication and the slot, in this order: the slot sees only what comes after it."""
    actions = []
    for found in work.full_identity:
        if found.replica_identity != "full":
            name = table(found.name)
            back = f"ALTER TABLE {name} REPLICA IDENTITY {found.replica_identity.upper()}"
            if found.replica_identity == "index":
                back = f"ALTER TABLE {name} REPLICA IDENTITY USING INDEX {_identity_index(connection, found.name)}"
            undo = f"INSERT INTO replicator.undo (sql) VALUES ({literal(back)}) ON CONFLICT DO NOTHING"
            what = f"replica identity full of {found.name} (two-way links must see what each edit changed)"
            actions.append(Action(node, what, f"ALTER TABLE {name} REPLICA IDENTITY FULL;\n{undo}"))
    listed = ", ".join(table(t) for t in work.tables)
    row = connection.execute(_sql("publication_exists"), (work.publication,)).fetchone()
    if not (row and row[0]):
        options = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
        if connection.info.server_version >= 180000:
            # With REPLICA IDENTITY FULL the server refuses every update of a table with an unpublished generated column.
            options += ", publish_generated_columns = stored"
        sql = f"CREATE PUBLICATION {quote(work.publication)} FOR TABLE {listed} WITH ({options})"
        actions.append(Action(node, f"publication {work.publication} of {len(work.tables)} tables", sql))
    else:
        published = {TableName(*r) for r in connection.execute(_sql("publication_tables"), (work.publication,))}
        if published != set(work.tables):
            sql = f"ALTER PUBLICATION {quote(work.publication)} SET TABLE {listed}"
            actions.append(Action(node, f"publication {work.publication}: its tables", sql))
    if connection.execute(_sql("slot"), (work.slot,)).fetchone() is None:
        sql = f"SELECT pg_create_logical_replication_slot({literal(work.slot)}, 'pgoutput')"
        actions.append(Action(node, f"replication slot {work.slot}", sql))
    return actions


def _identity_index(connection: psycopg.Connection, name: TableName) -> str:
    row = connection.execute(
        "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = to_regclass(%s) AND i.indisreplident",
        (table(name),),
    ).fetchone()
    return quote(row[0]) if row else ""


def write_checkpoint(source: psycopg.Connection, target: psycopg.Connection, flow: str, slot: str) -> bool:
    """The flow's first checkpoint: where its slot starts. False when there is one already."""
    if target.execute("SELECT FROM replicator.checkpoint WHERE flow = %s", (flow,)).fetchone() is not None:
        return False
    found = source.execute(_sql("slot"), (slot,)).fetchone()
    assert found is not None
    identity = source.execute(_sql("identity")).fetchone()
    assert identity is not None
    target.execute(
        "INSERT INTO replicator.checkpoint (flow, lsn, slot, source_system, timeline) VALUES (%s, %s, %s, %s, %s)",
        (flow, found[4], slot, identity[0], identity[1]),
    )
    return True


def verify_source(source: psycopg.Connection, node: str, slot: str, system: str, timeline: int, lsn: int) -> str | None:
    """Why the flow must not go on from its checkpoint, in words; None when the source is the one it knows."""
    identity = source.execute(_sql("identity")).fetchone()
    assert identity is not None
    if identity[0] != system:
        return f"{node} is another server than the one the checkpoint speaks of (system identifier {identity[0]}, was {system})"
    if identity[1] != timeline:
        was = f"{node} is on timeline {identity[1]}, the checkpoint speaks of timeline {timeline}"
        return f"{was}: a standby was promoted or a backup restored"
    found = source.execute(_sql("slot"), (slot,)).fetchone()
    if found is None:
        return f"{node} has no replication slot {slot}"
    if found[5] == "lost":
        return f"{node}: slot {slot} was invalidated: the server has removed WAL that was still needed"
    if found[4] is not None and number(found[4]) > lsn:
        return f"{node}: slot {slot} starts at {found[4]}, after the checkpoint: it is not the slot we knew"
    return None


def plan_teardown(connection: psycopg.Connection, node: str, slots: Sequence[str], peers: Sequence[str]) -> list[Action]:
    actions = []
    for name, active in connection.execute(_sql("slots_like"), (list(slots),)).fetchall():
        if active:
            raise ConfigurationError(f"{node}: slot {name} is being read", "stop the running `replicator run` first")
        actions.append(Action(node, f"replication slot {name}", f"SELECT pg_drop_replication_slot({literal(name)})"))
    for name in slots:
        row = connection.execute(_sql("publication_exists"), (name,)).fetchone()
        if row and row[0]:
            actions.append(Action(node, f"publication {name}", f"DROP PUBLICATION {quote(name)}"))
    if has_state(connection):
        undo = connection.execute("SELECT sql FROM replicator.undo ORDER BY id DESC").fetchall()
        actions += [Action(node, sql.lower(), sql) for (sql,) in undo]
        actions.append(Action(node, "schema replicator with all state", "DROP SCHEMA replicator CASCADE"))
    wanted = [origin_name(peer, node) for peer in peers]
    for (name,) in connection.execute(_sql("origins"), (wanted,)).fetchall():
        actions.append(Action(node, f"replication origin {name}", f"SELECT pg_replication_origin_drop({literal(name)})"))
    return actions

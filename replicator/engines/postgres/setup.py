"""What a database needs before a flow can run, as a list of actions: `--dry-run` prints the list that `init` executes.

Promises: `plan_state` and `plan_source` change nothing and leave out what is there already, so a second
`init` has nothing to do; `plan_teardown` gives back everything `init` changed. What is there and no longer
needed is engines/postgres/leftovers.py's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from replicator.engines.postgres.slots import create_slot, drop_slot, identity, slot_state
from replicator.engines.postgres.sql import script, statement
from replicator.errors import ConfigurationError
from replicator.model.config import Node
from replicator.model.table import Table, TableName
from replicator.program.sql import literal, quote, table

PUBLISH = "publish = 'insert, update, delete, truncate'"
VIA_ROOT = "publish_via_partition_root = true"


@dataclass(frozen=True, slots=True)
class Action:
    """One change of one node: `what` for people, `sql` for the server.

    sign   "+" something is made, "-" removed, "~" changed
    why    the reason, for `plan`
    alone  not in a transaction with others: what makes and drops slots
    """

    node: str
    what: str
    sql: str
    sign: str = "+"
    why: str = ""
    alone: bool = False


@dataclass(frozen=True, slots=True)
class SourceWork:
    """What a node must offer to one flow that reads it. `readers`: which links read a table."""

    flow: str
    publication: str
    slot: str
    tables: tuple[TableName, ...]
    full_identity: tuple[Table, ...]
    readers: Mapping[TableName, Sequence[str]] = field(default_factory=dict)

    def read_by(self, name: TableName) -> str:
        links = self.readers.get(name, ())
        return f"link{'s' if len(links) > 1 else ''} {', '.join(links)} read{'' if len(links) > 1 else 's'} it"


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


def published(connection: psycopg.Connection, publication: str) -> set[TableName]:
    return {TableName(*row[:2]) for row in connection.execute(_sql("publication_tables"), (publication,)).fetchall()}


def relation_of(ddl: str) -> str:
    """The table or index that a statement of ours makes, with its schema."""
    found = re.search(r'IF NOT EXISTS ((?:replicator\.)?"(?:[^"]|"")+")', ddl)
    assert found is not None
    name = found[1]
    return name if name.startswith("replicator.") else f"replicator.{name}"


def plan_state(
    connection: psycopg.Connection,
    node: Node,
    peers: Sequence[str],
    link_ddl: Sequence[tuple[str, str]],
    dropped: Collection[str] = (),
) -> list[Action]:
    """Schema `replicator`, the links' own tables, and an origin for each node that changes come from. `link_ddl`: (link,
    statement). `dropped`: relations that are there still and will be gone by then."""
    actions = []
    if not has_state(connection):
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
    for link, ddl in link_ddl:
        relation = relation_of(ddl)
        row = connection.execute("SELECT to_regclass(%s) IS NULL", (relation,)).fetchone()
        if relation in dropped or row is None or row[0]:
            kind = "table" if ddl.startswith("CREATE TABLE") else "index"
            actions.append(Action(node.name, f"{kind} {relation}", ddl, why=f"state of link {link}"))
    wanted = [origin_name(peer, node.name) for peer in peers]
    known = {row[0] for row in connection.execute(_sql("origins"), (wanted,))}
    actions += [
        Action(
            node.name,
            f"replication origin {name}",
            f"SELECT pg_replication_origin_create({literal(name)})",
            why="so that what is written here is not sent back",
        )
        for name in wanted
        if name not in known
    ]
    return actions


def plan_source(connection: psycopg.Connection, node: str, work: SourceWork, renew: bool = False) -> list[Action]:
    """Replica identities, the publication and the slot, in this order: the slot sees only what comes after it. `renew`: a
    slot that is there is replaced."""
    actions = []
    for found in work.full_identity:
        if found.replica_identity != "full":
            name = table(found.name)
            back = f"ALTER TABLE IF EXISTS {name} REPLICA IDENTITY {found.replica_identity.upper()}"
            if found.replica_identity == "index":
                back = f"ALTER TABLE IF EXISTS {name} REPLICA IDENTITY USING INDEX {_identity_index(connection, found.name)}"
            undo = f"INSERT INTO replicator.undo (sql) VALUES ({literal(back)}) ON CONFLICT DO NOTHING"
            actions.append(
                Action(
                    node,
                    f"replica identity full of {found.name}",
                    f"ALTER TABLE {name} REPLICA IDENTITY FULL;\n{undo}",
                    "~",
                    f"{work.read_by(found.name)} and must see what each edit changed",
                )
            )
    actions += _publication(connection, node, work)
    there = slot_state(connection, work.slot, None) is not None
    if there and renew:
        why = "it no longer serves its flow"
        actions.append(Action(node, f"replication slot {work.slot}", drop_slot(work.slot), "-", why, alone=True))
    if renew or not there:
        sql = create_slot(connection, work.slot)
        why = f"flow {work.flow} reads from it"
        actions.append(Action(node, f"replication slot {work.slot}", sql, why=why, alone=True))
    return actions


def _publication(connection: psycopg.Connection, node: str, work: SourceWork) -> list[Action]:
    name, wanted = quote(work.publication), set(work.tables)
    what = f"publication {work.publication}"
    row = connection.execute(_sql("publication"), (work.publication,)).fetchone()
    if row is None:
        listed = ", ".join(table(t) for t in work.tables)
        options = f"{PUBLISH}, {VIA_ROOT}"
        if connection.info.server_version >= 180000:
            # With REPLICA IDENTITY FULL the server refuses every update of a table with an unpublished generated column.
            options += ", publish_generated_columns = stored"
        sql = f"CREATE PUBLICATION {name} FOR TABLE {listed} WITH ({options})"
        return [Action(node, f"{what} of {len(work.tables)} tables", sql, why=f"flow {work.flow} reads from it")]
    actions = []
    everything, via_root = row
    if not everything:
        why = "not every kind of change is published"
        actions.append(Action(node, f"{what}: what it publishes", f"ALTER PUBLICATION {name} SET ({PUBLISH})", "~", why))
    if not via_root:
        why = "partitions are to be published as their table"
        actions.append(Action(node, f"{what}: partitions", f"ALTER PUBLICATION {name} SET ({VIA_ROOT})", "~", why))
    published = {TableName(*r[:2]): r[2] for r in connection.execute(_sql("publication_tables"), (work.publication,))}
    for other in sorted(set(published) - wanted):
        sql = f"ALTER PUBLICATION {name} DROP TABLE {table(other)}"
        actions.append(Action(node, f"{what}: without {other}", sql, "-", "no link reads it"))
    for one in sorted(wanted):
        sql = f"ALTER PUBLICATION {name} ADD TABLE {table(one)}"
        if one not in published:
            actions.append(Action(node, f"{what}: with {one}", sql, "+", work.read_by(one)))
        elif published[one]:
            sql = f"ALTER PUBLICATION {name} DROP TABLE {table(one)};\n{sql}"
            actions.append(
                Action(node, f"{what}: all of {one}", sql, "~", f"only some rows or columns are published; {work.read_by(one)}")
            )
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
    found = slot_state(source, slot, None)
    assert found is not None
    target.execute(
        "INSERT INTO replicator.checkpoint (flow, lsn, slot, source_system, timeline) VALUES (%s, %s, %s, %s, %s)",
        (flow, found.confirmed, slot, *identity(source)),
    )
    return True


def plan_teardown(connection: psycopg.Connection, node: str, slots: Sequence[str], peers: Sequence[str]) -> list[Action]:
    actions = []
    for name, active in connection.execute(_sql("slots_like"), (list(slots),)).fetchall():
        if active:
            raise ConfigurationError(f"{node}: slot {name} is being read", "stop the running `replicator run` first")
        actions.append(Action(node, f"replication slot {name}", drop_slot(name)))
    for name in slots:
        if connection.execute(_sql("publication"), (name,)).fetchone() is not None:
            actions.append(Action(node, f"publication {name}", f"DROP PUBLICATION {quote(name)}"))
    if has_state(connection):
        undo = connection.execute("SELECT sql FROM replicator.undo ORDER BY id DESC").fetchall()
        actions += [Action(node, sql.lower(), sql) for (sql,) in undo]
        # Origins are the server's: without state here they are those of another database.
        wanted = [origin_name(peer, node) for peer in peers]
        for (name,) in connection.execute(_sql("origins"), (wanted,)).fetchall():
            actions.append(Action(node, f"replication origin {name}", f"SELECT pg_replication_origin_drop({literal(name)})"))
        actions.append(Action(node, "schema replicator with all state", "DROP SCHEMA replicator CASCADE"))
    return actions

"""What an initialised node has and the links no longer need, or need otherwise, as actions in the manner of setup.py.

Promises: only `replace_payload` changes anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from replicator.engines.postgres.setup import Action
from replicator.engines.postgres.slots import drop_slot
from replicator.engines.postgres.sql import statement
from replicator.model.table import TableName
from replicator.program.sql import bits, literal, quote, state, table

Numbers = Sequence[int | None]

KINDS = {"crosswalk": "pair", "tombstone": "dead pair", "ledger": "row"}


def _sql(name: str) -> str:
    return statement(name, "plan.sql")


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def state_tables(connection: psycopg.Connection) -> list[str]:
    """The links' own tables that are there, as `replicator."name"`."""
    return [state(name) for (name,) in connection.execute(_sql("state_tables")).fetchall()]


def unused_tables(
    connection: psycopg.Connection, node: str, wanted: Collection[str], remade: Collection[str]
) -> tuple[list[Action], int]:
    """State tables that no link uses, or that are to be made anew; and how many pairs go with them."""
    actions, pairs = [], 0
    for name in state_tables(connection):
        if name in wanted and name not in remade:
            continue
        kind = name.removeprefix('replicator."').split("_")[0]
        row = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
        count = int(row[0]) if row else 0
        pairs += count if kind == "crosswalk" else 0
        why = "the link has another key now" if name in remade else "no link uses it"
        lost = f"; {counted(count, KINDS[kind])} {'is' if count == 1 else 'are'} forgotten with it" if count else ""
        actions.append(Action(node, f"table {name}", f"DROP TABLE {name}", "-", why + lost))
    return actions, pairs


def same_grants(connection: psycopg.Connection, node: str, made: Sequence[str]) -> list[Action]:
    """Tables that are made anew are for whom the others are: `run` may have a role of its own."""
    if not made:
        return []
    return [
        Action(
            node,
            f"privileges of {role} on {counted(len(made), 'new table')}",
            f"GRANT {privileges} ON {', '.join(made)} TO {role}",
            why="as on the state that is there",
        )
        for role, privileges in connection.execute(_sql("grants")).fetchall()
    ]


def unneeded_identities(connection: psycopg.Connection, node: str, needed: Collection[TableName]) -> list[Action]:
    """Replica identities that we made full and no link wants so any more."""
    wanted = {table(name) for name in needed}
    actions = []
    for number, sql, there, full in connection.execute(_sql("undo")).fetchall():
        name = sql.removeprefix("ALTER TABLE ").removeprefix("IF EXISTS ").split(" REPLICA IDENTITY ")[0]
        if name in wanted:
            continue
        forget = f"DELETE FROM replicator.undo WHERE id = {number}"
        what = f"replica identity of {name.replace(chr(34), '')} as it was before"
        if there and full:
            actions.append(Action(node, what, f"{sql};\n{forget}", "~", "no link needs its whole rows any more"))
        else:
            why = "it has been changed since" if there else "the table is gone"
            actions.append(Action(node, f"{what}: nothing to give back", forget, "-", why))
    return actions


def unneeded_flows(connection: psycopg.Connection, node: str, prefix: str, wanted: Collection[str]) -> list[Action]:
    """Slots and publications of flows that read this node and that no link moves anything in. `prefix`: how their names
    begin; `wanted`: the names that are used."""
    actions = []
    for name, kind, _ in connection.execute(_sql("flows_read"), (prefix, prefix)).fetchall():
        if name in wanted:
            continue
        why = "no link moves anything in this direction"
        if kind == "slot":
            what = f"replication slot {name}"
            actions.append(Action(node, what, drop_slot(name), "-", why, alone=True))
        else:
            actions.append(Action(node, f"publication {name}", f"DROP PUBLICATION {quote(name)}", "-", why))
    return actions


def unneeded_rows(
    connection: psycopg.Connection, node: str, flows: Mapping[str, Mapping[str, Collection[str]]], remade: Collection[str]
) -> list[Action]:
    """What is kept for flows, links and fields that are no more. `flows`: those between this node and others, with the
    fields of their links by name; `remade`: links whose records are paired anew."""
    actions = []
    for (flow,) in connection.execute(_sql("flows_written")).fetchall():
        if flow not in flows:
            sql = f"DELETE FROM replicator.checkpoint WHERE flow = {literal(flow)}"
            actions.append(Action(node, f"checkpoint of flow {flow}", sql, "-", "no link moves anything in this direction"))
    for place, flow, link, field, count in connection.execute(_sql("rows_of_links")).fetchall():
        known = flows.get(flow, {}).get(link)
        where = f"flow = {literal(flow)} AND link = {literal(link)}"
        gone = known is None or link in remade
        why = f"link {link} is no longer in flow {flow}" if known is None else f"link {link} pairs its records anew"
        if place == "conflict" and (gone or (field is not None and field not in (known or ()))):
            only = "field IS NULL" if field is None else f"field = {literal(field)}"
            sql = (
                f"UPDATE replicator.conflict SET status = 'gone', settled = clock_timestamp()"
                f" WHERE status = 'open' AND {where} AND {only}"
            )
            why = why if gone else f"link {link} has no field {field} any more"
            actions.append(Action(node, f"{counted(count, 'open conflict')} of {link}.{field or '*'} closed", sql, "~", why))
        elif place != "conflict" and gone:
            what = "set aside" if place == "parked" else "on the way back"
            sql = f"DELETE FROM replicator.{place} WHERE {where}"
            actions.append(Action(node, f"{counted(count, 'change')} {what} in replicator.{place}", sql, "-", why))
    return actions


def renumbered_ledger(connection: psycopg.Connection, node: str, link: str, ledger: str, numbers: Numbers) -> list[Action]:
    """`numbers`: for each field the number that it has in the ledger's masks so far."""
    row = connection.execute(f"SELECT count(*) FROM {ledger}").fetchone()
    if row is None or not row[0]:
        return []
    masks = " || ".join("B'0'" if n is None else f"get_bit(fields, {n})::bit(1)" for n in numbers)
    width = len(numbers)
    sql = f"UPDATE {ledger} SET fields = {masks};\nDELETE FROM {ledger} WHERE fields = {bits(0, width)}"
    why = f"link {link} has other fields, or in another order"
    return [Action(node, f"field numbers in {counted(row[0], 'row')} of {ledger}", sql, "~", why)]


def payloads(connection: psycopg.Connection, link: str) -> dict[str, list[tuple[int, str, dict[str, Any]]]]:
    """What is set aside and what is on its way back for a link: table -> (id, flow, payload)."""
    return {place: connection.execute(_sql(f"payloads_{place}"), (link,)).fetchall() for place in ("parked", "outbox")}


def replace_payload(connection: psycopg.Connection, place: str, number: int, payload: dict[str, Any]) -> None:
    connection.execute(_sql(f"replace_{place}"), (Jsonb(payload), number))

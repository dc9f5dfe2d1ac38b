"""A flow goes on from a new slot, though changes may be missing: what a person asks for with `init --renew`, as actions.

Promises: the gap is noted on the target in the same transaction that moves the checkpoint, so no flow goes on past one that
nobody can see. On another server or timeline positions and numbers begin anew: what the state remembers of later ones is
brought down to where the new slot starts, or it would be taken for something that is still to come.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from replicator.engines.postgres.setup import Action
from replicator.engines.postgres.slots import Source, identity, slot_state
from replicator.engines.postgres.sql import statement
from replicator.model.link import Link
from replicator.model.position import number, text
from replicator.program import names
from replicator.program.sql import literal, quote, state

NEVER = "'FFFFFFFF/FFFFFFFF'::pg_lsn"  # of a tombstone: it holds for ever


def renewed(
    source: psycopg.Connection,
    target: psycopg.Connection,
    direction: tuple[str, str],
    flow: str,
    slot: str,
    links: Sequence[Link],
    saved: Source,
    reason: str,
) -> list[Action]:
    """What is to be done when the slot is made, in this order; before that (a dry run) with the source's present position."""
    system, timeline = identity(source)
    found = slot_state(source, slot, None)
    start = found.confirmed if found is not None and not found.lost and found.confirmed else _now(source)
    old = f"{literal(saved.system)}, {saved.timeline}, {literal(text(saved.position))}"
    new = f"{literal(system)}, {timeline}, {literal(start)}"
    elsewhere = (system, timeline) != (saved.system, saved.timeline) or number(start) < saved.position
    tables = {node: _tables(connection) for node, connection in zip(direction, (source, target), strict=True)}
    actions = []
    at_source = [*_lowered(direction[0], direction[0], links, tables, start), _answers("outbox", flow, start)]
    if elsewhere:
        what = f"positions of the former {direction[0]} that are remembered here"
        why = f"{direction[0]} counts anew"
        actions.append(Action(direction[0], what, ";\n".join(at_source), "~", why))
    at_target = [
        f"INSERT INTO replicator.gap (flow, reason, from_system, from_timeline, from_lsn, system, timeline, upto_lsn)"
        f" VALUES ({literal(flow)}, {literal(reason)}, {old}, {new})",
        f"UPDATE replicator.checkpoint SET (source_system, timeline, lsn) = ({new})"
        f"{_numbers(source) if elsewhere else ''}, updated = clock_timestamp()"
        f" WHERE flow = {literal(flow)}",
        f"DELETE FROM replicator.proof WHERE link IN ({', '.join(literal(link.name) for link in links)})",
    ]
    if elsewhere:
        at_target += [*_lowered(direction[1], direction[0], links, tables, start), _answers("parked", flow, start)]
    what = f"checkpoint of flow {flow}: {text(saved.position)} -> {start}, and a note of the gap in replicator.gap"
    actions.append(Action(direction[1], what, ";\n".join(at_target), "~", reason))
    return actions


def _now(connection: psycopg.Connection) -> str:
    row = connection.execute(statement("now", "slots.sql"), ("0/0",)).fetchone()
    assert row is not None
    return str(row[0])


def _tables(connection: psycopg.Connection) -> set[str]:
    return {name for (name,) in connection.execute(statement("state_tables", "plan.sql")).fetchall()}


def _lowered(on: str, source: str, links: Sequence[Link], tables: dict[str, set[str]], start: str) -> list[str]:
    """Tombstones and ledgers on a node that speak of the source's positions."""
    column, at = quote(names.position_column(source)), f"{literal(start)}::pg_lsn"
    done = []
    for link in links:
        if names.tombstone(link) in tables[on]:
            after = f"{column} > {at} AND {column} < {NEVER}"
            done.append(f"UPDATE {state(names.tombstone(link))} SET {column} = {at} WHERE {after}")
        if on == source and names.ledger(link) in tables[on]:
            done.append(f"UPDATE {state(names.ledger(link))} SET lsn = {at} WHERE lsn > {at}")
    return done


def _answers(place: str, flow: str, start: str) -> str:
    """What is on its way or set aside does not wait for a position that may never come."""
    at = f"({literal(start)}::pg_lsn - '0/0'::pg_lsn)"
    return (
        f"UPDATE replicator.{place} SET payload = jsonb_set(payload, '{{lsn}}', to_jsonb({at}))"
        f" WHERE flow = {literal(flow)} AND (payload ->> 'lsn')::numeric > {at}"
    )


def _numbers(source: psycopg.Connection) -> str:
    """A source that was set back gives numbers a second time: none of these may count as seen."""
    row = source.execute(statement("numbers", "slots.sql")).fetchone()
    pairs, answers = row or (0, 0)
    return f", mirrored = least(mirrored, {pairs:d}), returned = least(returned, {answers:d})"

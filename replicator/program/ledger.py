"""What was written on the target and where in its WAL, and edits of the target's users that the other side does not know yet."""

from __future__ import annotations

from replicator.program import names
from replicator.program.anew import added_by
from replicator.program.contest import WRITING
from replicator.program.layout import Layout
from replicator.program.sql import PARAMETER, declared, quote, same_key, state, with_parameters


def edits_ddl(layout: Layout, edits: str) -> str:
    """The session's copy of the edits that the target's users made lately. `until`: from there on the source's changes were made knowing them; NULL: not yet."""
    keys = ", ".join(f"t_{i} {declared(c)}" for i, c in enumerate(layout.key_columns(layout.target)))
    return f"CREATE TEMP TABLE IF NOT EXISTS {edits} ({keys}, fields bit varying, stamp bigint, answer boolean, until pg_lsn)"


def remember(layout: Layout, work: str) -> str:
    """What was written here and where in the WAL: taken after the rows are locked, so it lies behind every edit we waited for.
    Records that an edit made again count as edited: the delete is still on its way to the other side."""
    columns = ", ".join(quote(k) for k in layout.target_keys)
    keys = ", ".join(f"w.t_{i}" for i in range(len(layout.target_keys)))
    risen = " OR w.how = 'V'" if layout.link.update_wins else ""
    written = f"((w.act IN {WRITING} AND w.fields <> {layout.none}){risen})"
    fields = "w.fields"  # with those that others carry
    for carried, by in layout.carried.items():
        fields = f"({fields} | CASE get_bit(w.fields, {by}) WHEN 1 THEN {layout.mask({carried})} ELSE {layout.none} END)"
    added, first, touches = "NULL::jsonb", "NULL::jsonb", "replicator.touches(w.fields, w.stamp, w.lsn, w.marks) m"
    if layout.counted:
        added = added_by(layout)
        first = f"CASE m.place WHEN 1 THEN {added} END"  # the amounts are of all parts together
        touches = "replicator.touches(w.fields, w.stamp, w.lsn, w.marks) WITH ORDINALITY m (fields, stamp, lsn, place)"
    return (
        f"INSERT INTO {state(names.ledger(layout.link))} ({columns}, fields, stamp, lsn, source_lsn, added)"
        f" SELECT {keys}, {fields}, w.stamp, pg_current_wal_insert_lsn(), w.lsn, {added} FROM {work} w"
        f" WHERE w.marks IS NULL AND {written}"
        f" UNION ALL SELECT {keys}, m.fields & {fields}, m.stamp, pg_current_wal_insert_lsn(), m.lsn, {first} FROM {work} w"
        f" CROSS JOIN LATERAL {touches} WHERE w.marks IS NOT NULL AND {written}"
    )


def edits_recover(layout: Layout) -> str:
    """Edits of the source's users, by the source's key, that the target wrote after the way back had last drained, and in which
    of its transactions."""
    keys = ", ".join(f"x.{quote(k)}::text" for k in layout.source_keys)
    on = same_key("x", layout.target_keys, "g", layout.target_keys)
    return with_parameters(
        f"SELECT ARRAY[{keys}], g.fields::text, g.stamp, g.lsn::text, g.xmin::text FROM {state(names.ledger(layout.link))} g"
        f" JOIN {state(names.crosswalk(layout.link))} x ON {on} WHERE g.lsn > CAST({PARAMETER} AS pg_lsn)"
    )


def newest_entry(layout: Layout) -> str:
    """The newest that may lie over an edit that is still unread."""
    return with_parameters(
        f"SELECT max(lsn)::text FROM {state(names.ledger(layout.link))} WHERE lsn > CAST({PARAMETER} AS pg_lsn)"
    )


def forget_ledger(layout: Layout) -> str:
    ledger = state(names.ledger(layout.link))
    return with_parameters(f"DELETE FROM {ledger} WHERE lsn <= CAST({PARAMETER} AS pg_lsn) AND stamp < {PARAMETER}")

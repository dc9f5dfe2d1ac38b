"""Edits against deletes: which of them wins is the link's word, the same on both nodes.

Where deletes win (the default), an edit that meets a dead record is logged and gone. Where
edits win (`update_deleted: update`), a delete that meets an unseen edit is not carried out,
and an edit that finds its record deleted makes it again under its old key, with what the
link's fields hold; columns that no field fills take their defaults.
"""

from __future__ import annotations

from replicator.mapping.expressions import to_sql
from replicator.program import names
from replicator.program.contest import CONFLICT, flow_and_link, key_text, keys_text, pair_of
from replicator.program.layout import Layout
from replicator.program.sql import literal, quote, same_key, state
from replicator.program.staging import NOBODYS, REMADE


def _rule(layout: Layout) -> str:
    return literal("update wins" if layout.link.update_wins else "delete wins")


def _missing(layout: Layout) -> str:
    return f"NOT EXISTS (SELECT FROM {layout.target_relation} t WHERE {pair_of('t', layout.target_side.key)})"


def tombstone_join(layout: Layout, dead: str) -> str:
    """`g`: the tombstone of a pair whose death the source's change did not know."""
    keys = ", ".join(f"d.{quote(k)}" for k in layout.target_keys)
    tombstone = state(names.tombstone(layout.link))
    return (
        f"LEFT JOIN LATERAL (SELECT {keys}, d.deleted_on FROM {tombstone} d WHERE x.{quote(layout.target_keys[0])} IS NULL"
        f" AND {dead} ORDER BY d.at DESC LIMIT 1) g ON true"
    )


def marked_join(layout: Layout, before: list[str]) -> str:
    """`z`: the target's record of a pair that was taken apart when one side marked it as deleted, if it is still there."""
    keys = ", ".join(f"d.{quote(k)}" for k in layout.target_keys)
    tombstone, crosswalk = state(names.tombstone(layout.link)), state(names.crosswalk(layout.link))
    dead = " AND ".join(f"d.{quote(k)} = {b}" for k, b in zip(layout.source_keys, before, strict=True))
    there = same_key("t", layout.target_side.key, "d", layout.target_keys)
    taken = same_key("y", layout.target_keys, "d", layout.target_keys)
    return (
        f"LEFT JOIN LATERAL (SELECT {keys} FROM {tombstone} d JOIN {layout.target_relation} t ON {there}"
        f" WHERE x.{quote(layout.target_keys[0])} IS NULL AND {dead} AND NOT EXISTS (SELECT FROM {crosswalk} y WHERE {taken})"
        f" ORDER BY d.at DESC LIMIT 1) z ON true"
    )


def restore(layout: Layout, work: str) -> str | None:
    """Records that were only marked as deleted take part again, and are paired as before."""
    how = layout.link.restore.get(layout.target)
    if how is None:
        return None
    sets = ", ".join(f"{quote(c)} = {to_sql(e, lambda name: 't.' + quote(name))}" for c, e in how.assignments)
    return (
        f"WITH back AS (UPDATE {work} w SET act = 'A' WHERE act = 'Z' RETURNING w.*)"
        f" UPDATE {layout.target_relation} t SET {sets} FROM back w WHERE {pair_of('t', layout.target_side.key)}"
    )


def stand_up(layout: Layout, work: str, edits: str) -> str:
    """Deletes that meet an edit made here unseen: logged, and where edits win, kept back."""
    on = " AND ".join(f"e.t_{i} = w.t_{i}" for i in range(len(layout.target_keys)))
    winner = layout.target if layout.link.update_wins else layout.source
    kept = ""
    if layout.link.update_wins:
        kept = f", kept AS (UPDATE {work} w SET act = 'K' FROM met WHERE met.seq = w.seq RETURNING 1)"
    return (
        f"WITH met AS (SELECT w.seq, max(e.stamp) AS theirs FROM {work} w JOIN {edits} e ON {on}"
        f" WHERE w.act = 'D' AND NOT e.answer AND (e.until IS NULL OR e.until > w.lsn) GROUP BY w.seq),"
        f" logged AS ({CONFLICT} SELECT {flow_and_link(layout)}, 'delete_origin_differs', NULL, {keys_text(layout)}, NULL, NULL,"
        f" w.stamp, met.theirs, w.lsn, {literal(winner)}, {_rule(layout)}, {literal(str(layout.link.mark))}"
        f" FROM met JOIN {work} w USING (seq) RETURNING 1){kept}"
        f" SELECT (SELECT count(*) FROM logged)"
    )


def missed(layout: Layout, work: str) -> str | None:
    """Edits whose record is gone here and will be made again: (seq). What is not theirs may have been written on the source
    since, so they are read anew."""
    if not layout.link.update_wins:
        return None
    return f"SELECT seq FROM {work} w WHERE w.act = 'R' OR (w.act = 'U' AND w.op NOT IN {NOBODYS} AND {_missing(layout)})"


def revive(layout: Layout, work: str) -> str | None:
    """Edits whose record is gone here make it again, where edits win (V: its pair lives, R: its pair had died). Returns how
    many there are, and how many of them are edits of users and logged."""
    if not layout.link.update_wins:
        return None
    return (
        f"WITH risen AS (UPDATE {work} w SET act = CASE w.act WHEN 'U' THEN 'V' ELSE 'R' END, how = CASE w.act WHEN 'U' THEN 'V' ELSE 'R' END"
        f" WHERE (w.act = 'U' AND w.op NOT IN {NOBODYS} AND {_missing(layout)}) OR w.act = 'R' RETURNING w.*),"
        f" logged AS ({CONFLICT} SELECT {flow_and_link(layout)}, 'update_deleted', NULL, {keys_text(layout)}, NULL, NULL, w.stamp, NULL,"
        f" w.lsn, {literal(layout.source)}, {_rule(layout)}, {literal(str(layout.link.mark))} FROM risen w"
        f" WHERE w.op <> {literal(REMADE)} RETURNING 1)"
        f" SELECT (SELECT count(*) FROM risen), (SELECT count(*) FROM logged)"
    )


def rise(layout: Layout, work: str) -> str | None:
    """The records made again, under the keys they had."""
    if not layout.link.update_wins:
        return None
    columns = dict(layout.created_columns)
    columns |= {layout.target_column(i).name: f"w.v_{i}" for i in (*layout.written, *layout.owned)}
    keys = layout.key_columns(layout.target)
    columns |= {column.name: f"w.t_{i}" for i, column in enumerate(keys)}
    overriding = " OVERRIDING SYSTEM VALUE" if any(c.identity_always for c in keys) else ""
    return (
        f"INSERT INTO {layout.target_relation} ({', '.join(quote(c) for c in columns)}){overriding}"
        f" SELECT {', '.join(columns.values())} FROM {work} w WHERE act IN ('R', 'V') ORDER BY seq"
    )


def too_late(layout: Layout, work: str) -> str:
    """Edits that met a dead pair, that are a stub's, or of a row that is gone (two ways: its own delete is on its way)."""
    gone = "update_deleted" if layout.link.two_way else "update_missing"
    return (
        f"{CONFLICT} SELECT {flow_and_link(layout)}, CASE w.act WHEN 'T' THEN 'update_deleted' WHEN 'S' THEN 'update_missing'"
        f" ELSE {literal(gone)} END, NULL, {keys_text(layout)}, NULL, NULL, w.stamp, NULL, w.lsn, {literal(layout.target)},"
        f" CASE w.act WHEN 'S' THEN 'a stub has no edits' ELSE 'delete wins' END, {literal(str(layout.link.mark))} FROM {work} w"
        f" WHERE w.op NOT IN {NOBODYS} AND (w.act IN ('T', 'S') OR (w.act = 'U' AND {_missing(layout)}))"
    )


def nothing_to_delete(layout: Layout, work: str) -> str | None:
    """Deletes of records that are gone here already: both sides agree, and it is written down."""
    rule = layout.link.delete.get(layout.target)
    if rule is not None and rule.kind == "ignore":
        return None
    return (
        f"{CONFLICT} SELECT {flow_and_link(layout)}, 'delete_missing', NULL, {keys_text(layout)}, NULL, NULL, w.stamp, NULL, w.lsn,"
        f" {literal(layout.source)}, 'delete wins', {literal(str(layout.link.mark))} FROM {work} w"
        f" WHERE w.act = 'D' AND {_missing(layout)}"
    )


def clashes(layout: Layout, work: str) -> str | None:
    """For a record that was refused: per unique key of the target's that it breaks, the columns and the key of the record
    that has these values. None if no unique key consists of columns that the link writes."""
    values = dict(layout.created_columns)
    own = pair_of("t", layout.target_side.key)
    asked = []
    for columns in layout.target_table.unique_keys:
        if all(c in values for c in columns):
            on = " AND ".join(f"t.{quote(c)} = {values[c]}" for c in columns)
            key = key_text([f"t.{quote(k)}" for k in layout.target_side.key])
            asked.append(
                f"SELECT {literal(', '.join(columns))}, {key} FROM {work} w JOIN {layout.target_relation} t ON {on}"
                f" WHERE ({own}) IS NOT TRUE"
            )
    return " UNION ALL ".join(asked) or None

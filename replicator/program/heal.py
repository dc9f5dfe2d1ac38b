"""Healing: an edit that was read late, after an older value had been applied over it, is written back on its own node.

Runs on the *source* of a flow before its batch is applied (CONVERGENCE.md, rule 3). An edit
with a smaller stamp than what was applied over it is beaten, which is logged. A record that
was created anew after its pair had died takes nothing from the dead pair, whatever the stamps.
"""

from __future__ import annotations

from replicator.model.table import Column
from replicator.program import names
from replicator.program.layout import Layout
from replicator.program.passing import announce_healed
from replicator.program.program import Heal
from replicator.program.sql import PARAMETER, declared, differs, literal, quote, same_key, state, with_parameters


def heal_of(layout: Layout) -> Heal | None:
    healing = layout.temporary("heal")
    columns = [layout.feed.columns.index(k) for k in layout.source_side.key]
    own: dict[int, Column] = {i: layout.source_table.column(layout.link.fields[i].columns[layout.source]) for i in layout.healed}
    columns += [layout.feed.columns.index(c.name) for c in own.values()]
    keys = layout.key_columns(layout.source)
    ddl = ", ".join(
        ['seq bigint, op "char", fields bit varying, stamp bigint, lsn pg_lsn, marks text']
        + [f"k_{i} {declared(c)}" for i, c in enumerate(keys)]
        + [f"v_{i} {declared(c)}" for i, c in own.items()]
    )
    return Heal(
        setup=f"CREATE TEMP TABLE IF NOT EXISTS {healing} ({ddl})",
        load=f"COPY {healing} FROM STDIN",
        columns=tuple(columns),
        merge=with_parameters(_merge(layout, healing, own)),
        clear=f"DELETE FROM {healing}",
        announce=announce_healed(layout, healing, _late(layout, healing)),
    )


TOUCHED = "CROSS JOIN LATERAL replicator.touches(h.fields, h.stamp, h.lsn, h.marks) m"


def _late(layout: Layout, healing: str) -> str:
    """`l`: the rows something was applied over since, with the fields that are to be written back."""
    keys = layout.source_keys
    ledger, crosswalk = state(names.ledger(layout.link)), state(names.crosswalk(layout.link))
    own_keys = tuple(f"k_{i}" for i in range(len(keys)))
    met = f"(m.fields & g.fields & {layout.mask(set(layout.healed))})"
    return (
        # A pair that died takes its ledger's authority with it: its values never beat a record made anew.
        f"late AS MATERIALIZED (SELECT h.seq, bit_or({met}) AS met, bit_or(CASE WHEN g.stamp > m.stamp"
        f" AND NOT (h.op = 'I' AND x.{quote(keys[0])} IS NULL) THEN {met} ELSE {layout.none} END) AS beaten,"
        f" max(g.stamp) AS theirs FROM {healing} h {TOUCHED}"
        f" JOIN {ledger} g ON {same_key('g', keys, 'h', own_keys)} AND g.lsn > m.lsn AND {met} <> {layout.none}"
        f" AND g.lsn > CAST({PARAMETER} AS pg_lsn)"
        f" LEFT JOIN {crosswalk} x ON {same_key('x', keys, 'h', own_keys)} GROUP BY h.seq),"
        f" l AS MATERIALIZED (SELECT seq, met, theirs, met & ~beaten AS healing FROM late)"
    )


def _merge(layout: Layout, healing: str, own: dict[int, Column]) -> str:
    none, side = layout.none, layout.source_side
    ledger = state(names.ledger(layout.link))
    keys = layout.source_keys
    own_keys = tuple(f"k_{i}" for i in range(len(keys)))
    sets = ", ".join(
        f"{quote(c.name)} = CASE WHEN get_bit(l.healing, {i}) = 1 THEN h.v_{i} ELSE t.{quote(c.name)} END" for i, c in own.items()
    )
    fields = ", ".join(
        f"({i}, {literal(layout.link.fields[i].name)}, h.v_{i}::text, t.{quote(c.name)}::text,"
        f" {differs(c, 't.' + quote(c.name), f'h.v_{i}')}, {literal(str(layout.link.fields[i].rule))},"
        f" {literal(str(layout.link.fields[i].rule.mark))})"
        for i, c in own.items()
    )
    key = own_keys[0] if len(own_keys) == 1 else "concat_ws(',', " + ", ".join(f"h.{k}::text" for k in own_keys) + ")"
    here = same_key("t", side.key, "h", own_keys)
    listed = ", ".join("h." + k for k in own_keys)
    return (
        f"WITH {_late(layout, healing)},"
        f" logged AS (INSERT INTO replicator.conflict (flow, link, kind, field, target_key, incoming, existing,"
        f" incoming_stamp, existing_stamp, winner, rule, place)"
        f" SELECT {literal(f'{layout.target}_to_{layout.source}')}, {literal(layout.link.name)}, 'update_origin_differs', f.name, {key}::text,"
        f" f.theirs, f.ours, l.theirs, h.stamp,"
        f" CASE WHEN get_bit(l.healing, f.number) = 1 THEN {literal(layout.source)} ELSE {literal(layout.target)} END, f.rule, f.place"
        f" FROM l JOIN {healing} h USING (seq) JOIN {layout.source_relation} t ON {here}"
        f" CROSS JOIN LATERAL (VALUES {fields}) f (number, name, ours, theirs, differs, rule, place)"
        f" WHERE get_bit(l.met, f.number) = 1 AND f.differs RETURNING 1),"
        f" healed AS (UPDATE {layout.source_relation} t SET {sets} FROM l JOIN {healing} h USING (seq)"
        f" WHERE {here} AND l.healing <> {none} RETURNING h.seq, pg_current_wal_insert_lsn() AS lsn)"
        f" INSERT INTO {ledger} ({', '.join(quote(k) for k in keys)}, fields, stamp, lsn, source_lsn)"
        f" SELECT {listed}, m.fields & l.healing, m.stamp, healed.lsn, m.lsn FROM healed JOIN l USING (seq)"
        f" JOIN {healing} h USING (seq) {TOUCHED} WHERE m.fields & l.healing <> {none}"
    )

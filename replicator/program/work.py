"""The session's table `work`: what it holds of each record of a batch, and how the stage is projected into it.

One row a record: its pair is found, its values are cast and translated, what it waits for is told, and `act` says what is
to become of it. Every later step of a paired link reads only this.
"""

from __future__ import annotations

from replicator.model.stamp import NODES
from replicator.program import names
from replicator.program.adopt import match_columns, match_names, match_value
from replicator.program.existence import marked_join, tombstone_join
from replicator.program.layout import Layout
from replicator.program.names import fitted
from replicator.program.rows import minted_early
from replicator.program.sql import declared, literal, quote, same_key, state
from replicator.program.staging import NOBODYS, can_be_filled, hold_choices, joins_of, waits_for
from replicator.program.stubs import comes_from_stubs, fills_stubs
from replicator.program.waiting import may_wait, self_references


def work_ddl(layout: Layout, work: str) -> str:
    columns = ["seq bigint", 'act "char"', 'op "char"', "stamp bigint", "lsn pg_lsn", "fields bit varying"]
    columns += ["marks text", "kept bit varying", "miss smallint", "raw text", "awaited text", "stub boolean"]
    columns += ["born boolean NOT NULL DEFAULT false"]
    columns += [f"{quote(f's_{i}')} {c.portable}" for i, c in enumerate(layout.key_columns(layout.source))]
    columns += [f"{quote(f't_{i}')} {declared(c)}" for i, c in enumerate(layout.key_columns(layout.target))]
    columns += [f"v_{i} {declared(layout.target_column(i))}" for i in layout.projected]
    columns += [
        f"i_{i} {declared(layout.target_column(i))}" for i, f in enumerate(layout.link.fields) if layout.target in f.initial
    ]
    columns += [
        f"f_{i} {layout.source_table.column(layout.link.fields[i].columns[layout.source]).portable}"
        for i in self_references(layout)
    ]
    columns += [f"{part}_{i} text" for i in can_be_filled(layout) for part in "lk"]
    columns += [f"m_{j} {declared(c)}" for j, c in enumerate(match_columns(layout))]
    if layout.link.update_wins:
        columns += ['how "char"']
    if layout.weighed or layout.counted:
        columns += [f"mine bit varying NOT NULL DEFAULT {layout.none}", f"answer bit varying NOT NULL DEFAULT {layout.none}"]
    if layout.weighed:
        columns += ["known bit varying"] + [f"x_{i} {declared(layout.target_column(i))}" for i in layout.weighed]
    columns += [f"d_{i} numeric" for i in layout.counted]
    columns += [f"b_{i} {declared(layout.target_column(i))}" for i in layout.returning_after_triggers]
    return f"CREATE TEMP TABLE IF NOT EXISTS {work} ({', '.join(columns)})"


def project(layout: Layout, stage: str, work: str, minted: tuple[str, ...] = ()) -> str:
    """stage -> work. `minted`: by part of the target's key, what a new record gets."""
    crosswalk, tombstone = state(names.crosswalk(layout.link)), state(names.tombstone(layout.link))
    source_keys = layout.source_keys
    before = [f"s.{quote(fitted('o_' + k))}" for k in layout.source_side.key]
    now = [f"s.{quote(fitted('n_' + k))}" for k in layout.source_side.key]
    target_keys = [f"x.{quote(k)}" for k in layout.target_keys]
    paired = f"{target_keys[0]} IS NOT NULL"
    risen = layout.link.update_wins
    dead = " AND ".join(f"d.{quote(k)} = {b}" for k, b in zip(source_keys, before, strict=True))
    # A record made anew in the transaction that deleted the old one comes after it.
    at = f"d.{quote(names.position_column(layout.source))}"
    dead += f" AND ({at} > s.lsn OR ({at} = s.lsn AND s.op <> 'I'))"
    filling, choices = _of_stubs(layout)
    # A record that takes no part and took none before has left nothing: whatever it is paired with by now came to it later.
    leaves = f"{paired} AND NOT s.stays" if layout.tells_stays else paired
    choices += [
        f"WHEN s.op = 'D'{f' OR NOT {layout.inside}' if layout.inside else ''} THEN CASE WHEN {leaves} THEN 'D' ELSE 'X' END",
        f"WHEN {paired} THEN 'U'",
    ]
    if risen:
        choices.append(
            f"WHEN g.deleted_on = {literal(layout.target)} AND s.op NOT IN {NOBODYS} THEN 'R' WHEN g.deleted_on IS NOT NULL THEN 'T'"
        )
    else:
        choices.append(f"WHEN EXISTS (SELECT FROM {tombstone} d WHERE {dead}) THEN 'T'")
    restored = layout.target in layout.link.restore
    if restored:
        choices.append(f"WHEN z.{quote(layout.target_keys[0])} IS NOT NULL THEN 'Z'")
    # What may not be made here may still be paired with what is there.
    if layout.target_side.slice:
        choices.append("WHEN true THEN 'P'")
    elif layout.may_create:
        choices.append(f"WHEN NOT {layout.may_create} THEN 'P'")
    new = f"(NOT ({paired}){f' OR {filling}' if filling else ''})"
    choice = hold_choices(layout, born=new)
    miss, raw, awaited = choice if choice else ("NULL", "NULL", "NULL")
    written = layout.mask(set(layout.written))
    changed = f"s.fields & {written}"
    if layout.constant:
        changed = (
            f"CASE WHEN {changed} = {layout.none} THEN {layout.none} ELSE {changed} | {layout.mask(set(layout.constant))} END"
        )
    # Without whole before images a value that TOAST keeps off the wire is not known.
    whole = written if layout.link.two_way else changed
    everything = layout.mask(set(range(layout.width)))
    values = {
        "seq": "s.seq",
        "act": f"CASE {' '.join(choices)} ELSE 'I' END",
        "op": "s.op",
        "stamp": "s.stamp",
        "lsn": "s.lsn",
        "fields": f"CASE {f'WHEN {filling} THEN {whole} ' if filling else ''}WHEN {paired} THEN {changed} ELSE {written} END",
        "marks": f"CASE WHEN {new} AND s.op = 'U' AND s.fields <> {everything} THEN {_marks_of_all()} ELSE s.marks END",
        "kept": f"CASE WHEN {new} THEN {layout.none} ELSE s.fields & {layout.mask(set(layout.owned))} END",
        "miss": miss,
        "raw": raw,
        "awaited": awaited,
        "stub": filling or "NULL",
    }
    values |= {f"s_{i}": n for i, n in enumerate(now)}
    for i, key in enumerate(layout.target_keys):
        known = [target_keys[i], *([f"g.{quote(key)}"] if risen else []), *([f"z.{quote(key)}"] if restored else [])]
        values[f"t_{i}"] = f"COALESCE({', '.join(known)})" if len(known) > 1 else known[0]
        if filling:
            values[f"t_{i}"] = f"CASE WHEN {filling} AND NOT {_stub_is_there(layout)} THEN NULL ELSE {values[f't_{i}']} END"
        if minted:
            values[f"t_{i}"] = f"CASE WHEN a.act = 'I' AND a.miss IS NULL THEN {minted[i]} ELSE {values[f't_{i}']} END"
    values |= {f"d_{i}": f"s.d_{i}" for i in layout.counted}
    if layout.weighed:
        values["known"] = "s.based | s.answers"
    for i, base in layout.projected_before.items():
        values[f"x_{i}"] = f"CASE WHEN get_bit(s.answers, {i}) = 1 THEN s.x_{i} ELSE {base.value} END"
    values |= {f"v_{i}": p.value for i, p in layout.projected.items()}
    values |= {f"i_{i}": layout.initial_value(i) for i, f in enumerate(layout.link.fields) if layout.target in f.initial}
    values |= {
        f"f_{i}": f"s.{quote(fitted('n_' + layout.link.fields[i].columns[layout.source]))}" for i in self_references(layout)
    }
    for i, miss_later in can_be_filled(layout).items():
        values[f"l_{i}"] = f"CASE WHEN {miss_later} THEN {layout.projected[i].raw} END"
        values[f"k_{i}"] = f"CASE WHEN {miss_later} THEN {waits_for(layout.projected[i])} END"
    values |= {f"m_{j}": match_value(layout, a, b) for j, (a, b) in enumerate(match_names(layout))}
    decided = ""
    if minted:
        decided = f"CROSS JOIN LATERAL (SELECT {values['act']} AS act, {miss}::smallint AS miss OFFSET 0) a"
        values |= {"act": "a.act", "miss": "a.miss"}
    # Key by key: a join may read the whole crosswalk for every batch, which takes the longer the more there is.
    on = " AND ".join(f"x.{quote(k)} = {b}" for k, b in zip(source_keys, before, strict=True))
    return (
        f"INSERT INTO {work} ({', '.join(quote(c) for c in values)}) SELECT {', '.join(values.values())}"
        f" FROM {stage} s LEFT JOIN LATERAL (SELECT * FROM {crosswalk} x WHERE {on} LIMIT 1) x ON true {tombstone_join(layout, dead) if risen else ''}"
        f" {marked_join(layout, before) if restored else ''} {joins_of(layout)} {decided}"
    )


def enter(layout: Layout, stage: str, work: str) -> str:
    """`project` for writing: what is new has its key at once, where one is minted early (rows.py)."""
    return project(layout, stage, work, minted_early(layout))


def acts(layout: Layout, work: str) -> str:
    """What there is to do: (act, rows, whether some of them may have to wait for something)."""
    return f"SELECT act::text, count(*), bool_or({may_wait(layout)}) FROM {work} GROUP BY act"


def _of_stubs(layout: Layout) -> tuple[str, list[str]]:
    """A condition over `x`: the record comes that the target has a stub of ('' if there are none); and the acts of rows that
    stubs concern."""
    choices, filling = [], ""
    if fills_stubs(layout):
        filling = f"(x.stub IS NOT DISTINCT FROM {literal(layout.target)})"
        outside = f"WHEN NOT {layout.inside} THEN 'X' " if layout.inside else ""
        choices.append(f"WHEN {filling} AND s.op <> 'D' THEN CASE {outside}WHEN {_stub_is_there(layout)} THEN 'A' ELSE 'I' END")
    if comes_from_stubs(layout):
        choices.append(f"WHEN x.stub = {literal(layout.source)} THEN CASE s.op WHEN 'D' THEN 'E' ELSE 'S' END")
    return filling, choices


def _stub_is_there(layout: Layout) -> str:
    same = same_key("t", layout.target_side.key, "x", layout.target_keys)
    return f"EXISTS (SELECT FROM {layout.target_relation} t WHERE {same})"


def _marks_of_all() -> str:
    """An edit of a record that the other side may have, unpaired so far, brings all of it along: what nobody has edited there is
    as old as can be (stamp.undated), or it would beat edits of the other side."""
    edited = "COALESCE(s.marks::jsonb, jsonb_build_array(jsonb_build_array(s.fields::text, s.stamp, s.lsn::text)))"
    return f"({edited} || jsonb_build_array(jsonb_build_array((~s.fields)::text, s.stamp % {NODES}, s.lsn::text)))::text"

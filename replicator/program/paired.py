"""Links whose records are paired in a crosswalk: generated keys, two ways, or both.

Each batch is projected into `work` (one row a record, its pair found, its values cast),
and every later step reads only that. A decision changes `work.act` or takes bits out of
`work.fields`; writing obeys them and decides nothing.
"""

from __future__ import annotations

from replicator.model.stamp import NODES
from replicator.program import names
from replicator.program.contest import WRITING, contest, key_text, pair_of, put_back
from replicator.program.derive import derive_of, record_sql
from replicator.program.existence import (
    clashes,
    marked_join,
    missed,
    nothing_to_delete,
    restore,
    revive,
    rise,
    stand_up,
    tombstone_join,
    too_late,
)
from replicator.program.existing import pages_of
from replicator.program.heal import heal_of
from replicator.program.joined import joined_ddl
from replicator.program.layout import Layout, is_plain
from replicator.program.mirror import mirror_of
from replicator.program.names import fitted
from replicator.program.passing import alone, announce, is_passed
from replicator.program.program import Program, Steps
from replicator.program.returned import before, returned
from replicator.program.slices import move_of
from replicator.program.sql import PARAMETER, declared, literal, quote, same_key, state, with_parameters
from replicator.program.staging import (
    NOBODYS,
    can_be_filled,
    can_come_later,
    can_miss,
    delete_statement,
    hold_choices,
    joins_of,
    loosen,
    stage_ddl,
    stage_load,
    unique_fields,
    waits_for,
    waits_of,
)
from replicator.program.stubs import comes_from_stubs, fills_stubs, stubs_of_batch
from replicator.program.weigh import meet_counters, waits_no_more, weigh


def compile_paired(layout: Layout) -> Program:
    stage, work, edits = layout.temporary("stage"), layout.temporary("work"), layout.temporary("edits")
    tracked = bool(layout.tracked)
    remembered = layout.link.two_way  # edits that were made here and are not known on the other side yet
    joined = joined_ddl(layout.target_side, layout.link.name, layout.tables)
    setup = [*joined, stage_ddl(layout, stage), _work_ddl(layout, work)]
    if remembered:
        setup.append(_edits_ddl(layout, edits))
    return Program(
        link=layout.link,
        source=layout.source,
        target=layout.target,
        feed=layout.feed,
        paired=True,
        setup=tuple(setup),
        load=stage_load(stage),
        steps=Steps(
            project=_project(layout, stage, work),
            count=f"SELECT act::text, count(*) FROM {work} GROUP BY act",
            hold=_hold(layout, work),
            adopt=_adopt(layout, work),
            restore=restore(layout, work),
            later=_later(layout, work),
            ambiguous=f"DELETE FROM {work} WHERE act = 'M' RETURNING seq",
            mint=_mint(layout, work),
            contest=contest(layout, work, edits) if tracked or layout.weighed else None,
            stand_up=stand_up(layout, work, edits) if remembered else None,
            missed=missed(layout, work),
            revive=revive(layout, work),
            rise=rise(layout, work),
            weigh=weigh(layout, work, edits),
            meet_counters=meet_counters(layout, work),
            before=before(layout, work),
            put_back=put_back(layout, work),
            insert=_insert(layout, work),
            insert_alone=_insert_alone(layout, work),
            pair=_pair(layout, work),
            swallowed=_swallowed(layout, work) if layout.target_table.has_triggers else None,
            resolve_self=_resolve_self(layout, work),
            update=_update(layout, work),
            aside=_aside(layout, work),
            too_late=too_late(layout, work),
            nothing_to_delete=nothing_to_delete(layout, work),
            clashes=clashes(layout, work),
            waits_no_more=waits_no_more(layout, work),
            rekey=_rekey(layout, work),
            loosen=loosen(layout, work),
            delete=delete_statement(layout, f"{work} w", f"w.act = 'D' AND {pair_of('t', layout.target_side.key)}"),
            move=move_of(layout, work, [name for _, name in match_names(layout)], _bury(layout, work, "'G'")),
            bury=_bury(layout, work, "'D', 'E'" if comes_from_stubs(layout) else "'D'"),
            announce=announce(layout, work),
            alone=alone(layout, work) if match_names(layout) else None,
            remember=_remember(layout, work) if remembered else None,
            returned=returned(layout, work),
            clear=(f"TRUNCATE {stage}, {work}",),
            sweep=(f"DELETE FROM {stage}", f"DELETE FROM {work}"),
        ),
        enrichments=layout.enrichments,
        waits=waits_of(layout),
        stubs=stubs_of_batch(layout, work),
        fills=fills_stubs(layout),
        mirror=mirror_of(layout),
        heal=heal_of(layout) if tracked else None,
        derive=derive_of(layout),
        pages=pages_of(layout),
        edits_load=f"COPY {edits} FROM STDIN" if remembered else None,
        edits_forget=with_parameters(f"DELETE FROM {edits} WHERE until <= CAST({PARAMETER} AS pg_lsn)") if remembered else None,
        edits_landed=f"DELETE FROM {edits} WHERE until IS NULL" if remembered else None,
        edits_recover=_edits_recover(layout) if remembered else None,
        forget_ledger=_forget_ledger(layout) if remembered else None,
        newest_entry=_newest_entry(layout) if remembered else None,
        find_key=_find_key(layout) if layout.weighed else None,
        reread=_reread(layout) if tracked or layout.weighed or layout.link.update_wins else None,
    )


def _self_references(layout: Layout) -> list[int]:
    return [i for i in layout.projected if layout.refers_to_self(i) and i in layout.written]


def _awaited(layout: Layout) -> list[int]:
    """References to records of this link without which a record is not written (`missing: wait`)."""
    return [i for i in _self_references(layout) if layout.projected[i].miss is not None and i not in can_come_later(layout)]


def _work_ddl(layout: Layout, work: str) -> str:
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
        for i in _self_references(layout)
    ]
    columns += [f"{part}_{i} text" for i in can_be_filled(layout) for part in "lk"]
    columns += [f"m_{j} {declared(c)}" for j, c in enumerate(_match_columns(layout))]
    if layout.link.update_wins:
        columns += ['how "char"']
    if layout.weighed or layout.counted:
        columns += [f"mine bit varying NOT NULL DEFAULT {layout.none}", f"answer bit varying NOT NULL DEFAULT {layout.none}"]
    if layout.weighed:
        columns += ["known bit varying"] + [f"x_{i} {declared(layout.target_column(i))}" for i in layout.weighed]
    columns += [f"d_{i} numeric" for i in layout.counted]
    columns += [f"b_{i} {declared(layout.target_column(i))}" for i in layout.returning_after_triggers]
    return f"CREATE TEMP TABLE IF NOT EXISTS {work} ({', '.join(columns)})"


def _edits_ddl(layout: Layout, edits: str) -> str:
    keys = ", ".join(f"t_{i} {declared(c)}" for i, c in enumerate(layout.key_columns(layout.target)))
    return f"CREATE TEMP TABLE IF NOT EXISTS {edits} ({keys}, fields bit varying, stamp bigint, answer boolean, until pg_lsn)"


def match_names(layout: Layout) -> list[tuple[str, str]]:
    """(source column, target column) that identify a record both sides may have. Plainly copied keys always do."""
    match = layout.link.match
    if match:
        return list(zip(match[layout.source], match[layout.target], strict=True))
    copies = {
        f.columns[layout.target]: f.columns[layout.source]
        for f in layout.link.fields
        if len(f.columns) == 2 and ((is_plain(f) and layout.target in f.writes) or layout.target_side.slice)
    }
    keys = layout.target_side.key
    return [(copies[k], k) for k in keys] if all(k in copies for k in keys) else []


def _match_columns(layout: Layout) -> list:  # type: ignore[type-arg]
    return [layout.target_table.column(name) for _, name in match_names(layout)]


def _match_value(layout: Layout, source_column: str, target_column: str) -> str:
    for i, projected in (*layout.projected.items(), *layout.matched.items()):
        columns = layout.link.fields[i].columns
        if columns[layout.target] == target_column and columns.get(layout.source, source_column) == source_column:
            return projected.value
    column = layout.target_table.column(target_column)
    return f"CAST(s.{quote(fitted('n_' + source_column))} AS {declared(column)})"


def _project(layout: Layout, stage: str, work: str) -> str:
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
    choices += [
        f"WHEN s.op = 'D'{f' OR NOT {layout.inside}' if layout.inside else ''} THEN CASE WHEN {paired} THEN 'D' ELSE 'X' END",
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
    values |= {f"d_{i}": f"s.d_{i}" for i in layout.counted}
    if layout.weighed:
        values["known"] = "s.based | s.answers"
    for i, base in layout.projected_before.items():
        values[f"x_{i}"] = f"CASE WHEN get_bit(s.answers, {i}) = 1 THEN s.x_{i} ELSE {base.value} END"
    values |= {f"v_{i}": p.value for i, p in layout.projected.items()}
    values |= {f"i_{i}": layout.initial_value(i) for i, f in enumerate(layout.link.fields) if layout.target in f.initial}
    values |= {
        f"f_{i}": f"s.{quote(fitted('n_' + layout.link.fields[i].columns[layout.source]))}" for i in _self_references(layout)
    }
    for i, miss_later in can_be_filled(layout).items():
        values[f"l_{i}"] = f"CASE WHEN {miss_later} THEN {layout.projected[i].raw} END"
        values[f"k_{i}"] = f"CASE WHEN {miss_later} THEN {waits_for(layout.projected[i])} END"
    values |= {f"m_{j}": _match_value(layout, a, b) for j, (a, b) in enumerate(match_names(layout))}
    # Key by key: a join may read the whole crosswalk for every batch, which takes the longer the more there is.
    on = " AND ".join(f"x.{quote(k)} = {b}" for k, b in zip(source_keys, before, strict=True))
    return (
        f"INSERT INTO {work} ({', '.join(quote(c) for c in values)}) SELECT {', '.join(values.values())}"
        f" FROM {stage} s LEFT JOIN LATERAL (SELECT * FROM {crosswalk} x WHERE {on} LIMIT 1) x ON true {tombstone_join(layout, dead) if risen else ''}"
        f" {marked_join(layout, before) if restored else ''} {joins_of(layout)}"
    )


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


def _hold(layout: Layout, work: str) -> str | None:
    """What still cannot be told: misses found when projecting, and references to records of this link not made yet."""
    selfs = _awaited(layout)
    if not can_miss(layout) and not selfs:
        return None
    pending = " ".join(f"WHEN {_unsettled(i)} THEN {i}" for i in selfs)
    number = f"CASE WHEN miss IS NOT NULL THEN miss {pending} END"
    raw = f"CASE WHEN miss IS NOT NULL THEN raw {' '.join(f'WHEN {_unsettled(i)} THEN f_{i}::text' for i in selfs)} END"
    awaited = f"CASE WHEN miss IS NOT NULL THEN awaited ELSE {literal(layout.link.name)} END"
    acts = "'I', 'A', 'U', 'P'" if layout.target_side.slice else "'I', 'A', 'U'"
    return f"DELETE FROM {work} WHERE act IN ({acts}) AND {number} IS NOT NULL RETURNING seq, {number}, {raw}, {awaited}"


def _unsettled(number: int) -> str:
    return f"f_{number} IS NOT NULL AND v_{number} IS NULL AND get_bit(fields, {number}) = 1"


def _later(layout: Layout, work: str) -> str | None:
    """References that are left empty until their record comes: (seq, field, raw value, link)."""
    asked = [
        f"SELECT seq, {i}, l_{i}, k_{i} FROM {work} WHERE act IN ('N', 'U') AND l_{i} IS NOT NULL AND v_{i} IS NULL AND get_bit(fields, {i}) = 1"
        for i in can_come_later(layout)
    ]
    return " UNION ALL ".join(asked) or None


def _adopt(layout: Layout, work: str) -> str | None:
    matched = match_names(layout)
    if not matched:
        return None
    crosswalk = state(names.crosswalk(layout.link))
    on = " AND ".join(f"t.{quote(b)} = w.m_{j}" for j, (_, b) in enumerate(matched))
    # A slice begins to be there by being written; the first that comes for a row has it.
    is_slice = layout.target_side.slice
    inside = f" AND {layout.target_inside}" if layout.target_inside and not is_slice else ""
    keys = [f"t.{quote(k)}" for k in layout.target_side.key]
    free = same_key("x", layout.target_keys, "t", layout.target_side.key)
    paired = f"EXISTS (SELECT FROM {crosswalk} x WHERE {free})"
    # A stub says nothing of what its record matches: neither it nor another record is taken by guessing.
    taken, doubtful = paired, "false"
    if comes_from_stubs(layout):
        taken, doubtful = paired.replace(free, f"{free} AND x.stub IS NULL"), paired
    acts = "'I', 'P', 'A'" if fills_stubs(layout) else "'I', 'P'"  # A: it has a stub here
    found = ", ".join(f"{k} AS t_{i}" for i, k in enumerate(keys))
    ours = "row_number() OVER (PARTITION BY {} ORDER BY w.seq)" if is_slice else "count(*) OVER (PARTITION BY {})"
    chosen = (
        "CASE WHEN theirs = 1 AND ours = 1 THEN 'A' ELSE 'X' END"
        if is_slice
        else "CASE WHEN theirs = 1 AND ours = 1 AND w.act <> 'A' AND NOT doubtful THEN 'A' ELSE 'M' END"
    )
    return (
        f"WITH found AS (SELECT w.seq, {found}, count(*) OVER (PARTITION BY w.seq) AS theirs, {doubtful} AS doubtful,"
        f" {ours.format(', '.join(keys))} AS ours FROM {work} w JOIN {layout.target_relation} t ON {on}"
        f" WHERE w.act IN ({acts}){inside} AND NOT {taken})"
        f" UPDATE {work} w SET act = {chosen},"
        f" {', '.join(f't_{i} = f.t_{i}' for i in range(len(keys)))} FROM found f WHERE f.seq = w.seq"
    )


def _mint(layout: Layout, work: str) -> str | None:
    """Evaluates the key's own default, so that each staged record knows its key before it is inserted."""
    given = {column for column, _ in layout.created_columns}
    values = []
    for i, column in enumerate(layout.key_columns(layout.target)):
        if column.name in given:
            source = next(value for name, value in layout.created_columns if name == column.name)
            values.append(f"t_{i} = {source}")
        elif column.default is not None:
            values.append(f"t_{i} = {column.default}")
    return f"UPDATE {work} w SET {', '.join(values)} WHERE act = 'I' AND t_0 IS NULL" if values else None


def _insert(layout: Layout, work: str) -> str:
    columns = dict(layout.created_columns)
    keys = layout.key_columns(layout.target)
    for i, column in enumerate(keys):
        columns[column.name] = f"w.t_{i}"
    overriding = " OVERRIDING SYSTEM VALUE" if any(c.identity_always for c in keys) else ""
    settled = "".join(f" AND NOT ({_unsettled(i)})" for i in _awaited(layout))
    return (
        f"INSERT INTO {layout.target_relation} ({', '.join(quote(c) for c in columns)}){overriding}"
        f" SELECT {', '.join(columns.values())} FROM {work} w WHERE act = 'I'{settled} ORDER BY seq"
    )


def _insert_alone(layout: Layout, work: str) -> str | None:
    """The same for a batch of one record, which may get its key from a trigger: whatever it is, it is told."""
    if not layout.target_table.has_triggers or layout.target_side.extends:
        return None
    keys = [quote(k) for k in layout.target_side.key]
    sets = ", ".join(f"t_{i} = made.{k}" for i, k in enumerate(keys))
    return (
        f"WITH made AS ({_insert(layout, work)} RETURNING {', '.join(keys)}) UPDATE {work} SET {sets} FROM made WHERE act = 'I'"
    )


def _pair(layout: Layout, work: str) -> str:
    """New pairs; rows that were inserted become `N` so that a second pass over a link to itself leaves them alone."""
    keys = [f"s_{i}" for i in range(len(layout.source_keys))] + [f"t_{i}" for i in range(len(layout.target_keys))]
    settled = "".join(f" AND NOT ({_unsettled(i)})" for i in _awaited(layout))
    columns = ", ".join(quote(k) for k in (*layout.source_keys, *layout.target_keys))
    texts = ", ".join(f"{quote(k)}::text" for k in (*layout.source_keys, *layout.target_keys))
    filled = ""
    if fills_stubs(layout):
        own = " AND ".join(f"x.{quote(k)} = made.s_{i}" for i, k in enumerate(layout.source_keys))
        filled = (
            f", filled AS (DELETE FROM {state(names.crosswalk(layout.link))} x USING made WHERE x.stub IS NOT NULL AND {own})"
        )
    # A record made again whose pair lives (V) needs no other.
    again = " OR act IN ('R', 'V')" if layout.link.update_wins else ""
    unpaired = " WHERE how IS DISTINCT FROM 'V'" if layout.link.update_wins else ""
    how = ", how" if layout.link.update_wins else ""
    return (
        f"WITH made AS (UPDATE {work} SET act = CASE WHEN act = 'A' THEN 'U' ELSE 'N' END, born = true"
        f" WHERE (act = 'I'{settled}) OR (act = 'A'{settled}){again} RETURNING {', '.join(keys)}, stamp{how}){filled}"
        f" INSERT INTO {state(names.crosswalk(layout.link))} ({columns}, seq, made)"
        f" SELECT {', '.join(keys)}, nextval('replicator.pair_seq'), stamp FROM made{unpaired} RETURNING {texts}, seq"
    )


def _swallowed(layout: Layout, work: str) -> str:
    there = f"SELECT FROM {layout.target_relation} t WHERE {pair_of('t', layout.target_side.key)}"
    return f"SELECT count(*) FROM {work} w WHERE act = 'N' AND NOT EXISTS ({there})"


def _resolve_self(layout: Layout, work: str) -> str | None:
    selfs = _self_references(layout)
    if not selfs:
        return None
    crosswalk = state(names.crosswalk(layout.link))
    source_key, target_key = quote(layout.source_keys[0]), quote(layout.target_keys[0])
    found = {i: f"(SELECT x.{target_key} FROM {crosswalk} x WHERE x.{source_key} = w.f_{i})" for i in selfs}
    sets = ", ".join(f"v_{i} = COALESCE(w.v_{i}, CAST({f} AS {declared(layout.target_column(i))}))" for i, f in found.items())
    news = " OR ".join(f"({_unsettled(i)} AND {f} IS NOT NULL)" for i, f in found.items())
    return f"UPDATE {work} w SET {sets} WHERE act IN ('I', 'A', 'U') AND ({news})"


def _update(layout: Layout, work: str) -> str:
    passed, filling = is_passed(layout, layout.target), fills_stubs(layout)
    initial = [i for i, f in enumerate(layout.link.fields) if layout.target in f.initial]
    sets, changes = [], []
    for i in layout.written:
        name = quote(layout.target_column(i).name)
        value, change = f"w.v_{i}", layout.differing("t", i, f"w.v_{i}")
        if passed and i in layout.tracked:
            change = "true"  # also where it changes nothing: the further nodes must hear of the stamp
        if i in layout.counted:
            value, change = f"COALESCE(t.{name}, 0) + w.d_{i}", f"w.d_{i} <> 0"
        if filling and i in initial:
            continue
        sets.append(f"{name} = CASE WHEN get_bit(w.fields, {i}) = 1 THEN {value} ELSE t.{name} END")
        changes.append(f"(get_bit(w.fields, {i}) = 1 AND {change})")
    for i in initial if filling else ():
        name = quote(layout.target_column(i).name)
        now = f"CASE WHEN get_bit(w.fields, {i}) = 1 THEN w.v_{i} ELSE t.{name} END" if i in layout.written else f"t.{name}"
        value = f"CASE WHEN w.stub THEN w.i_{i} ELSE {now} END"
        sets.append(f"{name} = {value}")
        changes.append(layout.differing("t", i, value))
    if not sets:
        return ""
    return (
        f"UPDATE {layout.target_relation} t SET {', '.join(sets)} FROM {work} w"
        f" WHERE w.act IN {WRITING} AND {pair_of('t', layout.target_side.key)} AND ({' OR '.join(changes)})"
    )


def _aside(layout: Layout, work: str) -> str | None:
    sets, changes = [], []
    for i, value in unique_fields(layout).items():
        name = quote(layout.target_column(i).name)
        changed = f"get_bit(w.fields, {i}) = 1 AND {layout.differing('t', i, f'w.v_{i}')}"
        sets.append(f"{name} = CASE WHEN {changed} THEN {value} ELSE t.{name} END")
        changes.append(f"({changed})")
    if not sets:
        return None
    return (
        f"UPDATE {layout.target_relation} t SET {', '.join(sets)} FROM {work} w"
        f" WHERE w.act IN {WRITING} AND {pair_of('t', layout.target_side.key)} AND ({' OR '.join(changes)})"
    )


def _rekey(layout: Layout, work: str) -> str:
    crosswalk = state(names.crosswalk(layout.link))
    sets = ", ".join(f"{quote(k)} = w.s_{i}" for i, k in enumerate(layout.source_keys))
    changed = " OR ".join(f"x.{quote(k)} <> w.s_{i}" for i, k in enumerate(layout.source_keys))
    texts = ", ".join(f"x.{quote(k)}::text" for k in (*layout.source_keys, *layout.target_keys))
    return (
        f"UPDATE {crosswalk} x SET {sets}, seq = nextval('replicator.pair_seq') FROM {work} w"
        f" WHERE w.act IN {WRITING} AND {pair_of('x', layout.target_keys)} AND ({changed}) RETURNING {texts}, x.seq"
    )


def _bury(layout: Layout, work: str, acts: str) -> str:
    """Dead pairs: changes of the source up to the delete, and of the target up to now, came before anyone knew."""
    keys = [quote(k) for k in (*layout.source_keys, *layout.target_keys)]
    source_lsn, target_lsn = (quote(names.position_column(n)) for n in (layout.source, layout.target))
    ignored = layout.link.delete.get(layout.target)
    here = "'FFFFFFFF/FFFFFFFF'::pg_lsn" if ignored and ignored.kind == "ignore" else "pg_current_wal_insert_lsn()"
    # Of a stub that is gone the record itself may be on its way.
    here = f"CASE WHEN act = 'E' THEN '0/0'::pg_lsn ELSE {here} END" if "'E'" in acts else here
    gone = ", ".join(f"x.{k}" for k in keys)
    texts = ", ".join(f"{k}::text" for k in keys)
    return (
        f"WITH gone AS (DELETE FROM {state(names.crosswalk(layout.link))} x USING {work} w"
        f" WHERE w.act IN ({acts}) AND {pair_of('x', layout.target_keys)} RETURNING {gone}, w.act, w.lsn, w.stamp)"
        f" INSERT INTO {state(names.tombstone(layout.link))} ({', '.join(keys)}, {source_lsn}, {target_lsn}, stamp, seq, deleted_on)"
        f" SELECT {', '.join(keys)}, lsn, {here}, stamp, nextval('replicator.pair_seq'), {literal(layout.source)} FROM gone"
        f" RETURNING {texts}, seq, {source_lsn}::text, {target_lsn}::text, stamp::text"
    )


def _remember(layout: Layout, work: str) -> str:
    """What was written here and where in the WAL: taken after the rows are locked, so it lies behind every edit we waited for.
    Records that an edit made again count as edited: the delete is still on its way to the other side."""
    columns = ", ".join(quote(k) for k in layout.target_keys)
    keys = ", ".join(f"w.t_{i}" for i in range(len(layout.target_keys)))
    risen = " OR w.how = 'V'" if layout.link.update_wins else ""
    written = f"((w.act IN {WRITING} AND w.fields <> {layout.none}){risen})"
    fields = "w.fields"  # with those that others carry
    for carried, by in layout.carried.items():
        fields = f"({fields} | CASE get_bit(w.fields, {by}) WHEN 1 THEN {layout.mask({carried})} ELSE {layout.none} END)"
    return (
        f"INSERT INTO {state(names.ledger(layout.link))} ({columns}, fields, stamp, lsn, source_lsn)"
        f" SELECT {keys}, {fields}, w.stamp, pg_current_wal_insert_lsn(), w.lsn FROM {work} w WHERE w.marks IS NULL AND {written}"
        f" UNION ALL SELECT {keys}, m.fields & {fields}, m.stamp, pg_current_wal_insert_lsn(), m.lsn FROM {work} w"
        f" CROSS JOIN LATERAL replicator.touches(w.fields, w.stamp, w.lsn, w.marks) m WHERE w.marks IS NOT NULL AND {written}"
    )


def _edits_recover(layout: Layout) -> str:
    """Edits of the source's users, by the source's key, that the target wrote after the way back had last drained."""
    keys = ", ".join(f"x.{quote(k)}::text" for k in layout.source_keys)
    on = same_key("x", layout.target_keys, "g", layout.target_keys)
    return with_parameters(
        f"SELECT ARRAY[{keys}], g.fields::text, g.stamp, g.lsn::text FROM {state(names.ledger(layout.link))} g"
        f" JOIN {state(names.crosswalk(layout.link))} x ON {on} WHERE g.lsn > CAST({PARAMETER} AS pg_lsn)"
    )


def _newest_entry(layout: Layout) -> str:
    """The newest that may lie over an edit that is still unread."""
    return with_parameters(
        f"SELECT max(lsn)::text FROM {state(names.ledger(layout.link))} WHERE lsn > CAST({PARAMETER} AS pg_lsn)"
    )


def _forget_ledger(layout: Layout) -> str:
    ledger = state(names.ledger(layout.link))
    return with_parameters(f"DELETE FROM {ledger} WHERE lsn <= CAST({PARAMETER} AS pg_lsn) AND stamp < {PARAMETER}")


def _find_key(layout: Layout) -> str:
    columns = [f"x.{quote(k)}" for k in layout.source_keys]
    wanted = f"CAST({PARAMETER} AS {layout.key_columns(layout.source)[0].portable})" if len(columns) == 1 else PARAMETER
    known = columns[0] if len(columns) == 1 else key_text(columns)
    parts = ", ".join(f"{c}::text" for c in columns)
    return with_parameters(f"SELECT ARRAY[{parts}] FROM {state(names.crosswalk(layout.link))} x WHERE {known} = {wanted}")


def _reread(layout: Layout) -> str:
    texts = ", ".join(f"r.{quote(c)}::text" for c in layout.feed.columns)
    keys = " AND ".join(f"r.{quote(c.name)} = CAST({PARAMETER} AS {declared(c)})" for c in layout.key_columns(layout.source))
    listed = ", ".join(quote(c) for c in layout.feed.columns)
    return with_parameters(f"SELECT ARRAY[{texts}] FROM ({record_sql(layout)}) AS r ({listed}) WHERE {keys}")

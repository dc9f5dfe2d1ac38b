"""The fast path: a one-way link whose target key is the source key. No crosswalk, no ledger, no comparison beyond
"is it different": the stage is projected straight into the target."""

from __future__ import annotations

from replicator.mapping.expressions import to_sql
from replicator.program.derive import derive_of
from replicator.program.existing import pages_of
from replicator.program.layout import Layout
from replicator.program.names import fitted
from replicator.program.passing import announce_moment
from replicator.program.program import Program, Steps
from replicator.program.sql import bits, declared, mask_of, quote, table
from replicator.program.staging import (
    act_filter,
    delete_statement,
    hold_choices,
    joins_of,
    stage_ddl,
    stage_load,
    stage_load_bulk,
    stage_load_one,
    staged_columns,
    stand_in,
    unique_fields,
    waits_of,
)
from replicator.program.stubs import stubs_of_copies


def compile_direct(layout: Layout) -> Program:
    stage = layout.temporary("stage")
    return Program(
        link=layout.link,
        source=layout.source,
        target=layout.target,
        feed=layout.feed,
        paired=False,
        setup=(stage_ddl(layout, stage),),
        load=stage_load(stage),
        load_one=stage_load_one(layout, stage),
        load_bulk=stage_load_bulk(layout, stage),
        staged=staged_columns(layout),
        steps=Steps(
            project="",
            hold=_hold(layout, stage),
            insert=_insert(layout, stage),
            insert_new=_insert(layout, stage, new=True),
            update=_update(layout, stage),
            update_partial=_update_partial(layout, stage),
            aside=_aside(layout, stage),
            apart=_apart(layout, stage),
            delete=_delete(layout, stage),
            clear=(f"TRUNCATE {stage}",),
            sweep=(f"DELETE FROM {stage}",),
            announce=announce_moment(layout, layout.target),
        ),
        enrichments=layout.enrichments,
        waits=waits_of(layout),
        stubs=stubs_of_copies(layout, stage),
        derive=derive_of(layout),
        pages=pages_of(layout),
    )


def key_values(layout: Layout) -> list[tuple[str, str]]:
    """(target key column, SQL of its value before the change)."""
    return [
        (column.name, f"CAST(s.{quote(fitted('o_' + key))} AS {declared(column)})")
        for column, key in zip(layout.key_columns(layout.target), layout.source_side.key, strict=True)
    ]


def _update(layout: Layout, stage: str) -> str:
    """Whole images: every written column, where any of them differs."""
    values = [(i, quote(layout.target_column(i).name), layout.projected[i].value) for i in layout.written]
    sets = ", ".join(f"{name} = {value}" for _, name, value in values)
    differs = " OR ".join(layout.differing("t", i, value) for i, _, value in values)
    return _update_statement(layout, stage, sets, f"s.fields = {_everything(layout)}", differs)


def _update_partial(layout: Layout, stage: str) -> str:
    """Rows with an unchanged TOAST value: a field that reads it keeps what is there."""
    sets, differs = [], []
    for i in layout.written:
        name, value = quote(layout.target_column(i).name), layout.projected[i].value
        sets.append(f"{name} = CASE WHEN get_bit(s.fields, {i}) = 1 THEN {value} ELSE t.{name} END")
        differs.append(f"(get_bit(s.fields, {i}) = 1 AND {layout.differing('t', i, value)})")
    only = f"s.fields <> {_everything(layout)}"
    return _update_statement(layout, stage, ", ".join(sets), only, " OR ".join(differs))


def _aside(layout: Layout, stage: str) -> str | None:
    sets, differs = [], []
    for i, value in unique_fields(layout).items():
        name, changed = quote(layout.target_column(i).name), layout.differing("t", i, layout.projected[i].value)
        sets.append(f"{name} = CASE WHEN {changed} THEN {value} ELSE t.{name} END")
        differs.append(changed)
    return _update_statement(layout, stage, ", ".join(sets), "true", " OR ".join(differs)) if sets else None


def _apart(layout: Layout, stage: str) -> str | None:
    """Rows whose keys change take one that nobody has for the moment in which others take theirs."""
    columns = zip(layout.key_columns(layout.source), layout.key_columns(layout.target), strict=True)
    for source, target in columns:
        value = stand_in(target)
        if value is None or source.base_type != target.base_type:
            continue
        before, now = f"s.{quote(fitted('o_' + source.name))}", f"s.{quote(fitted('n_' + source.name))}"
        same = " AND ".join(f"t.{quote(name)} = {was}" for name, was in key_values(layout))
        moves = " AND ".join([*act_filter(layout, "'U'"), f"{before} <> {now}"])
        given = f"CAST(a.stand_in AS {declared(target)})"
        return (
            f"WITH away AS MATERIALIZED (SELECT s.seq, {value} AS stand_in FROM {stage} s WHERE {moves}),"
            f" left_key AS (UPDATE {table(layout.target_side.table)} t SET {quote(target.name)} = {given}"
            f" FROM {stage} s JOIN away a USING (seq) WHERE {same} RETURNING s.seq)"
            f" UPDATE {stage} s SET {quote(fitted('o_' + source.name))} = CAST(a.stand_in AS {source.portable})"
            f" FROM away a JOIN left_key l USING (seq) WHERE a.seq = s.seq"
        )
    return None


def _update_statement(layout: Layout, stage: str, sets: str, only: str, differs: str) -> str:
    where = [f"t.{quote(name)} = {value}" for name, value in key_values(layout)]
    where += [*act_filter(layout, "'U'"), only, f"({differs})"]
    target = table(layout.target_side.table)
    return f"UPDATE {target} t SET {sets} FROM {stage} s {joins_of(layout)} WHERE {' AND '.join(where)}"


def _everything(layout: Layout) -> str:
    return bits(mask_of(range(layout.width)), layout.width)


def _insert(layout: Layout, stage: str, new: bool = False) -> str:
    """`new`: every row is an insert, and none is there already."""
    chosen = [(layout.target_column(i).name, layout.projected[i].value) for i in layout.written]
    initial = [
        (layout.target_column(i).name, layout.initial_value(i))
        for i, f in enumerate(layout.link.fields)
        if layout.target in f.initial
    ]
    first = dict(chosen) | dict(initial)
    keys = layout.target_side.key
    updates = [(i, quote(layout.target_column(i).name)) for i in layout.written if layout.target_column(i).name not in keys]
    where = [*act_filter(layout, "'I', 'U'"), f"s.fields = {_everything(layout)}"]
    if layout.may_create:
        where.append(layout.may_create)
    if updates:
        differs = " OR ".join(layout.differing("t", i, f"excluded.{name}") for i, name in updates)
        action = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for _, name in updates)} WHERE {differs}"
    else:
        action = "NOTHING"
    overriding = " OVERRIDING SYSTEM VALUE" if any(c.identity_always for c in layout.key_columns(layout.target)) else ""
    into = f"INSERT INTO {table(layout.target_side.table)} AS t ({', '.join(quote(c) for c in first)}){overriding}"
    if new:
        return f"{into} SELECT {', '.join(first.values())} FROM {stage} s {joins_of(layout)} WHERE {' AND '.join(where)}"
    missing = " AND ".join(f"t.{quote(name)} = {value}" for name, value in key_values(layout))
    # An update whose row is there was written above; one whose row is missing has the whole record with it.
    where.append(f"(s.op = 'I' OR NOT EXISTS (SELECT FROM {table(layout.target_side.table)} t WHERE {missing}))")
    return (
        f"{into} SELECT {', '.join(first.values())} FROM {stage} s {joins_of(layout)} WHERE {' AND '.join(where)} ORDER BY s.seq"
        f" ON CONFLICT ({', '.join(quote(k) for k in keys)}) DO {action}"
    )


def _delete(layout: Layout, stage: str) -> str:
    keys = " AND ".join(f"t.{quote(name)} = {value}" for name, value in key_values(layout))
    left = f" OR NOT {layout.inside}" if layout.inside else ""
    # A row that has taken the deleted one's key is another one.
    same = " AND ".join(f"n.{quote(fitted('n_' + k))} = s.{quote(fitted('o_' + k))}" for k in layout.source_side.key)
    where = layout.source_side.where
    inside = f" AND COALESCE(({to_sql(where, lambda c: 'n.' + quote(fitted('n_' + c)))}), false)" if where else ""
    taken = f"NOT EXISTS (SELECT FROM {stage} n WHERE n.op <> 'D' AND n.seq <> s.seq AND {same}{inside})"
    return delete_statement(layout, f"{stage} s", f"{keys} AND (s.op = 'D'{left}) AND {taken}")


def _hold(layout: Layout, stage: str) -> str | None:
    choices = hold_choices(layout)
    if choices is None:
        return None
    number, raw, awaited = choices
    inside = " AND ".join(act_filter(layout, "'I', 'U'"))
    return (
        f"DELETE FROM {stage} h USING (SELECT s.seq, {number} AS miss, {raw} AS raw, {awaited} AS awaited FROM {stage} s {joins_of(layout)}"
        f" WHERE {inside}) m WHERE h.seq = m.seq AND m.miss IS NOT NULL RETURNING h.seq, m.miss, m.raw, m.awaited"
    )

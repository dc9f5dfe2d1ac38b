"""The target's rows, made and changed. These statements obey `work.act` and `work.fields` and decide nothing."""

from __future__ import annotations

from replicator.program.adopt import match_names
from replicator.program.contest import MADE, WRITING, pair_of
from replicator.program.layout import Layout
from replicator.program.passing import is_passed
from replicator.program.sql import quote
from replicator.program.staging import unique_fields
from replicator.program.stubs import fills_stubs
from replicator.program.waiting import awaited, unsettled


def minted_early(layout: Layout) -> tuple[str, ...]:
    """By part of the key its own default, where it can be taken while projecting: of a record that may yet be found on the
    target it would be taken in vain, and a part that the link gives may still be looked for."""
    given = {column for column, _ in layout.created_columns}
    defaults = tuple(column.default or "" for column in layout.key_columns(layout.target) if column.name not in given)
    return defaults if all(defaults) and len(defaults) == len(layout.target_keys) and not match_names(layout) else ()


def mint(layout: Layout, work: str) -> str | None:
    """Evaluates the key's own default, so that each staged record knows its key before it is inserted. None: it does already."""
    if minted_early(layout):
        return None
    given = {column for column, _ in layout.created_columns}
    values = []
    for i, column in enumerate(layout.key_columns(layout.target)):
        if column.name in given:
            source = next(value for name, value in layout.created_columns if name == column.name)
            values.append(f"t_{i} = {source}")
        elif column.default is not None:
            values.append(f"t_{i} = {column.default}")
    return f"UPDATE {work} w SET {', '.join(values)} WHERE act = 'I' AND t_0 IS NULL" if values else None


def insert(layout: Layout, work: str) -> str:
    columns = dict(layout.created_columns)
    keys = layout.key_columns(layout.target)
    for i, column in enumerate(keys):
        columns[column.name] = f"w.t_{i}"
    overriding = " OVERRIDING SYSTEM VALUE" if any(c.identity_always for c in keys) else ""
    settled = "".join(f" AND NOT ({unsettled(i)})" for i in awaited(layout))
    return (
        f"INSERT INTO {layout.target_relation} ({', '.join(quote(c) for c in columns)}){overriding}"
        f" SELECT {', '.join(columns.values())} FROM {work} w WHERE act = 'I'{settled} ORDER BY seq"
    )


def insert_alone(layout: Layout, work: str) -> str | None:
    """The same for a batch of one record, which may get its key from a trigger: whatever it is, it is told."""
    if not layout.target_table.has_triggers or layout.target_side.extends:
        return None
    keys = [quote(k) for k in layout.target_side.key]
    sets = ", ".join(f"t_{i} = made.{k}" for i, k in enumerate(keys))
    return f"WITH made AS ({insert(layout, work)} RETURNING {', '.join(keys)}) UPDATE {work} SET {sets} FROM made WHERE act = 'I'"


def swallowed(layout: Layout, work: str) -> str:
    """How many of the records that were made are not there under the key that was minted for them."""
    there = f"SELECT FROM {layout.target_relation} t WHERE {pair_of('t', layout.target_side.key)}"
    return f"SELECT count(*) FROM {work} w WHERE act IN {MADE} AND NOT EXISTS ({there})"


def update(layout: Layout, work: str) -> str:
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


def aside(layout: Layout, work: str) -> str | None:
    """Unique values about to change step aside first, so that rows may swap them."""
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

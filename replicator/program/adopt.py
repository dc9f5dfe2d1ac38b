"""Adopting: a new record that the target has already, by the link's first match rule, is paired with it, not made again."""

from __future__ import annotations

from replicator.model.table import Column
from replicator.program import names
from replicator.program.layout import Layout, is_plain
from replicator.program.names import fitted
from replicator.program.sql import declared, quote, same_key, state
from replicator.program.stubs import comes_from_stubs, fills_stubs


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


def match_columns(layout: Layout) -> list[Column]:
    return [layout.target_table.column(name) for _, name in match_names(layout)]


def match_value(layout: Layout, source_column: str, target_column: str) -> str:
    """The source's value as the target would have it, for a comparison with what is there."""
    for i, projected in (*layout.projected.items(), *layout.matched.items()):
        columns = layout.link.fields[i].columns
        if columns[layout.target] == target_column and columns.get(layout.source, source_column) == source_column:
            return projected.value
    column = layout.target_table.column(target_column)
    return f"CAST(s.{quote(fitted('n_' + source_column))} AS {declared(column)})"


def adopt(layout: Layout, work: str) -> str | None:
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

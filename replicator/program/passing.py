"""What a flow says in its target's log about the rows it writes there, for the flows that pass them on to further nodes.

A transactional message, before the rows, in chunks: for each row its key, its stamp, and which
columns it was given with which stamps; `capture/passed.py` reads them. Columns are named, for
another link has other field numbers. Only fields whose stamps decide what stands there
(`layout.tracked`) are listed; of the others the node that was written on is the author.
"""

from __future__ import annotations

from collections.abc import Sequence

from replicator.mapping.records import columns_by_table
from replicator.model.table import Column
from replicator.program.layout import Layout
from replicator.program.sql import literal, table, with_parameters

PREFIX = "replicator"
CHUNK = 500  # rows a message: some 50 kB
NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 946684800000000"


def is_passed(layout: Layout, node: str) -> bool:
    """Whether what this flow writes on `node` is read there for further nodes."""
    return any((node, table) in layout.passed for table in layout.link.side(node).records)


def announce(layout: Layout, work: str) -> str | None:
    """Of rows staged in `work`. `born` marks those that are inserted."""
    if not is_passed(layout, layout.target):
        return None
    keys = [(f"w.t_{i}", c) for i, c in enumerate(layout.key_columns(layout.target))]
    initial = layout.mask({i for i in layout.tracked if layout.target in layout.link.fields[i].initial})
    born = "w.act IN ('I', 'R', 'V')"
    tracked = f"(CASE WHEN w.act = 'I' THEN {layout.mask(set(layout.tracked))} & ~{initial} ELSE {layout.mask(set(layout.tracked))} END)"
    rows = _row("w", keys, f"m.fields & w.fields & {tracked}", f"({born})::int", layout.none)
    return _said(layout, layout.target, f"SELECT {rows} FROM {work} w WHERE {born} OR w.act IN ('A', 'U', 'D')")


def announce_healed(layout: Layout, healing: str, late: str) -> str | None:
    """Of edits that are about to be written back on the source. `late`: the common table expressions that end with `l`.
    It begins with `h`, by which the flow to the other node tells these from what that node has already."""
    if not is_passed(layout, layout.source):
        return None
    keys = [(f"h.k_{i}", c) for i, c in enumerate(layout.key_columns(layout.source))]
    rows = _row("h", keys, "m.fields & l.healing", "0", layout.none)
    found = f"SELECT {rows} FROM l JOIN {healing} h USING (seq) WHERE l.healing <> {layout.none}"
    return with_parameters(_said(layout, layout.source, found, f"{late}, ", "'h', true, "))


def announce_moment(layout: Layout, node: str) -> str | None:
    """Of rows that are written there whatever stands there: when, for that node counts as their author."""
    if not is_passed(layout, node):
        return None
    content = f"json_build_object('l', {literal(layout.link.name)}, 'at', {NOW})::text"
    return f"SELECT pg_logical_emit_message(true, {literal(PREFIX)}, {content})"


def alone(layout: Layout, work: str) -> str | None:
    """Two flows that write here at once must not both create what one could adopt of the other."""
    if not is_passed(layout, layout.target):
        return None
    lock = literal(f"replicator {table(layout.target_side.table)}")
    return f"SELECT pg_advisory_xact_lock(hashtextextended({lock}, 0)) WHERE EXISTS (SELECT FROM {work} WHERE act = 'I')"


def _row(alias: str, keys: list[tuple[str, Column]], fields: str, born: str, none: str) -> str:
    key = ", ".join(_key_text(name, column) for name, column in keys)
    stamps = (
        f"(SELECT json_agg(json_build_array(({fields})::text, m.stamp))"
        f" FROM replicator.touches({alias}.fields, {alias}.stamp, {alias}.lsn, {alias}.marks) m WHERE {fields} <> {none})"
    )
    return (
        f"json_build_array(json_build_array({key}), {alias}.stamp, {stamps}, {born}) AS entry,"
        f" row_number() OVER () / {CHUNK} AS chunk"
    )


def _key_text(name: str, column: Column) -> str:
    """As the wire will show it; the blanks that pad a `char(n)` are left out on both ways."""
    return f"{name}::text" if column.base_type == "bpchar" else f"concat({name})"


def _said(layout: Layout, node: str, rows: str, before: str = "", first: str = "") -> str:
    content = (
        f"json_build_object({first}'l', {literal(layout.link.name)}, 't', p.t, 'k', p.k, 'c', p.c, 'at', n.at,"
        f" 'r', json_agg(r.entry))::text"
    )
    return (
        f"WITH {before}n AS MATERIALIZED (SELECT {NOW} AS at), r AS ({rows})"
        f" SELECT pg_logical_emit_message(true, {literal(PREFIX)}, {content})::text, n.at FROM r, n,"
        f" (VALUES {_tables(layout, node)}) p (t, k, c) GROUP BY r.chunk, n.at, p.t, p.k, p.c"
    )


def _tables(layout: Layout, node: str) -> str:
    """Of each table that the record is made of: its name, its key, and for each field the column that it has."""
    side, numbers = layout.link.side(node), set(layout.tracked)
    keys = {side.table: side.key, **{part.table: part.key for part in side.extends}}
    rows = []
    for name, owned in columns_by_table(side, layout.tables).items():
        listed = [f.columns.get(node) if i in numbers else None for i, f in enumerate(layout.link.fields)]
        columns = [None if column not in owned else column for column in listed]
        rows.append(f"({_array((name.schema, name.name))}, {_array(keys[name])}, {_array(columns)})")
    return ", ".join(rows)


def _array(texts: Sequence[str | None]) -> str:
    return f"jsonb_build_array({', '.join('NULL' if text is None else literal(text) for text in texts)})"

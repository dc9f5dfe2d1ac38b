"""Slices that leave their row before others look for theirs.

A slice whose record has become another's goes over to that row: the one it was part of is emptied and the pair buried, as if
the record were deleted; then it looks for its row as one that is new does. And one that is deleted makes room for one
that is new in the same batch: users replace a telephone number by deleting a row and inserting another. Nothing of this
concerns the row's own key, which is never written.
"""

from __future__ import annotations

from collections.abc import Sequence

from replicator.program import names
from replicator.program.contest import pair_of
from replicator.program.layout import Layout
from replicator.program.program import Move
from replicator.program.sql import quote, state
from replicator.program.staging import delete_statement


def crowded(layout: Layout, work: str, keyed: Sequence[str]) -> str | None:
    """New slices that found their row taken by another record's. `keyed`: as for `move_of`."""
    if not layout.target_side.slice or tuple(keyed) != layout.target_side.key:
        return None
    on = " AND ".join(f"x.{quote(k)} = w.m_{i}" for i, k in enumerate(layout.target_keys))
    keys = ", ".join(f"x.{quote(k)}::text" for k in layout.source_keys)
    return f"SELECT w.seq, {keys} FROM {work} w JOIN {state(names.crosswalk(layout.link))} x ON {on} WHERE w.act = 'P'"


def move_of(layout: Layout, work: str, keyed: Sequence[str], bury: str) -> Move | None:
    """`keyed`: the target's columns that `work` has as m_0, m_1, ...; `bury`: the statement for acts G (goes over) and H (makes
    room)."""
    keys = layout.target_side.key
    if not layout.target_side.slice or tuple(keyed) != keys:
        return None
    places = range(len(keys))

    def goes_over(w: str) -> str:
        known = " AND ".join(f"{w}.m_{i} IS NOT NULL" for i in places)
        return f"{w}.act = 'U' AND {known} AND ({' OR '.join(f'{w}.m_{i} <> {w}.t_{i}' for i in places)})"

    wants = f"(o.act = 'P' OR {goes_over('o')}) AND {' AND '.join(f'o.m_{i} = w.t_{i}' for i in places)}"
    makes_room = f"w.act = 'D' AND EXISTS (SELECT FROM {work} o WHERE {wants})"
    nothing = ", ".join(f"t_{i} = NULL" for i in places)
    return Move(
        mark=f"UPDATE {work} w SET act = CASE w.act WHEN 'U' THEN 'G' ELSE 'H' END WHERE ({goes_over('w')}) OR ({makes_room})",
        leave=delete_statement(layout, f"{work} w", f"w.act IN ('G', 'H') AND {pair_of('t', keys)}"),
        bury=bury,
        enter=f"UPDATE {work} SET act = CASE act WHEN 'G' THEN 'P' ELSE 'X' END,"
        f" fields = {layout.mask(set(layout.written))}, kept = {layout.none}, {nothing} WHERE act IN ('G', 'H')",
    )

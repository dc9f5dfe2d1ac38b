"""A slice that goes over to another row: the record it belongs to has become another one.

The row it was part of is emptied and the pair buried, as if the record were deleted; then the slice looks for its row
as one that is new does. Nothing of this concerns the row's own key, which is never written.
"""

from __future__ import annotations

from collections.abc import Sequence

from replicator.program.contest import pair_of
from replicator.program.layout import Layout
from replicator.program.program import Move
from replicator.program.staging import delete_statement


def move_of(layout: Layout, work: str, keyed: Sequence[str], bury: str) -> Move | None:
    """`keyed`: the target's columns that `work` has as m_0, m_1, ...; `bury`: the statement for act G."""
    keys = layout.target_side.key
    if not layout.target_side.slice or tuple(keyed) != keys:
        return None
    known = " AND ".join(f"m_{i} IS NOT NULL" for i in range(len(keys)))
    other = " OR ".join(f"m_{i} <> t_{i}" for i in range(len(keys)))
    nothing = ", ".join(f"t_{i} = NULL" for i in range(len(keys)))
    return Move(
        mark=f"UPDATE {work} SET act = 'G' WHERE act = 'U' AND {known} AND ({other})",
        leave=delete_statement(layout, f"{work} w", f"w.act = 'G' AND {pair_of('t', keys)}"),
        bury=bury,
        enter=f"UPDATE {work} SET act = 'P', fields = {layout.mask(set(layout.written))}, kept = {layout.none}, {nothing} WHERE act = 'G'",
    )

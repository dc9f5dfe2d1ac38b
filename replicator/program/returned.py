"""What the target itself made of a record on the way in, and what it has to say of it, for the way back.

A generated key or number, a default, what a trigger changed, what the target owns, a decision
on a clash: each is a change of the target's, told to the source like a user's.
"""

from __future__ import annotations

from replicator.program.contest import MADE, WRITING, joined_target, pair_of
from replicator.program.layout import Layout
from replicator.program.sql import quote


def before(layout: Layout, work: str) -> str | None:
    """Keeps what stood in columns that the write itself may change beside those it is asked to; the rows are locked."""
    numbers = layout.returning_after_triggers
    if not numbers:
        return None
    now = ", ".join(f"t.{quote(layout.target_column(i).name)} AS b_{i}" for i in numbers)
    sets = ", ".join(f"b_{i} = now.b_{i}" for i in numbers)
    return (
        f"WITH now AS MATERIALIZED (SELECT w.seq, {now} FROM {work} w JOIN {joined_target(layout)}"
        f" WHERE w.act IN {WRITING} FOR UPDATE OF t)"
        f" UPDATE {work} w SET {sets} FROM now WHERE now.seq = w.seq"
    )


def hold_still(layout: Layout, work: str) -> str | None:
    """Locks the rows whose values go back although nothing may be written on them: an edit that came between the reading and
    the position that the answer is given would be taken for an older one, and lost on the other side."""
    marked = [f"w.kept & {layout.mask(set(layout.owned))} <> {layout.none}"] if layout.owned else []
    if layout.returning_on_create:
        marked.append("w.born")
    if not marked or not layout.link.two_way:
        return None
    return (
        f"SELECT FROM {work} w JOIN {joined_target(layout)} WHERE w.act = 'U' AND ({' OR '.join(marked)})"
        f" ORDER BY w.seq FOR NO KEY UPDATE OF t"
    )


def returned(layout: Layout, work: str) -> str | None:
    """Rows of the target whose values must go back: (seq, mask, columns of the reverse feed as text, mask of answers to a
    clash, for weighed fields what stood here before, for counters by how much the source's value has to change)."""
    if not layout.link.two_way:
        return None
    clauses: dict[int, list[str]] = {i: ["(w.born OR w.act = 'I')"] for i in layout.returning_on_create}
    for i in layout.returning_after_triggers:
        was = f"w.b_{i}"
        if i in layout.projected and i in layout.written:
            was = f"CASE WHEN w.act IN {MADE} OR get_bit(w.fields, {i}) = 1 THEN w.v_{i} ELSE w.b_{i} END"
            clauses.setdefault(i, []).append(layout.differing("t", i, was))
        else:
            clauses.setdefault(i, []).append(f"(w.act = 'U' AND {layout.differing('t', i, was)})")
    for i in layout.owned:
        clauses.setdefault(i, []).append(f"(get_bit(w.kept, {i}) = 1 AND {layout.differing('t', i, f'w.v_{i}')})")
    for i in (*layout.weighed, *layout.counted):
        clauses.setdefault(i, []).append(f"get_bit(w.mine | w.answer, {i}) = 1")
    if layout.link.update_wins:
        for i, field in enumerate(layout.link.fields):
            if layout.source in field.writes and layout.target in field.columns:
                clauses.setdefault(i, []).append("w.how = 'R'")
    for i, written in _derived_from(layout).items():
        clauses.setdefault(i, []).append(f"(w.act = 'U' AND w.fields & {layout.mask(written)} <> {layout.none})")
    for i, other in layout.carried.items():
        clauses.pop(i, None)
        if other in clauses:
            clauses[i] = clauses[other]
    if not clauses:
        return None
    mask = " || ".join(
        f"CASE WHEN {' OR '.join(clauses[i])} THEN B'1' ELSE B'0' END" if i in clauses else "B'0'" for i in range(layout.width)
    )
    reverse = Layout(layout.link, layout.links, layout.tables, layout.target, layout.source).feed
    derived = layout.target_side.derived  # they are read when the answer goes out
    columns = ", ".join("NULL" if c in derived else f"t.{quote(c)}::text" for c in reverse.columns)
    answers = "((w.fields | w.answer) & (~w.mine))::text" if layout.weighed else "NULL"
    again = "w.how IS NOT DISTINCT FROM 'R'" if layout.link.update_wins else "false"
    was = ", ".join(f"w.b_{i}::text" if i in layout.returning_after_triggers else "NULL" for i in layout.weighed)
    amounts = ", ".join(
        f"CASE WHEN get_bit(w.mine, {i}) = 1 THEN (COALESCE(t.{quote(layout.target_column(i).name)}, 0) - COALESCE(w.v_{i}, 0))::text END"
        for i in layout.counted
    )
    return (
        f"SELECT seq, mask::text, values, answers, was, amounts, again FROM (SELECT w.seq, {mask} AS mask, ARRAY[{columns}] AS values,"
        f" {again} AS again,"
        f" {answers} AS answers, ARRAY[{was}]::text[] AS was, ARRAY[{amounts}]::text[] AS amounts FROM {work} w"
        f" JOIN {layout.target_relation} t ON {pair_of('t', layout.target_side.key)}"
        f" WHERE w.act IN ('I', 'N', 'U')) r WHERE mask <> {layout.none}"
    )


def _derived_from(layout: Layout) -> dict[int, set[int]]:
    """Fields whose value the target derives from columns that other fields write there: number -> those fields."""
    side, found = layout.target_side, {}
    for i, field in enumerate(layout.link.fields):
        name = field.columns.get(layout.target)
        if name in side.derived and layout.source in field.writes:
            reads = side.derived[name].reads
            found[i] = {j for j in layout.written if layout.link.fields[j].columns[layout.target] in reads}
    return {i: written for i, written in found.items() if written}

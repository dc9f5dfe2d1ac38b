"""Edits of one field on both sides, unseen by each other, and how a conflict is written down.

`contest` compares stamps (rule `latest`); `put_back` keeps what the target owns. Each logs the
conflict in the same statement that decides it, so that no edit is lost without a line in
`replicator.conflict`. Statements read `work w` and the target's row `t`.
"""

from __future__ import annotations

from replicator.program.layout import Layout
from replicator.program.sql import literal, quote
from replicator.program.staging import EXISTING

WRITING = "('U', 'A')"
MADE = "('I', 'N')"  # once records are inserted: see crosswalk.pair
CONFLICT = (
    "INSERT INTO replicator.conflict (flow, link, kind, field, source_key, target_key, incoming, existing,"
    " incoming_stamp, existing_stamp, incoming_lsn, winner, rule, place)"
)


def pair_of(alias: str, columns: tuple[str, ...]) -> str:
    """A condition: this row is the target's record of `w`."""
    return " AND ".join(f"{alias}.{quote(k)} = w.t_{i}" for i, k in enumerate(columns))


def joined_target(layout: Layout) -> str:
    return f"{layout.target_relation} t ON {pair_of('t', layout.target_side.key)}"


def key_text(columns: list[str]) -> str:
    return columns[0] + "::text" if len(columns) == 1 else f"concat_ws(',', {', '.join(c + '::text' for c in columns)})"


def keys_text(layout: Layout) -> str:
    """Both keys, as the conflict table has them."""
    source = key_text([f"w.s_{i}" for i in range(len(layout.source_keys))])
    target = key_text([f"w.t_{i}" for i in range(len(layout.target_keys))])
    return f"{source}, {target}"


def flow_and_link(layout: Layout) -> str:
    return f"{literal(f'{layout.source}_to_{layout.target}')}, {literal(layout.link.name)}"


def per_field(layout: Layout, numbers: tuple[int, ...]) -> str:
    """A VALUES list over `w` and the target row `t`: number, name, incoming, existing, differs, rule, place."""
    rows = []
    for i in numbers:
        field = layout.link.fields[i]
        existing = f"t.{quote(layout.target_column(i).name)}::text"
        rows.append(
            f"({i}, {literal(field.name)}, w.v_{i}::text, {existing}, {layout.differing('t', i, f'w.v_{i}')},"
            f" {literal(str(field.rule))}, {literal(str(field.rule.mark))})"
        )
    return f"(VALUES {', '.join(rows)}) f (number, name, incoming, existing, differs, rule, place)"


def contest(layout: Layout, work: str, edits: str) -> str:
    """Which of the incoming fields were edited here too, unseen by the other side; the smaller stamp loses."""
    none = layout.none
    on = " AND ".join(f"e.t_{i} = w.t_{i}" for i in range(len(layout.target_keys)))
    decided = layout.mask(set(layout.tracked))
    # What was there already gives way to every edit that is known, also of fields that go by values.
    weaker = layout.mask({*layout.tracked, *layout.weighed})
    by_edits = (
        f"CASE WHEN w.op = {literal(EXISTING)} AND w.act = 'U' THEN {weaker} ELSE {decided} END" if layout.weighed else decided
    )
    met = f"(m.fields & w.fields & e.fields & {by_edits})"
    return (
        f"WITH met AS (SELECT w.seq, e.stamp AS theirs, bit_or({met}) AS fields,"
        f" bit_or(CASE WHEN m.stamp < e.stamp THEN {met} ELSE {none} END) AS lost"
        f" FROM {work} w JOIN {edits} e ON {on}"
        f" CROSS JOIN LATERAL replicator.touches(w.fields, w.stamp, w.lsn, w.marks) m"
        f" WHERE w.act IN {WRITING} AND (e.until IS NULL OR e.until > m.lsn) AND {met} <> {none} GROUP BY w.seq, e.stamp),"
        f" logged AS ({CONFLICT} SELECT {flow_and_link(layout)},"
        f" CASE WHEN w.act = 'A' THEN 'insert_exists' ELSE 'update_origin_differs' END,"
        f" f.name, {keys_text(layout)}, f.incoming, f.existing, w.stamp, met.theirs, w.lsn,"
        f" CASE WHEN get_bit(met.lost, f.number) = 1 THEN {literal(layout.target)} ELSE {literal(layout.source)} END, f.rule, f.place"
        f" FROM met JOIN {work} w USING (seq) JOIN {joined_target(layout)}"
        f" CROSS JOIN LATERAL {per_field(layout, layout.tracked or layout.weighed)}"
        f" WHERE get_bit(met.fields, f.number) = 1 AND f.differs AND (w.op <> {literal(EXISTING)} OR w.act = 'A') RETURNING 1),"
        f" losing AS (SELECT seq, bit_or(lost) AS lost FROM met GROUP BY seq),"
        f" decided AS (UPDATE {work} w SET fields = w.fields & ~losing.lost FROM losing"
        f" WHERE losing.seq = w.seq AND losing.lost <> {none} RETURNING 1)"
        f" SELECT (SELECT count(*) FROM logged)"
    )


def put_back(layout: Layout, work: str) -> str | None:
    """Fields of the target's that the source edited, or has another value in where both have keyed a record in: that is logged,
    and the target's value will return."""
    if not layout.owned:
        return None
    met = f"(w.born AND w.stub IS NOT TRUE AND w.op <> {literal(EXISTING)} AND f.incoming IS NOT NULL)"
    return (
        f"{CONFLICT} SELECT {flow_and_link(layout)}, CASE WHEN w.born THEN 'insert_exists' ELSE 'update_origin_differs' END,"
        f" f.name, {keys_text(layout)},"
        f" f.incoming, f.existing, w.stamp, NULL, w.lsn, {literal(layout.target)}, f.rule, f.place FROM {work} w"
        f" JOIN {joined_target(layout)} CROSS JOIN LATERAL {per_field(layout, layout.owned)}"
        f" WHERE w.act = 'U' AND (get_bit(w.kept, f.number) = 1 OR {met}) AND f.differs"
    )

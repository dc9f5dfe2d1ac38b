"""What a batch that is projected (and adopted, where records are paired) would do, asked instead of done.

The statements read the stage, or `work`, that the link's own program has filled. Nothing is written by them, no sequence
moves and no rule of conflicts is asked; fields with `rule: delta` are left out, for a row that stands adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from replicator.model.link import Link
from replicator.program.contest import WRITING, joined_target, pair_of, per_field
from replicator.program.derive import record_sql
from replicator.program.direct import key_values
from replicator.program.layout import Layout
from replicator.program.names import fitted
from replicator.program.program import Program
from replicator.program.sql import literal, quote
from replicator.program.staging import joins_of


@dataclass(frozen=True, slots=True)
class Questions:
    """rows     COPY's query on the source: the records as they are now, in the order of the feed's columns
    acts     (seq, act, the target's key as text, whether its row is there) of what is staged, acts as in Steps
    fields   (seq, field, value that comes, value that stands) where these differ
    """

    rows: str
    acts: str
    fields: str | None


def questions(layout: Layout, program: Program, limit: int) -> Questions:
    rows = f"COPY ({record_sql(layout)} LIMIT {limit}) TO STDOUT"
    if program.paired:
        return Questions(rows, *_of_pairs(layout))
    return Questions(rows, *_of_copies(layout))


def under_another_name(links: list[Link], name: str) -> list[Link]:
    """The links, one of them renamed: its crosswalk is then another than the one that is there."""
    new = other_name(name)

    def renamed(one: Link) -> Link:
        fields = tuple(replace(f, reference=f.reference.renamed(name, new)) if f.reference else f for f in one.fields)
        return replace(one, name=new if one.name == name else one.name, fields=fields)

    return [renamed(one) for one in links]


def other_name(name: str) -> str:
    return fitted(f"{name} as planned")


def _of_pairs(layout: Layout) -> tuple[str, str | None]:
    work = layout.temporary("work")
    key = f"concat_ws(',', {', '.join(f'w.t_{i}' for i in range(len(layout.target_keys)))})"
    there = f"EXISTS (SELECT FROM {layout.target_relation} t WHERE {pair_of('t', layout.target_side.key)})"
    numbers = tuple(i for i in layout.written if i not in layout.counted)
    fields = (
        f"SELECT w.seq, f.name, f.incoming, f.existing FROM {work} w JOIN {joined_target(layout)}"
        f" CROSS JOIN LATERAL {per_field(layout, numbers)}"
        f" WHERE w.act IN {WRITING} AND get_bit(w.fields, f.number) = 1 AND f.differs ORDER BY w.seq, f.number"
    )
    return f"SELECT w.seq, w.act::text, {key}, {there} FROM {work} w ORDER BY w.seq", fields if numbers else None


def _of_copies(layout: Layout) -> tuple[str, str | None]:
    stage = layout.temporary("stage")
    same = " AND ".join(f"t.{quote(name)} = {value}" for name, value in key_values(layout))
    there = f"t.{quote(layout.target_side.key[0])} IS NOT NULL"
    inside, may_create = layout.inside or "true", layout.may_create or "true"
    act = (
        f"CASE WHEN NOT {inside} THEN CASE WHEN {there} THEN 'D' ELSE 'X' END WHEN {there} THEN 'U'"
        f" WHEN {may_create} THEN 'I' ELSE 'P' END"
    )
    key = f"concat_ws(',', {', '.join(value for _, value in key_values(layout))})"
    rows = f"FROM {stage} s {joins_of(layout)} LEFT JOIN {layout.target_relation} t ON {same}"
    values = ", ".join(
        f"({i}, {literal(layout.link.fields[i].name)}, {layout.projected[i].value}::text,"
        f" t.{quote(layout.target_column(i).name)}::text, {layout.differing('t', i, layout.projected[i].value)})"
        for i in layout.written
    )
    fields = (
        f"SELECT s.seq, f.name, f.incoming, f.existing {rows}"
        f" CROSS JOIN LATERAL (VALUES {values}) f (number, name, incoming, existing, differs)"
        f" WHERE {there} AND {inside} AND f.differs ORDER BY s.seq, f.number"
    )
    return f"SELECT s.seq, {act}, {key}, {there} {rows} ORDER BY s.seq", fields if values else None

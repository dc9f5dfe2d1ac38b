"""What a link's program would do with records as they are now, asked instead of done: the statements.

Records come from the source as finished lines of the program's stage and land in `sieve`. What is plainly equal stays
there: paired, both records take part, no field differs. The rest are suspects; they go through the stage and the program's
own steps (project, adopt, hold), and then it is asked what would be done. `sift` uses the same projected values and the
same comparison as the steps, so it keeps back nothing of which these would say otherwise. Nothing is written but session
tables, no sequence moves and no rule of conflicts is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replicator.mapping.expressions import to_sql
from replicator.mapping.queries import rendered
from replicator.model.link import Side
from replicator.program import names
from replicator.program.contest import WRITING, joined_target
from replicator.program.derive import record_sql
from replicator.program.direct import key_values
from replicator.program.layout import Layout
from replicator.program.names import fitted
from replicator.program.program import Program
from replicator.program.sql import PARAMETER, declared, literal, quote, same_key, state, table, with_parameters
from replicator.program.staging import joins_of, miss_of, stage_line


@dataclass(frozen=True, slots=True)
class Compare:
    """source_setup, target_setup   session tables, after the program's own
    wanted   COPY of keys of records that are to be compared, if not all are
    load     COPY of the sieve
    sift     sieve -> suspects; parameter: how many there are already. Returns how many more
    every    the same for all of the sieve
    take     suspects -> stage, of those with a number above and up to
    keys     (number, the source's key) of the same suspects
    acts     (seq, act, source key, target key, whether its row is there, whether that takes part, a digest of all that
             is compared, whether a pair of the source's record has died), acts as in Steps
    fields   (seq, field, name, value that comes, value that stands) where these differ
    """

    layout: Layout
    source_setup: tuple[str, ...]
    target_setup: tuple[str, ...]
    wanted: str
    wanted_table: str
    load: str
    sift: str
    every: str
    take: str
    keys: str
    acts: str
    fields: str | None
    empty_sieve: str
    empty_suspects: str
    empty_wanted: str
    key_at: int  # where the source's key begins in a line

    def records(self, stamp: int, position: str, inside: bool = False, wanted: bool = False, limit: int | None = None) -> str:
        """COPY on the source. `inside`: only records that take part; `wanted`: only those whose keys are in that table."""
        layout = self.layout
        looked_up = {e.field: f"l{e.field}.found" for e in layout.enrichments}
        line = stage_line(layout, lambda c: f"r.{quote(c)}", looked_up, stamp, position)
        conditions = [is_record(layout, "r")] if inside else ["true"]
        if wanted:
            asked = f"SELECT FROM {layout.temporary('wanted')} k WHERE {_same(layout, 'r', 'k')}"
            conditions.append(f"EXISTS ({asked})")
        at_most = f" LIMIT {limit}" if limit is not None else ""
        return (
            f"COPY (SELECT {', '.join(line)} FROM {records_of(layout)}{_looked_up(layout)}"
            f" WHERE {' AND '.join(conditions)}{at_most}) TO STDOUT"
        )


def compare_of(layout: Layout, program: Program, numbers: Sequence[int]) -> Compare:
    """`numbers`: the fields to compare; they must be among those that the program projects."""
    stage, sieve, suspects, wanted = (layout.temporary(what) for what in ("stage", "sieve", "suspects", "wanted"))
    keys = ", ".join(f"k_{i} {declared(c)}" for i, c in enumerate(layout.key_columns(layout.source)))
    number = f"SELECT {PARAMETER} + row_number() OVER (ORDER BY s.ctid)"
    values = ", ".join(f"s.{quote(name)}" for name in stage_names(layout)[1:])
    by_number = f"FROM {suspects} s WHERE s.seq > {PARAMETER} AND s.seq <= {PARAMETER}"
    acts, fields = _of_pairs(layout, numbers) if program.paired else _of_copies(layout, numbers)
    return Compare(
        layout=layout,
        source_setup=(f"CREATE TEMP TABLE IF NOT EXISTS {wanted} ({keys})",),
        target_setup=tuple(f"CREATE TEMP TABLE IF NOT EXISTS {name} (LIKE {stage})" for name in (sieve, suspects)),
        wanted=f"COPY {wanted} FROM STDIN",
        wanted_table=wanted,
        load=f"COPY {sieve} FROM STDIN",
        sift=with_parameters(
            f"INSERT INTO {suspects} {number}, {values} FROM {sieve} s {_beside(layout, program, numbers)}"
            f" WHERE ({_equal(layout, numbers)}) IS NOT TRUE"
        ),
        every=with_parameters(f"INSERT INTO {suspects} {number}, {values} FROM {sieve} s"),
        take=with_parameters(f"INSERT INTO {stage} SELECT s.* {by_number} ORDER BY s.seq"),
        keys=with_parameters(f"SELECT s.seq, {_source_key(layout)} {by_number} ORDER BY s.seq"),
        acts=acts,
        fields=fields,
        empty_sieve=f"TRUNCATE {sieve}",
        empty_suspects=f"TRUNCATE {suspects}",
        empty_wanted=f"TRUNCATE {wanted}",
        key_at=stage_names(layout).index(fitted("o_" + layout.source_side.key[0])),
    )


def records_of(layout: Layout) -> str:
    """The source's records as `r`, for a FROM."""
    return f"({record_sql(layout)}) AS r ({', '.join(quote(c) for c in layout.feed.columns)})"


def is_record(layout: Layout, record: str) -> str:
    """Over a record of the source: whether it takes part. A row without a key is none."""
    side = layout.source_side
    conditions = [f"{record}.{quote(c.name)} IS NOT NULL" for c in layout.key_columns(layout.source) if not c.not_null]
    if side.where is not None:
        conditions.append(f"({to_sql(side.where, lambda c: f'{record}.{quote(c)}')})")
    return " AND ".join(conditions) or "true"


def takes_part(side: Side) -> str:
    """Over the side's row `t`: whether it is there and takes part."""

    def value(column: str) -> str:
        query = side.derived.get(column)
        return f"({rendered(query, lambda c: f't.{quote(c)}')})" if query is not None else f"t.{quote(column)}"

    there = " AND ".join(f"t.{quote(k)} IS NOT NULL" for k in side.key)
    return f"({there})" if side.where is None else f"({there} AND COALESCE(({to_sql(side.where, value)}), false))"


def stage_names(layout: Layout) -> list[str]:
    """The stage's columns in their order."""
    line = stage_line(layout, lambda c: c, {e.field: "" for e in layout.enrichments}, 0, "0/0")
    return [part.rpartition(" AS ")[2].strip('"').replace('""', '"') for part in line]


def _same(layout: Layout, record: str, keys: str) -> str:
    return " AND ".join(f"{record}.{quote(k)} = {keys}.k_{i}" for i, k in enumerate(layout.source_side.key))


def _looked_up(layout: Layout) -> str:
    """Lookups on the source, each as a row `l<field>` with one value, `found`."""
    joins = []
    for e in layout.enrichments:
        column, alias = f"r.{quote(layout.feed.columns[e.position])}", f"l{e.field}"
        found = f"{e.value} AS found"
        if layout.tables[layout.source, e.table].is_unique((e.key,)):
            joins.append(
                f" LEFT JOIN (SELECT {quote(e.key)} AS k, {found} FROM {table(e.table)}) {alias} ON {alias}.k = {column}"
            )
        else:
            joins.append(
                f" LEFT JOIN LATERAL (SELECT {found} FROM {table(e.table)} k WHERE k.{quote(e.key)} = {column}"
                f" LIMIT 1) {alias} ON true"
            )
    return "".join(joins)


def _source_key(layout: Layout) -> str:
    parts = (f"s.{quote(fitted('o_' + k))}::text" for k in layout.source_side.key)
    return f"ARRAY[{', '.join(parts)}]"


def _misses(layout: Layout) -> list[tuple[int, str]]:
    return [(i, miss) for i in layout.written if (miss := miss_of(layout, i)) is not None]


def _beside(layout: Layout, program: Program, numbers: Sequence[int]) -> str:
    """What the sieve's rows are looked at with: their pair `x`, the joins of their values, the target's row `t`."""
    wanted = dict.fromkeys((*numbers, *(i for i, _ in _misses(layout))))
    joins = " ".join(join for i in wanted for join in layout.projected[i].joins)
    if not program.paired:
        on = " AND ".join(f"t.{quote(name)} = {value}" for name, value in key_values(layout))
        return f"{joins} LEFT JOIN {layout.target_relation} t ON {on}"
    before = [f"s.{quote(fitted('o_' + k))}" for k in layout.source_side.key]
    on = " AND ".join(f"x.{quote(k)} = {b}" for k, b in zip(layout.source_keys, before, strict=True))
    pair = same_key("t", layout.target_side.key, "x", layout.target_keys)
    crosswalk = state(names.crosswalk(layout.link))
    return f"LEFT JOIN {crosswalk} x ON {on} LEFT JOIN {layout.target_relation} t ON {pair} {joins}"


def _equal(layout: Layout, numbers: Sequence[int]) -> str:
    conditions = [takes_part(layout.target_side), *([layout.inside] if layout.inside else [])]
    conditions += [f"NOT COALESCE({miss}, false)" for _, miss in _misses(layout)]
    conditions += [f"NOT ({_differs(layout, i, layout.projected[i].value)})" for i in numbers]
    return " AND ".join(conditions)


def _differs(layout: Layout, number: int, value: str) -> str:
    """NULL in a counter is 0."""
    if number in layout.counted:
        return f"COALESCE(t.{quote(layout.target_column(number).name)}, 0) IS DISTINCT FROM COALESCE({value}, 0)"
    return layout.differing("t", number, value)


def _fields(layout: Layout, values: Sequence[tuple[int, str]]) -> str:
    rows = ", ".join(
        f"({i}, {literal(layout.link.fields[i].name)}, {value}::text, t.{quote(layout.target_column(i).name)}::text,"
        f" {_differs(layout, i, value)})"
        for i, value in values
    )
    return f"(VALUES {rows}) f (number, name, incoming, existing, differs)"


def _digest(layout: Layout, values: Sequence[tuple[int, str]]) -> str:
    both = [part for i, value in values for part in (value, f"t.{quote(layout.target_column(i).name)}")]
    return f"md5(ROW({', '.join(both)})::text)"


def _of_pairs(layout: Layout, numbers: Sequence[int]) -> tuple[str, str | None]:
    work = layout.temporary("work")
    values = [(i, f"w.v_{i}") for i in numbers]
    source = f"ARRAY[{', '.join(f'w.s_{i}::text' for i in range(len(layout.source_keys)))}]"
    target = f"ARRAY[{', '.join(f'w.t_{i}::text' for i in range(len(layout.target_keys)))}]"
    dead = " AND ".join(f"d.{quote(k)} = w.s_{i}" for i, k in enumerate(layout.source_keys))
    acts = (
        f"SELECT w.seq, w.act::text, {source}, CASE WHEN w.t_0 IS NOT NULL THEN {target} END,"
        f" t.{quote(layout.target_side.key[0])} IS NOT NULL, {takes_part(layout.target_side)}, {_digest(layout, values)},"
        f" EXISTS (SELECT FROM {state(names.tombstone(layout.link))} d WHERE {dead})"
        f" FROM {work} w LEFT JOIN {joined_target(layout)} ORDER BY w.seq"
    )
    fields = (
        f"SELECT w.seq, f.number, f.name, f.incoming, f.existing FROM {work} w JOIN {joined_target(layout)}"
        f" CROSS JOIN LATERAL {_fields(layout, values)} WHERE w.act IN {WRITING} AND f.differs ORDER BY w.seq, f.number"
    )
    return acts, fields if values else None


def _of_copies(layout: Layout, numbers: Sequence[int]) -> tuple[str, str | None]:
    stage = layout.temporary("stage")
    values = [(i, layout.projected[i].value) for i in numbers]
    same = " AND ".join(f"t.{quote(name)} = {value}" for name, value in key_values(layout))
    there = f"t.{quote(layout.target_side.key[0])} IS NOT NULL"
    inside, may_create = layout.inside or "true", layout.may_create or "true"
    act = (
        f"CASE WHEN NOT {inside} THEN CASE WHEN {there} THEN 'D' ELSE 'X' END WHEN {there} THEN 'U'"
        f" WHEN {may_create} THEN 'I' ELSE 'P' END"
    )
    rows = f"FROM {stage} s {joins_of(layout)} LEFT JOIN {layout.target_relation} t ON {same}"
    target = f"ARRAY[{', '.join(f'({value})::text' for _, value in key_values(layout))}]"
    acts = (
        f"SELECT s.seq, {act}, {_source_key(layout)}, {target}, {there}, {takes_part(layout.target_side)}, {_digest(layout, values)}, false"
        f" {rows} ORDER BY s.seq"
    )
    fields = (
        f"SELECT s.seq, f.number, f.name, f.incoming, f.existing {rows} CROSS JOIN LATERAL {_fields(layout, values)}"
        f" WHERE {there} AND {inside} AND f.differs ORDER BY s.seq, f.number"
    )
    return acts, fields if values else None

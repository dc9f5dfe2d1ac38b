"""What direct and paired programs share: the stage, its joins, what may be missing, and the delete rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from replicator.mapping.expressions import to_sql
from replicator.model.link import Missing
from replicator.model.table import Column, TableName
from replicator.program.layout import Layout
from replicator.program.names import fitted
from replicator.program.program import Wait
from replicator.program.projection import Projected
from replicator.program.sql import PARAMETER, declared, literal, quote, with_parameters

FILLED = (Missing.LATER, Missing.STUB)
# The staged operation of a change that is the other node's answer, not a user's edit; and of one whose record was made
# again there, and has to be here.
ANSWER, REMADE = "B", "A"
EXISTING = "S"  # of a record as it is, for nobody has changed it: see existing.py
QUOTE = b"\x01"  # of rows that are staged in bulk: a byte that hardly any value holds
NOBODYS = f"('{ANSWER}', '{EXISTING}')"  # operations that are no user's edit


def stage_ddl(layout: Layout, stage: str) -> str:
    """The session's stage: seq, op, fields, [stamp, lsn, marks], key before the batch (o_), values (n_), looked up (e_);
    for counters what is added (d_); for weighed fields which of them have a value before (`based`) or the value an answer
    expects (`answers`), the columns before (b_), what was looked up for those (f_), the values expected (x_); where not every
    record takes part, whether it has not moved."""
    return f"CREATE TEMP TABLE IF NOT EXISTS {stage} ({', '.join(stage_columns(layout))})"


def stage_columns(layout: Layout) -> list[str]:
    columns = ["seq bigint", 'op "char"', "fields bit varying"]
    if not layout.direct:
        columns += ["stamp bigint", "lsn pg_lsn", "marks text"]
    columns += [f"{quote(fitted('o_' + k))} {layout.source_table.column(k).portable}" for k in layout.source_side.key]
    columns += [f"{quote(fitted('n_' + c))} {layout.source_table.column(c).portable}" for c in layout.feed.columns]
    columns += [f"{quote(f'e_{e.field}')} {e.stage_type}" for e in layout.enrichments]
    columns += [f"d_{i} numeric" for i in layout.counted]
    if layout.weighed:
        columns += ["based bit varying", "answers bit varying"]
        before = [layout.feed.columns[p] for p in layout.feed.weighed_columns]
        columns += [f"{quote(fitted('b_' + c))} {layout.source_table.column(c).portable}" for c in before]
        columns += [f"{quote(f'f_{e.field}')} {e.stage_type}" for e in layout.enrichments if e.field in layout.weighed]
        columns += [f"x_{i} {declared(layout.target_column(i))}" for i in layout.weighed]
    if layout.tells_stays:
        columns += ["stays boolean"]
    return columns


def stage_line(
    layout: Layout, column: Callable[[str], str], looked_up: Mapping[int, str], stamp: int, position: str
) -> list[str]:
    """What `stage_ddl` wants, each under its name, of a record as it is now: as an edit of every field. SQL over the
    source's record. `looked_up`: by field, what the source's reference tables say."""
    weighed = [layout.feed.columns[p] for p in layout.feed.weighed_columns]
    line = {"seq": "0", "op": "'U'", "fields": layout.mask(set(range(layout.width)))}
    if not layout.direct:
        line |= {"stamp": str(stamp), "lsn": literal(position), "marks": "NULL"}
    line |= {fitted("o_" + k): column(k) for k in layout.source_side.key}
    line |= {fitted("n_" + c): column(c) for c in layout.feed.columns}
    line |= {f"e_{e.field}": looked_up[e.field] for e in layout.enrichments}
    line |= {f"d_{i}": "0" for i in layout.counted}
    if layout.weighed:
        line |= {"based": layout.none, "answers": layout.none}
        line |= {fitted("b_" + c): column(c) for c in weighed}
        line |= {f"f_{e.field}": looked_up[e.field] for e in layout.enrichments if e.field in layout.weighed}
        line |= {f"x_{i}": "NULL" for i in layout.weighed}
    if layout.tells_stays:
        line |= {"stays": "false"}
    return [f"{value} AS {quote(name)}" for name, value in line.items()]


def stage_load(stage: str) -> str:
    return f"COPY {stage} FROM STDIN"


def stage_load_bulk(layout: Layout, stage: str) -> str:
    """The same in CSV, for many rows that need no second look. `PARAMETER`: the columns of the feed, in the order that they come."""
    columns = ["seq", "op", "fields"] + ([] if layout.direct else ["stamp", "lsn"]) + (["stays"] if layout.tells_stays else [])
    columns += [quote(fitted("o_" + k)) for k in layout.source_side.key]
    return f"COPY {stage} ({', '.join(columns)}, {PARAMETER}) FROM STDIN (FORMAT csv, DELIMITER E'\\t', QUOTE E'\\x01', NULL '')"


def staged_columns(layout: Layout) -> tuple[str, ...]:
    """By place in the feed."""
    return tuple(quote(fitted("n_" + c)) for c in layout.feed.columns)


def stage_load_one(layout: Layout, stage: str) -> str:
    """The same for one line, its values as parameters."""
    return with_parameters(f"INSERT INTO {stage} VALUES ({', '.join([PARAMETER] * len(stage_columns(layout)))})")


def joins_of(layout: Layout) -> str:
    both = (*layout.projected.values(), *layout.matched.values(), *layout.projected_before.values())
    return " ".join(join for p in both for join in p.joins)


def _needed(layout: Layout) -> dict[int, Projected]:
    """Fields without whose value a record is not written: those that are, and those that say whose slice it is."""
    told = {i: p for i, p in layout.projected.items() if i in layout.written}
    return told | (layout.matched if layout.target_side.slice else {})


def act_filter(layout: Layout, operations: str) -> list[str]:
    """Conditions: a staged row of these operations that takes part in the link."""
    inside = [layout.inside] if layout.inside else []
    return [f"s.op IN ({operations})", *inside]


def delete_statement(layout: Layout, using: str, where: str) -> str:
    """A delete as the link's rule for the target says it: delete, set columns, or nothing at all."""
    rule = layout.link.delete.get(layout.target)
    target = layout.target_relation
    if rule is None or rule.kind == "delete":
        return f"DELETE FROM {target} t USING {using} WHERE {where}"
    if rule.kind == "ignore":
        return ""
    sets = ", ".join(f"{quote(c)} = {to_sql(e, lambda name: 't.' + quote(name))}" for c, e in rule.assignments)
    return f"UPDATE {target} t SET {sets} FROM {using} WHERE {where}"


def loosen(layout: Layout, work: str) -> str | None:
    """Records about to be deleted let go of those that refer back to them: in a circle of foreign keys none can go first."""
    rule = layout.link.delete.get(layout.target)
    if (rule is not None and rule.kind != "delete") or not _in_circle(layout):
        return None
    columns = [layout.target_column(i) for i in layout.written if layout.link.fields[i].reference is not None]
    free = [quote(c.name) for c in columns if not c.not_null]
    if not free:
        return None
    same = " AND ".join(f"t.{quote(k)} = w.t_{i}" for i, k in enumerate(layout.target_side.key))
    held = " OR ".join(f"t.{c} IS NOT NULL" for c in free)
    sets = ", ".join(f"{c} = NULL" for c in free)
    return f"UPDATE {layout.target_relation} t SET {sets} FROM {work} w WHERE w.act = 'D' AND {same} AND ({held})"


def _in_circle(layout: Layout) -> bool:
    """Whether foreign keys lead from the target's table over others back to it, as far as links know the tables."""
    start = layout.target_side.table
    seen: set[TableName] = set()
    ahead = list(layout.target_table.refers_to - {start})
    while ahead:
        name = ahead.pop()
        found = layout.tables.get((layout.target, name))
        if name in seen or found is None:
            continue
        seen.add(name)
        if start in found.refers_to:
            return True
        ahead += found.refers_to
    return False


def stand_in(column: Column) -> str | None:
    """A value that no other row has, for the moment in which two rows swap theirs. None: the type offers none."""
    if not column.not_null:
        return "NULL"
    if column.category == "S":
        length = re.search(r"\((\d+)\)", column.type)
        return f"left(md5(random()::text || clock_timestamp()::text), {length[1] if length else 32})"
    if column.category == "N":
        return "-(1 + floor(random() * 2000000000))::integer" if column.base_type in ("integer", "bigint", "numeric") else None
    return "gen_random_uuid()" if column.base_type == "uuid" else None


def unique_fields(layout: Layout) -> dict[int, str]:
    """For each unique key of the target, one written field whose value can step aside, with its stand-in."""
    found: dict[int, str] = {}
    for key in layout.target_table.unique_keys:
        options = [(i, stand_in(layout.target_column(i))) for i in layout.written if layout.target_column(i).name in key]
        usable = sorted(((value != "NULL", i, value) for i, value in options if value is not None), key=lambda o: o[:2])
        if usable:
            found[usable[0][1]] = usable[0][2]
    return found


def can_miss(layout: Layout) -> dict[int, str]:
    """Field number -> condition over `s` and joins, for what a record is parked for. References to the link itself are
    settled later, pass by pass; those that may be left empty, or get a stub, are only missed if nothing could ever come."""
    found = {}
    for i, p in _needed(layout).items():
        condition = p.unknown if i in can_be_filled(layout) else _either(p.miss, p.unknown)
        if condition is not None and not layout.refers_to_self(i):
            found[i] = condition
    return found


def _either(one: str | None, other: str | None) -> str | None:
    return f"(({one}) OR {other})" if one and other else one or other


def can_be_filled(layout: Layout) -> dict[int, str]:
    """Field number -> condition over `s` and joins, for references without whose record theirs is written all the same."""
    return {i: p.miss for i, p in layout.projected.items() if p.miss is not None and _missing(layout, i) in FILLED}


def can_come_later(layout: Layout) -> list[int]:
    """References that are left empty until their record comes."""
    return [i for i in can_be_filled(layout) if _missing(layout, i) is Missing.LATER]


def can_be_stub(layout: Layout) -> list[int]:
    """References that get a stub until their record comes."""
    return [i for i in can_be_filled(layout) if _missing(layout, i) is Missing.STUB]


def miss_of(layout: Layout, number: int) -> str | None:
    """The condition under which the record waits for this field, be it for another of its own link."""
    projected = layout.projected[number]
    return projected.unknown if _missing(layout, number) in FILLED else _either(projected.miss, projected.unknown)


def _missing(layout: Layout, number: int) -> Missing | None:
    reference = layout.link.fields[number].reference
    return reference.missing if reference is not None and number in layout.written else None


def hold_choices(layout: Layout, born: str = "false") -> tuple[str, str, str] | None:
    """SQL of the number of the first field that cannot be told (NULL: all can), of its raw value, and of the link whose
    record it waits for (NULL: none). `born`: a condition under which the record is new on the target, so that every field
    counts, changed or not."""
    misses = can_miss(layout)
    if not misses:
        return None
    conditions = {i: f"({born} OR get_bit(s.fields, {i}) = 1) AND {m}" for i, m in misses.items()}
    told = _needed(layout)
    number = " ".join(f"WHEN {condition} THEN {i}" for i, condition in conditions.items())
    raw = " ".join(f"WHEN {condition} THEN {told[i].raw}" for i, condition in conditions.items())
    waits = " ".join(f"WHEN {condition} THEN {waits_for(told[i])}" for i, condition in conditions.items())
    return f"CASE {number} END", f"CASE {raw} END", f"CASE {waits} END"


def waits_for(projected: Projected) -> str:
    return f"CAST({projected.waits or 'NULL'} AS text)"


def waits_of(layout: Layout) -> tuple[Wait, ...]:
    waits = []
    for i, projected in _needed(layout).items():
        if projected.miss is None and projected.unknown is None:
            continue
        field = layout.link.fields[i]
        place = f"{field.mark}: field {field.name}"
        if field.reference is not None:
            unknown = f"{place}: `link` does not list this kind of record, or the kind has no row in its table"
        elif field.lookup is not None:
            unknown = f"{place}: {field.lookup.table}.{field.lookup.by} has no such value"
        else:
            unknown = f"{place}: the value map does not list this value"
        waits.append(Wait(i, f"{place} refers to a record of link", unknown))
    return tuple(waits)

"""Which records of the two sides are the same, by a link's match rules: statements for a session on the target.

The link's own program fills `work` with the source's records, cast and translated (project); what is
paired, dead or takes no part leaves it. Rule by rule, the most trusted first, records that are each
other's only match become a pair; what matches several, or contradicts a rule that is trusted more, is
left to a person and takes no part in the rules that follow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from replicator.model.link import Link, MatchRule
from replicator.program import names
from replicator.program.adopt import match_names
from replicator.program.contest import per_field
from replicator.program.layout import Layout
from replicator.program.sql import bits, declared, literal, quote, same_key, state

PUNCTUATION = r"[[:space:][:punct:]]+"
CLEAR, SEVERAL, CONTRADICTED = "clear", "several", "contradicted"


def with_all_columns(link: Link) -> Link:
    """The link as one that matches by the columns of all its rules, so that its program works all of them out."""
    pairs: dict[tuple[str, str], None] = {}
    one, other = (side.node for side in link.sides)
    for rule in link.matching:
        pairs |= dict.fromkeys(zip(rule.columns[one], rule.columns[other], strict=True))
    return replace(link, match={one: tuple(a for a, _ in pairs), other: tuple(b for _, b in pairs)})


@dataclass(frozen=True, slots=True)
class Matching:
    """setup     DDL of the session's tables, after the program's own
    only_free    takes out of `work` what cannot be paired: to be run after project
    rules        for each rule: pairs and doubtful records into `matched`
    report       (rule, source key, target key, verdict, values of both) of everything that matched, doubts first
    differing    (field, pairs in which its values differ) of clear pairs
    pair         clear pairs into the crosswalk: the keys of both sides as text, seq, and two masks of fields (as text):
                 those of which the source has a value, those of which only the target has
    decide       parameters: keys of both sides as text, part by part: a pair that a person has decided
    """

    setup: tuple[str, ...]
    only_free: str
    rules: tuple[str, ...]
    report: str
    differing: str
    pair: str
    decide: str


def matching_of(layout: Layout) -> Matching:
    """`layout`: of `with_all_columns`."""
    work, matched = layout.temporary("work"), layout.temporary("matched")
    source_keys, target_keys = layout.key_columns(layout.source), layout.key_columns(layout.target)
    s = [f"s_{i}" for i in range(len(source_keys))]
    t = [f"t_{i}" for i in range(len(target_keys))]
    declared_keys = [*(f"{n} {c.portable}" for n, c in zip(s, source_keys, strict=True))]
    declared_keys += [f"{n} {declared(c)}" for n, c in zip(t, target_keys, strict=True)]
    return Matching(
        setup=(f"CREATE TEMP TABLE IF NOT EXISTS {matched} (rule integer, {', '.join(declared_keys)}, verdict text)",),
        only_free=f"DELETE FROM {work} WHERE act NOT IN ('I', 'P')",
        rules=tuple(_rule(layout, number, work, matched) for number in range(len(layout.link.matching))),
        report=_report(layout, work, matched),
        differing=_differing(layout, work, matched),
        pair=_pair(layout, work, matched),
        decide=_decide(layout, work, matched),
    )


def _columns(layout: Layout, rule: MatchRule) -> list[tuple[int, str]]:
    """(number of the value in `work`, the target's column) of a rule."""
    places = {pair: number for number, pair in enumerate(match_names(layout))}
    return [(places[a, b], b) for a, b in zip(rule.columns[layout.source], rule.columns[layout.target], strict=True)]


def _value(layout: Layout, sql: str, column: str, loose: bool) -> str:
    """What is compared; NULL where there is nothing to compare."""
    if loose:
        return f"NULLIF(lower(regexp_replace({sql}::text, {literal(PUNCTUATION)}, '', 'g')), '')"
    return f"NULLIF({sql}, '')" if layout.target_table.column(column).category == "S" else sql


def _sides(layout: Layout, rule: MatchRule) -> list[tuple[str, str]]:
    """Per column of the rule: the source's value over `w`, the target's over `t`."""
    return [
        (_value(layout, f"w.m_{number}", column, rule.loose), _value(layout, f"t.{quote(column)}", column, rule.loose))
        for number, column in _columns(layout, rule)
    ]


def _free(layout: Layout) -> str:
    """The target's records that take part and have no pair."""
    crosswalk = state(names.crosswalk(layout.link))
    inside = f" AND {layout.target_inside}" if layout.target_inside else ""
    taken = same_key("x", layout.target_keys, "t", layout.target_side.key)
    return f"NOT EXISTS (SELECT FROM {crosswalk} x WHERE {taken}){inside}"


def _rule(layout: Layout, number: int, work: str, matched: str) -> str:
    rule = layout.link.matching[number]
    keys = [f"t.{quote(k)}" for k in layout.target_side.key]
    s = [f"w.s_{i}" for i in range(len(layout.source_keys))]
    values = _sides(layout, rule)
    ours = ", ".join(f"{mine} AS v_{i}" for i, (mine, _) in enumerate(values))
    theirs = ", ".join(f"{other} AS v_{i}" for i, (_, other) in enumerate(values))
    on = " AND ".join(f"a.v_{i} = b.v_{i}" for i in range(len(values)))
    whole = " AND ".join(f"v_{i} IS NOT NULL" for i in range(len(values)))
    seen_s = " AND ".join(f"p.s_{i} = w.s_{i}" for i in range(len(s)))
    seen_t = " AND ".join(f"p.t_{i} = {k}" for i, k in enumerate(keys))
    against = _contradictions(layout, number)
    listed_s = ", ".join(f"{k} AS s_{i}" for i, k in enumerate(s))
    listed_t = ", ".join(f"{k} AS t_{i}" for i, k in enumerate(keys))
    s_names, t_names = ", ".join(f"s_{i}" for i in range(len(s))), ", ".join(f"t_{i}" for i in range(len(keys)))
    same_s = " AND ".join(f"w.s_{i} = f.s_{i}" for i in range(len(s)))
    same_t = " AND ".join(f"{k} = f.t_{i}" for i, k in enumerate(keys))
    verdict = f"CASE WHEN ours > 1 OR theirs > 1 THEN '{SEVERAL}'"
    if against:
        verdict += (
            f" WHEN EXISTS (SELECT FROM {work} w JOIN {layout.target_relation} t ON {same_t} WHERE {same_s} AND ({against}))"
            f" THEN '{CONTRADICTED}'"
        )
    return (
        f"WITH a AS MATERIALIZED (SELECT {listed_s}, {ours} FROM {work} w WHERE NOT EXISTS (SELECT FROM {matched} p WHERE {seen_s})),"
        f" b AS MATERIALIZED (SELECT {listed_t}, {theirs} FROM {layout.target_relation} t WHERE {_free(layout)}"
        f" AND NOT EXISTS (SELECT FROM {matched} p WHERE {seen_t})),"
        f" found AS (SELECT {s_names}, {t_names}, count(*) OVER (PARTITION BY {s_names}) AS theirs,"
        f" count(*) OVER (PARTITION BY {t_names}) AS ours FROM (SELECT * FROM a WHERE {whole}) a JOIN b ON {on})"
        f" INSERT INTO {matched} (rule, {s_names}, {t_names}, verdict)"
        f" SELECT {number}, {s_names}, {t_names}, {verdict} ELSE '{CLEAR}' END FROM found f"
    )


def _contradictions(layout: Layout, number: int) -> str:
    """Over `w` and `t`: a rule that is trusted more has values on both sides, and they differ in more than how they are typed."""
    clauses = []
    for rule in layout.link.matching[:number]:
        values = _sides(layout, replace(rule, loose=True))
        known = " AND ".join(f"{mine} IS NOT NULL AND {other} IS NOT NULL" for mine, other in values)
        clauses.append(f"({known} AND ({' OR '.join(f'{mine} <> {other}' for mine, other in values)}))")
    return " OR ".join(clauses)


def _both(layout: Layout, work: str, matched: str) -> str:
    """`p` with the records of both sides, `w` and `t`."""
    s = " AND ".join(f"w.s_{i} = p.s_{i}" for i in range(len(layout.source_keys)))
    t = " AND ".join(f"t.{quote(k)} = p.t_{i}" for i, k in enumerate(layout.target_side.key))
    return f"{matched} p JOIN {work} w ON {s} JOIN {layout.target_relation} t ON {t}"


def _report(layout: Layout, work: str, matched: str) -> str:
    s = ", ".join(f"p.s_{i}::text" for i in range(len(layout.source_keys)))
    t = ", ".join(f"p.t_{i}::text" for i in range(len(layout.target_keys)))
    pairs = match_names(layout)
    ours = ", ".join(f"w.m_{i}::text" for i in range(len(pairs)))
    theirs = ", ".join(f"t.{quote(b)}::text" for _, b in pairs)
    return (
        f"SELECT p.rule, ARRAY[{s}], ARRAY[{t}], p.verdict, ARRAY[{ours}], ARRAY[{theirs}] FROM {_both(layout, work, matched)}"
        f" ORDER BY p.verdict = '{CLEAR}', p.rule, {', '.join(f'p.s_{i}' for i in range(len(layout.source_keys)))},"
        f" {', '.join(f'p.t_{i}' for i in range(len(layout.target_keys)))}"
    )


def _compared(layout: Layout) -> tuple[int, ...]:
    """Fields that both sides may write: which value is to stand is a question."""
    return tuple(i for i in layout.written if i in layout.tracked)


def _differing(layout: Layout, work: str, matched: str) -> str:
    numbers = _compared(layout)
    if not numbers:
        return "SELECT NULL::text, 0::bigint WHERE false"
    return (
        f"SELECT f.name, count(*) FROM {_both(layout, work, matched)} CROSS JOIN LATERAL {per_field(layout, numbers)}"
        f" WHERE p.verdict = '{CLEAR}' AND f.differs GROUP BY f.number, f.name ORDER BY f.number"
    )


def _pair(layout: Layout, work: str, matched: str) -> str:
    columns = [quote(k) for k in (*layout.source_keys, *layout.target_keys)]
    keys = [*(f"p.s_{i}" for i in range(len(layout.source_keys))), *(f"p.t_{i}" for i in range(len(layout.target_keys)))]
    texts = ", ".join(f"made.{c}::text" for c in columns)
    crosswalk = state(names.crosswalk(layout.link))
    free_s = same_key_of(layout.source_keys, [f"p.s_{i}" for i in range(len(layout.source_keys))])
    free_t = same_key_of(layout.target_keys, [f"p.t_{i}" for i in range(len(layout.target_keys))])
    on = " AND ".join(f"made.{c} = {k}" for c, k in zip(columns, keys, strict=True))
    return (
        f"WITH made AS (INSERT INTO {crosswalk} ({', '.join(columns)}, seq, made)"
        f" SELECT {', '.join(keys)}, nextval('replicator.pair_seq'), 0 FROM {matched} p WHERE p.verdict = '{CLEAR}'"
        f" AND NOT EXISTS (SELECT FROM {crosswalk} x WHERE {free_s}) AND NOT EXISTS (SELECT FROM {crosswalk} x WHERE {free_t})"
        f" RETURNING {', '.join(columns)}, seq)"
        f" SELECT {texts}, made.seq, ({_mask(layout, 'NOT ({theirs_only})')})::text, ({_mask(layout, '{theirs_only}')})::text"
        f" FROM made JOIN {_both(layout, work, matched)} ON {on}"
    )


def same_key_of(columns: tuple[str, ...], values: list[str]) -> str:
    return " AND ".join(f"x.{quote(c)} = {v}" for c, v in zip(columns, values, strict=True))


def _mask(layout: Layout, clause: str) -> str:
    """A bit for each field: of those that both sides may write, where the clause holds; the others are in the first mask if
    they are written on the target, else in the second."""
    compared = set(_compared(layout))
    first = "NOT" in clause
    parts = []
    for i in range(layout.width):
        if i not in compared:
            parts.append(bits(int((i in layout.written) == first), 1))
            continue
        value, stands = f"w.v_{i}", f"t.{quote(layout.target_column(i).name)}"
        if layout.target_column(i).category == "S":
            value, stands = f"NULLIF({value}, '')", f"NULLIF({stands}, '')"
        theirs_only = f"{value} IS NULL AND {stands} IS NOT NULL"
        parts.append(f"CASE WHEN {clause.format(theirs_only=theirs_only)} THEN B'1' ELSE B'0' END")
    return " || ".join(parts)


def _decide(layout: Layout, work: str, matched: str) -> str:
    """Doubts about both records give way to what the person says; a record that is not free is not paired."""
    s_names = [f"s_{i}" for i in range(len(layout.source_keys))]
    t_names = [f"t_{i}" for i in range(len(layout.target_keys))]
    s = " AND ".join(f"w.{n}::text = %s" for n in s_names)
    t = " AND ".join(f"t.{quote(k)}::text = %s" for k in layout.target_side.key)
    listed = ", ".join([*(f"w.{n}" for n in s_names), *(f"t.{quote(k)}" for k in layout.target_side.key)])
    return (
        (
            f"INSERT INTO {matched} (rule, {', '.join([*s_names, *t_names])}, verdict)"
            f" SELECT -1, {listed}, '{CLEAR}' FROM {work} w, {layout.target_relation} t WHERE {s} AND {t} AND {_free(layout)}"
        )
        .replace("%", "%%")
        .replace("%%s", "%s")
    )

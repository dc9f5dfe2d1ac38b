"""Statements by which a server says what it thinks of a link.

It plans each of the user's expressions alone, so that what is refused has its place in the file, and then the compiled
steps as a whole. Only merges are evaluated, and only for values made for the purpose: no statement here runs on a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from replicator.mapping.expressions import to_sql, to_sql_both
from replicator.mapping.samples import samples
from replicator.model.finding import Mark
from replicator.model.link import Link, Lookup
from replicator.model.table import Column
from replicator.program.layout import Layout
from replicator.program.program import Program
from replicator.program.projection import Tables, expression, staged
from replicator.program.sql import PARAMETER, declared, literal, quote, with_parameters

PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")  # what EXPLAIN takes


@dataclass(frozen=True, slots=True)
class Trial:
    """`what` completes "the server refuses ...". The session's temporary tables must be there."""

    where: Mark
    what: str
    sql: str


@dataclass(frozen=True, slots=True)
class MergeTrial:
    """A merge to be evaluated for made-up values on the node that will do so. All values travel as text.

    merge    takes two arrays, gives the merged value of each pair
    same     takes two arrays, gives for each pair whether the type calls the two equal; fails for types that cannot tell
    usable   takes an array, gives each of its texts as the type writes it
    listed   gives the values of a type that lists them (an enum), if it is one; `candidates` are those to try else
    """

    where: Mark
    field: str
    node: str
    type: str
    merge: str
    same: str
    usable: str
    listed: str | None
    candidates: tuple[str, ...]


def merge_trials(link: Link, tables: Tables) -> Iterator[MergeTrial]:
    node = link.arbiter
    places = {side.node: alias for side, alias in zip(link.sides, "ab", strict=True)}
    for field in link.fields:
        rule = field.rule
        if rule.merge is None:
            continue
        column = tables[node, link.side(node).table].column(field.columns[node])
        kind, merged = declared(column), to_sql_both(rule.merge, lambda at, _: f"v.{places[at]}")
        pairs = f"FROM unnest(CAST({PARAMETER} AS text[]), CAST({PARAMETER} AS text[])) WITH ORDINALITY AS given (a, b, n)"
        typed = f"CROSS JOIN LATERAL (SELECT CAST(given.a AS {kind}) AS a, CAST(given.b AS {kind}) AS b) AS v"
        yield MergeTrial(
            where=rule.merge.mark,
            field=field.name,
            node=node,
            type=column.type,
            merge=with_parameters(f"SELECT CAST(CAST(({merged}) AS {kind}) AS text) {pairs} {typed} ORDER BY n"),
            same=with_parameters(f"SELECT CAST(v.a IS NOT DISTINCT FROM v.b AS text) {pairs} {typed} ORDER BY n"),
            usable=usable(column),
            listed=listed(column),
            candidates=samples(column),
        )


ONE_VALUE = f"FROM unnest(CAST({PARAMETER} AS text[])) WITH ORDINALITY AS given (a, n)"


def usable(column: Column) -> str:
    """Each of some texts as the column's type writes it."""
    return with_parameters(f"SELECT CAST(CAST(given.a AS {column.type}) AS text) {ONE_VALUE} ORDER BY n")


def listed(column: Column) -> str | None:
    """The values of a type that lists them."""
    if column.category != "E":
        return None
    return f"SELECT CAST(unnest(enum_range(CAST(NULL AS {column.base_type}))) AS text) LIMIT 12"


def expression_trials(link: Link, links: Mapping[str, Link], tables: Tables, source: str, target: str) -> Iterator[Trial]:
    """The link's expressions that are evaluated on `target`."""
    layout = Layout(link, links, tables, source, target)
    stage, own = layout.temporary("stage"), layout.target_relation
    for number, field in enumerate(link.fields):
        if target in field.convert:
            convert = field.convert[target]
            value = expression(convert, layout.target_column(number))
            yield Trial(convert.mark, f"the expression of field {field.name}", f"SELECT {value} FROM {stage} s")
        if target in field.initial:
            mark = field.initial[target].mark
            value = layout.initial_value(number)
            yield Trial(mark, f"the initial value of field {field.name}", f"SELECT {value} FROM {stage} s")
        if field.lookup and target in field.writes and field.lookup.node == target:
            yield from _lookup_trials(field.name, field.lookup, layout, number, stage)
    if layout.source_side.where is not None:
        yield Trial(layout.source_side.where.mark, "this condition", f"SELECT FROM {stage} s WHERE {layout.inside}")
    if layout.target_side.where is not None:
        yield Trial(layout.target_side.where.mark, "this condition", f"SELECT FROM {own} t WHERE {layout.target_inside}")
    create = link.create.get(target)
    if create is not None:
        yield Trial(create.mark, "this condition", f"SELECT FROM {stage} s WHERE {layout.may_create}")
    rule = link.delete.get(target)
    for column, value_set in rule.assignments if rule else ():
        value = to_sql(value_set, lambda name: "t." + quote(name))
        yield Trial(value_set.mark, f"what a delete sets {column} to", f"UPDATE {own} t SET {quote(column)} = {value}")
    restore = link.restore.get(target)
    for column, value_set in restore.assignments if restore else ():
        value = to_sql(value_set, lambda name: "t." + quote(name))
        yield Trial(value_set.mark, f"what `restore` sets {column} to", f"UPDATE {own} t SET {quote(column)} = {value}")


def stub_trials(link: Link, links: Mapping[str, Link], tables: Tables, source: str, target: str) -> Iterator[Trial]:
    """What stubs of the link are given on `target`."""
    layout = Layout(link, links, tables, source, target)
    stub = link.stub.get(target)
    key = f"CAST(NULL AS {layout.key_columns(source)[0].portable})"
    for column, given in stub.assignments if stub else ():
        value = f"CAST(({to_sql(given, lambda _: key)}) AS {declared(layout.target_table.column(column))})"
        yield Trial(given.mark, f"what `stub` sets {column} to", f"SELECT {value}")


def _lookup_trials(name: str, lookup: Lookup, layout: Layout, number: int, stage: str) -> Iterator[Trial]:
    if lookup.default is not None:
        wanted = declared(layout.target_column(number))
        what = f"the default of the lookup of field {name}, as {wanted}"
        yield Trial(lookup.mark, what, f"SELECT CAST({literal(lookup.default)} AS {wanted})")
    known = layout.tables[lookup.node, lookup.table]
    for column, wish in lookup.match.items():
        value = f"CAST(({to_sql(wish, staged)}) AS {known.column(column).base_type})"
        yield Trial(wish.mark, f"the lookup of field {name} by {column}", f"SELECT {value} FROM {stage} s")


def step_trials(program: Program) -> Iterator[Trial]:
    """Every step of the program that is one statement without parameters."""
    for stubs in program.stubs:
        for sql in (stubs.make, *stubs.settle):
            yield Trial(program.link.mark, f"the stubs of link {stubs.link} that link {program.link.name} makes", sql)
    for step in fields(program.steps):
        found = getattr(program.steps, step.name)
        for sql in (found,) if isinstance(found, str) else found or ():
            if sql.startswith(PLANNED) and ";\n" not in sql and "%s" not in sql:
                what = f"the step `{step.name}` that link {program.link.name} is compiled to"
                yield Trial(program.link.mark, what, sql)

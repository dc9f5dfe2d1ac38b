"""Statements that a server is asked to plan, never to run, so that it says what it thinks of a link.

First each of the user's expressions alone, so that what is refused has its place in the file; then the
compiled steps as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from replicator.mapping.expressions import to_sql
from replicator.model.finding import Mark
from replicator.model.link import Link
from replicator.program.layout import Layout
from replicator.program.program import Program
from replicator.program.projection import Tables, expression
from replicator.program.sql import quote, table

PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")  # what EXPLAIN takes


@dataclass(frozen=True, slots=True)
class Trial:
    """`what` completes "the server refuses ...". The session's temporary tables must be there."""

    where: Mark
    what: str
    sql: str


def expression_trials(link: Link, links: Mapping[str, Link], tables: Tables, source: str, target: str) -> Iterator[Trial]:
    """The link's expressions that are evaluated on `target`."""
    layout = Layout(link, links, tables, source, target)
    stage, own = layout.temporary("stage"), table(layout.target_side.table)
    for number, field in enumerate(link.fields):
        if target in field.convert:
            convert = field.convert[target]
            value = expression(convert, layout.target_column(number))
            yield Trial(convert.mark, f"the expression of field {field.name}", f"SELECT {value} FROM {stage} s")
        if target in field.initial:
            mark = field.initial[target].mark
            value = layout.initial_value(number)
            yield Trial(mark, f"the initial value of field {field.name}", f"SELECT {value} FROM {stage} s")
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


def step_trials(program: Program) -> Iterator[Trial]:
    """Every step of the program that is one statement without parameters."""
    for step in fields(program.steps):
        found = getattr(program.steps, step.name)
        for sql in (found,) if isinstance(found, str) else found or ():
            if sql.startswith(PLANNED) and ";\n" not in sql and "%s" not in sql:
                what = f"the step `{step.name}` that link {program.link.name} is compiled to"
                yield Trial(program.link.mark, what, sql)

"""Whether the two expressions of a `convert` undo each other, as statements over made-up values; all travel as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from replicator.mapping.expressions import to_sql
from replicator.mapping.records import record
from replicator.mapping.samples import samples
from replicator.mapping.types import family
from replicator.model.finding import Mark
from replicator.model.link import Expression, Field, Link
from replicator.model.table import Column
from replicator.program.projection import Tables
from replicator.program.sql import PARAMETER, declared, with_parameters
from replicator.program.trials import ONE_VALUE, listed, usable


@dataclass(frozen=True, slots=True)
class End:
    """One node of such a field.

    made     takes an array of the other node's values, gives what each becomes here
    same     takes two arrays, gives for each pair whether the type calls the two equal; fails for types that cannot tell
    usable, listed, candidates   as in MergeTrial: the values to begin with; NULL is one if `nullable`
    """

    node: str
    made: str
    same: str
    usable: str
    listed: str | None
    candidates: tuple[str, ...]
    nullable: bool


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """`measured`: both are numbers, or both times, so that values of the one should have one of the other each."""

    where: Mark
    field: str
    ends: tuple[End, End]
    measured: bool


def round_trips(link: Link, tables: Tables) -> Iterator[RoundTrip]:
    """Fields that go both ways through expressions over nothing but each other's column."""
    one, other = (side.node for side in link.sides)
    for field in link.fields:
        if not {one, other} <= field.convert.keys() & field.writes:
            continue
        if field.convert[one].reads != {field.columns[other]} or field.convert[other].reads != {field.columns[one]}:
            continue
        first, second = (field.first, other if field.first == one else one)
        a, b = _column(link, tables, field, first), _column(link, tables, field, second)
        if a is None or b is None:
            continue
        ends = _end(first, a, b, field.convert[first]), _end(second, b, a, field.convert[second])
        measured = family(a) == family(b) and family(a) in ("number", "time")
        yield RoundTrip(field.convert[second].mark, field.name, ends, measured)


def _column(link: Link, tables: Tables, field: Field, node: str) -> Column | None:
    found = record(link.side(node), tables)
    return found.by_name.get(field.columns[node]) if found else None


def _end(node: str, column: Column, other: Column, convert: Expression) -> End:
    kind = declared(column)
    value = f"CAST(({to_sql(convert, lambda _: 'v.x')}) AS {kind})"
    typed = f"CROSS JOIN LATERAL (SELECT CAST(given.a AS {other.portable}) AS x) AS v"
    pairs = f"FROM unnest(CAST({PARAMETER} AS text[]), CAST({PARAMETER} AS text[])) WITH ORDINALITY AS given (a, b, n)"
    return End(
        node=node,
        made=with_parameters(f"SELECT CAST({value} AS text) {ONE_VALUE} {typed} ORDER BY n"),
        same=with_parameters(
            f"SELECT CAST(CAST(given.a AS {kind}) IS NOT DISTINCT FROM CAST(given.b AS {kind}) AS text) {pairs} ORDER BY n"
        ),
        usable=usable(column),
        listed=listed(column),
        candidates=samples(column),
        nullable=not column.not_null,
    )

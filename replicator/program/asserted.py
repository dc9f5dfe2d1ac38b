"""Assertions of a link: two queries' results beside each other, on the forward side's other node.

`here` is the forward side, whose rows are shipped; `there` the other. Values are compared as values: numbers with numbers
of any type, values of one type by its equality, anything else as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from replicator.errors import ConfigurationError
from replicator.model.link import Assertion
from replicator.model.table import Column
from replicator.program import names
from replicator.program.layout import Layout
from replicator.program.names import fitted
from replicator.program.sql import differs, literal, quote, state


@dataclass(frozen=True, slots=True)
class Asserted:
    """shipped   COPY on this side
    setup, load  a session table on the other side
    many         SELECT of how many rows each gives, here and there
    unlike       (key here, key there, name, value here, value there), ordered by key; without keys, NULL for these
    """

    name: str
    per_record: bool
    shipped: str
    setup: str
    load: str
    many: str
    unlike: str


def asserted(
    layout: Layout, assertion: Assertion, number: int, columns: Mapping[str, Sequence[Column]], present: str
) -> Asserted:
    """`layout`: of the forward flow. `columns`: by node, what the queries give. `present`: SELECT of the keys of the other
    side's records, for a link without pairs."""
    here, there = columns[layout.source], columns[layout.target]
    keys_here = len(layout.source_side.key) if assertion.per_record else 0
    keys_there = len(layout.target_side.key) if assertion.per_record else 0
    if len(here) - keys_here != len(there) - keys_there or len(here) <= keys_here:
        what = "key columns, then as many values" if assertion.per_record else "as many values"
        said = f"{layout.source} gives {len(here)} columns, {layout.target} {len(there)}"
        raise ConfigurationError(
            f"{assertion.mark}: assertion {assertion.name}: {said}", f"name {what} on one side as on the other"
        )
    shipped = quote(fitted(f"asserted_{number}_{layout.link.name}"))
    declared = ", ".join(f"c_{i} {column.portable}" for i, column in enumerate(here))
    query_here, query_there = (assertion.queries[node].text for node in (layout.source, layout.target))
    other = f"({query_there}\n) AS b ({', '.join(f'c_{i}' for i in range(len(there)))})"
    pairs = list(zip(range(keys_here, len(here)), range(keys_there, len(there)), strict=True))
    values = ", ".join(
        f"({literal(here[i].name)}, a.c_{i}::text, b.c_{j}::text, {_unlike(here[i], there[j], f'a.c_{i}', f'b.c_{j}')})"
        for i, j in pairs
    )
    rows, key_here, key_there = _rows(layout, assertion, shipped, other, here, there, present)
    return Asserted(
        name=assertion.name,
        per_record=assertion.per_record,
        shipped=f"COPY ({query_here}\n) TO STDOUT",
        setup=f"CREATE TEMP TABLE {shipped} ({declared})",
        load=f"COPY {shipped} FROM STDIN",
        many=f"SELECT (SELECT count(*) FROM {shipped}), (SELECT count(*) FROM ({query_there}\n) b)",
        unlike=(
            f"SELECT {key_here}, {key_there}, f.name, f.here, f.there FROM {rows}"
            f" CROSS JOIN LATERAL (VALUES {values}) f (name, here, there, unlike) WHERE f.unlike ORDER BY 1, 2"
        ),
    )


def _rows(
    layout: Layout,
    assertion: Assertion,
    shipped: str,
    other: str,
    here: Sequence[Column],
    there: Sequence[Column],
    present: str,
) -> tuple[str, str, str]:
    """What both are joined to, and the two keys."""
    if not assertion.per_record:
        return f"(SELECT) one LEFT JOIN {shipped} a ON true LEFT JOIN {other} ON true", "NULL::text[]", "NULL::text[]"
    sides = (layout.source_side, layout.target_side)
    if layout.direct:
        base, own = f"({present}) x", [[f"x.k_{i}" for i in range(len(side.key))] for side in sides]
        kinds = [layout.key_columns(layout.target)] * 2
    else:
        base = f"{state(names.crosswalk(layout.link))} x"
        own = [[f"x.{quote(c)}" for c in names.pair_columns(layout.link, side.node)] for side in sides]
        kinds = [layout.key_columns(side.node) for side in sides]
    joins = [
        " AND ".join(
            _equal(column, kind, f"{alias}.c_{i}", key)
            for i, (column, kind, key) in enumerate(zip(columns, kinds_of, keys, strict=False))
        )
        for alias, columns, kinds_of, keys in zip(("a", "b"), (here, there), kinds, own, strict=True)
    ]
    rows = f"{base} LEFT JOIN {shipped} a ON {joins[0]} LEFT JOIN {other} ON {joins[1]}"
    key_here, key_there = (f"ARRAY[{', '.join(f'{key}::text' for key in keys)}]" for keys in own)
    return rows, key_here, key_there


def _alike(one: Column, other: Column) -> bool:
    return one.category == other.category == "N" or one.base_type == other.base_type or one.category == other.category == "S"


def _unlike(one: Column, other: Column, left: str, right: str) -> str:
    if not _alike(one, other) or one.portable != one.base_type:
        return f"{left}::text IS DISTINCT FROM {right}::text"
    return differs(one, left, right)


def _equal(column: Column, kind: Column, value: str, key: str) -> str:
    return f"{value} = {key}" if _alike(column, kind) and column.portable == column.base_type else f"{value}::text = {key}::text"

"""One field, one direction: the SQL of the value it takes on the target, and of when it cannot be told.

The staged row is `s`: `s.n_<column>` is a new value, `s.e_<field>` a natural key that was
looked up on the source. Joins that a value needs are named after the field's number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from replicator.mapping.expressions import to_sql
from replicator.model.link import Expression, Field, Link, Lookup, Missing, ValueMap
from replicator.model.table import Column, Table, TableName
from replicator.program.names import fitted
from replicator.program.references import At, Option, referenced
from replicator.program.sql import PARAMETER, cast, declared, literal, quote, table, with_parameters

Tables = Mapping[tuple[str, TableName], Table]  # (node, table) -> what the database says of it


@dataclass(frozen=True, slots=True)
class Enrichment:
    """A value read on the source beside the row: that of `table`'s row whose `key` the row has, SQL `value` over its columns.

    `position` is the place of the key in the feed's columns, `type` its type; `stage_type` the type the value is staged as.
    """

    field: int
    position: int
    table: TableName
    key: str
    value: str
    type: str
    stage_type: str = "text"

    @property
    def sql(self) -> str:
        """Takes an array of raw keys and gives (key, value) as text."""
        # The key as its output function writes it, as on the wire; ::text may differ (boolean, char(n)).
        return with_parameters(
            f"SELECT format('%s', {quote(self.key)}), {self.value} FROM {table(self.table)}"
            f" WHERE {quote(self.key)} = ANY(CAST({PARAMETER} AS text[])::{self.type}[])"
        )


@dataclass(frozen=True, slots=True)
class Projected:
    """value   SQL over `s` and the joins, of the target column's type
    joins   join clauses that the value needs
    miss    SQL condition: there should be a value and there is none (None: cannot happen)
    raw     SQL of the raw source value that found nothing, for messages and for waiting
    waits   SQL of the name of the link whose new pair would help (None: nothing on our side would)
    unknown   SQL condition: whatever comes, there will be no value (of a reference that may be left empty, or get a stub)
    options   the links that a reference may lead to
    """

    value: str
    joins: tuple[str, ...] = ()
    miss: str | None = None
    raw: str | None = None
    waits: str | None = None
    unknown: str | None = None
    options: tuple[Option, ...] = ()


def staged(column: str) -> str:
    return f"s.{quote(fitted('n_' + column))}"


def staged_before(column: str) -> str:
    """The value before the change, for columns of weighed fields."""
    return f"s.{quote(fitted('b_' + column))}"


@dataclass(frozen=True, slots=True)
class Image:
    """Which image of the staged row a value is made from: its columns, and the prefix of what was looked up for it."""

    column: Callable[[str], str]
    looked_up: str
    alias: str


NOW = Image(staged, "e", "")
BEFORE = Image(staged_before, "f", "b")


def expression(value: Expression, target: Column, image: Image = NOW) -> str:
    return f"CAST(({to_sql(value, image.column)}) AS {declared(target)})"


def project(
    links: Mapping[str, Link],
    tables: Tables,
    number: int,
    field: Field,
    source: Table,
    target: Table,
    nodes: tuple[str, str],
    image: Image = NOW,
) -> Projected:
    """The value that `field` takes on the target (nodes: source, target)."""
    source_node, target_node = nodes
    wanted = target.column(field.columns[target_node])
    if field.reference is not None:
        looked_up = f"s.{quote(f'{image.looked_up}_{number}')}"
        at = At(links, tables, source_node, target_node, image.column, looked_up, f"r{image.alias}{number}")
        to = referenced(at, field, wanted)
        miss = None if field.reference.missing is Missing.NULL else to.miss
        return Projected(to.value, to.joins, miss, to.raw, to.waits, to.unknown, to.options)
    if target_node in field.convert:
        return Projected(expression(field.convert[target_node], wanted, image))
    if field.lookup is not None and field.lookup.match:
        return _matched(field.lookup, f"k{image.alias}{number}", wanted, tables, image)
    given = source.column(field.columns[source_node])
    value = image.column(given.name)
    if field.values is not None:
        return _mapped(field, value, wanted, forward=field.first == source_node)
    if field.lookup is not None:
        waits = field.lookup.missing is Missing.WAIT
        if field.lookup.node == target_node:
            joins, found, key_type = _lookup_join(field, f"k{image.alias}{number}", value, tables)
        else:
            joins, found, key_type = (), f"s.{quote(f'{image.looked_up}_{number}')}", "?"
        default = field.lookup.default if field.lookup.node == target_node else None
        miss = f"{value} IS NOT NULL AND {found} IS NULL" if waits and default is None else None
        result = cast(found, key_type, declared(wanted))
        if default is not None:
            result = f"CASE WHEN {value} IS NOT NULL AND {found} IS NULL THEN CAST({literal(default)} AS {declared(wanted)}) ELSE {result} END"
        return Projected(result, joins, miss, f"{value}::text")
    return Projected(cast(value, given.portable, declared(wanted)))


def _mapped(field: Field, value: str, wanted: Column, forward: bool) -> Projected:
    assert field.values is not None
    pairs = [(a, b) if forward else (b, a) for a, b in field.values.pairs]
    default = _default(field.values, forward)
    listed = ", ".join(literal(a) for a, _ in pairs)
    whens = " ".join(f"WHEN {literal(a)} THEN {literal(b)}" for a, b in pairs)
    other = f" ELSE {literal(default)}" if default is not None else ""
    sql = f"CAST(CASE {value}::text {whens}{_null_guard(value, other)} END AS {declared(wanted)})"
    miss = None if default is not None else f"{value} IS NOT NULL AND {value}::text NOT IN ({listed})"
    return Projected(sql, (), miss, f"{value}::text")


def _default(values: ValueMap, forward: bool) -> str | None:
    return values.forward_default if forward else values.backward_default


def _null_guard(value: str, other: str) -> str:
    # A NULL stays a NULL; only values that are there take the default.
    return f" ELSE CASE WHEN {value} IS NOT NULL THEN {other.removeprefix(' ELSE ')} END" if other else ""


def _matched(lookup: Lookup, alias: str, wanted: Column, tables: Tables, image: Image) -> Projected:
    """The key of the row whose columns have these values; nothing is looked for if one of them is NULL."""
    known = tables[lookup.node, lookup.table]
    asked = []
    for name, wish in lookup.match.items():
        value = f"CAST(({to_sql(wish, image.column)}) AS {known.column(name).base_type})"
        asked.append((f"{alias}.{quote(name)}", value))
    on = " AND ".join(_folded(lookup, left, right) for left, right in asked)
    join = (
        f"LEFT JOIN LATERAL (SELECT {alias}.{quote(lookup.key)} AS found FROM {table(lookup.table)} {alias} WHERE {on}"
        f" ORDER BY 1 LIMIT 1) {alias} ON true"
    )
    found = f"{alias}.found"
    there = " AND ".join(f"{value} IS NOT NULL" for _, value in asked)
    result = cast(found, "?", declared(wanted))
    miss = f"{there} AND {found} IS NULL" if lookup.missing is Missing.WAIT and lookup.default is None else None
    if lookup.default is not None:
        result = f"CASE WHEN {found} IS NULL THEN CAST({literal(lookup.default)} AS {declared(wanted)}) ELSE {result} END"
    return Projected(result, (join,), miss, " || ', ' || ".join(f"{value}::text" for _, value in asked))


def _folded(lookup: Lookup, left: str, right: str) -> str:
    return f"lower(btrim({left}::text)) = lower(btrim({right}::text))" if lookup.fold else f"{left} = {right}"


def _lookup_join(field: Field, alias: str, value: str, tables: Tables) -> tuple[tuple[str, ...], str, str]:
    lookup = field.lookup
    assert lookup is not None
    by, key = quote(lookup.by), quote(lookup.key)
    known = tables[lookup.node, lookup.table]
    if known.is_unique((lookup.by,)) and not lookup.fold:
        wanted = known.column(lookup.by).base_type
        return (
            (f"LEFT JOIN {table(lookup.table)} {alias} ON {alias}.{by} = CAST({value} AS {wanted})",),
            f"{alias}.{key}",
            "?",
        )
    # DISTINCT ON: a natural key that is there twice must not double the record.
    natural = f"lower(btrim({by}::text))" if lookup.fold else f"{by}::text"
    inner = f"SELECT DISTINCT ON ({natural}) {natural} AS natural_key, {key} AS found FROM {table(lookup.table)} ORDER BY {natural}, {key}"
    wish = f"lower(btrim({value}::text))" if lookup.fold else f"{value}::text"
    return (f"LEFT JOIN ({inner}) {alias} ON {alias}.natural_key = {wish}",), f"{alias}.found", "?"


def enrichments(link: Link, source: Table, source_node: str, positions: dict[str, int]) -> tuple[Enrichment, ...]:
    """Lookups whose table is on the source: the natural key is read there, in the batch, as of now."""
    found = []
    for number, field in enumerate(link.fields):
        kept = field.reference.tables.get(source_node) if field.reference else None
        if field.reference is not None and kept is not None:
            kind = source.column(field.reference.places[source_node][0])
            name = " || '.' || ".join(f"{quote(column)}::text" for column in kept.by)
            found.append(Enrichment(number, positions[kind.name], kept.table, kept.key, name, kind.base_type))
        lookup = field.lookup
        if lookup is None or lookup.node != source_node or field.columns[source_node] not in positions:
            continue
        column = source.column(field.columns[source_node])
        natural = f"{quote(lookup.by)}::text"
        found.append(Enrichment(number, positions[column.name], lookup.table, lookup.key, natural, column.base_type))
    return tuple(found)

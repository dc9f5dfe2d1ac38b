"""One field, one direction: the SQL of the value it takes on the target, and of when it cannot be told.

The staged row is `s`: `s.n_<column>` is a new value, `s.e_<field>` a natural key that was
looked up on the source. Joins that a value needs are named after the field's number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from replicator.errors import ConfigurationError
from replicator.mapping.expressions import to_sql
from replicator.model.link import Expression, Field, Link, Lookup, Missing, ValueMap
from replicator.model.table import Column, Table, TableName
from replicator.program import names
from replicator.program.names import fitted
from replicator.program.sql import PARAMETER, cast, declared, literal, quote, state, table, with_parameters

Tables = Mapping[tuple[str, TableName], Table]  # (node, table) -> what the database says of it


@dataclass(frozen=True, slots=True)
class Enrichment:
    """A value read on the source beside the row: `sql` takes an array of raw keys and gives (key, value) as text.

    `position` is the place of the raw key in the feed's columns; `stage_type` the type the value is staged as.
    """

    field: int
    position: int
    sql: str
    stage_type: str


@dataclass(frozen=True, slots=True)
class Projected:
    """value   SQL over `s` and the joins, of the target column's type
    joins   join clauses that the value needs
    miss    SQL condition: there should be a value and there is none (None: cannot happen)
    raw     SQL of the raw source value that found nothing, for messages and for waiting
    waits_for   link whose new pair would help (None: nothing on our side would)
    """

    value: str
    joins: tuple[str, ...] = ()
    miss: str | None = None
    raw: str | None = None
    waits_for: str | None = None


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
    if field.reference is not None and target_node in field.convert:
        other = links[field.reference.link].side(source_node)
        kind = tables[source_node, other.table].column(other.key[0]).portable
        value = f"CAST(({to_sql(field.convert[target_node], image.column)}) AS {kind})"
        return _referenced(links[field.reference.link], field, f"r{image.alias}{number}", value, wanted, nodes)
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
    if field.reference is not None:
        return _referenced(links[field.reference.link], field, f"r{image.alias}{number}", value, wanted, nodes)
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


def _referenced(other: Link, field: Field, alias: str, value: str, wanted: Column, nodes: tuple[str, str]) -> Projected:
    source_keys, target_keys = names.pair_columns(other, nodes[0]), names.pair_columns(other, nodes[1])
    if len(source_keys) != 1 or len(target_keys) != 1:
        raise ConfigurationError(f"{field.mark}: link {other.name} has a key of several columns and cannot be referred to")
    join = f"LEFT JOIN {state(names.crosswalk(other))} {alias} ON {alias}.{quote(source_keys[0])} = {value}"
    found = f"{alias}.{quote(target_keys[0])}"
    assert field.reference is not None
    waits = field.reference.missing is not Missing.NULL
    miss = f"{value} IS NOT NULL AND {found} IS NULL" if waits else None
    return Projected(cast(found, "?", declared(wanted)), (join,), miss, f"{value}::text", other.name)


def enrichments(link: Link, source: Table, source_node: str, positions: dict[str, int]) -> tuple[Enrichment, ...]:
    """Lookups whose table is on the source: the natural key is read there, in the batch, as of now."""
    found = []
    for number, field in enumerate(link.fields):
        lookup = field.lookup
        if lookup is None or lookup.node != source_node or field.columns[source_node] not in positions:
            continue
        column = source.column(field.columns[source_node])
        # The key as its output function writes it, as on the wire; ::text may differ (boolean, char(n)).
        sql = with_parameters(
            f"SELECT format('%s', {quote(lookup.key)}), {quote(lookup.by)}::text FROM {table(lookup.table)}"
            f" WHERE {quote(lookup.key)} = ANY(CAST({PARAMETER} AS text[])::{column.base_type}[])"
        )
        found.append(Enrichment(number, positions[column.name], sql, "text"))
    return tuple(found)

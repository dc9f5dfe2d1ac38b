"""References to records of other links: the key that the other node has for them, through the crosswalk.

Where a reference may be to records of several links, its kind tells which; kind and key stand in a column each, or in one
text `kind,key`. What is made of a key found is said once (`Option.value`), for the joins of a batch and for stubs alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from replicator.errors import ConfigurationError
from replicator.mapping.expressions import to_sql
from replicator.model.link import Field, Kind, Link, Missing, Reference
from replicator.model.table import Column, Table, TableName
from replicator.program import names
from replicator.program.sql import cast, declared, literal, quote, state, table


@dataclass(frozen=True, slots=True)
class Option:
    """One link that a reference may lead to.

    key    SQL of the source's key, of the crosswalk's type; NULL if the reference is to another kind
    type   that type
    value  the field's value on the target, given SQL of the target's key there
    """

    link: str
    key: str
    type: str
    value: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Referenced:
    """value, joins, miss, raw as in Projected; waits: SQL of the name of the link whose new pair would help; unknown: SQL
    condition under which nothing would."""

    value: str
    joins: tuple[str, ...]
    miss: str
    raw: str
    waits: str
    options: tuple[Option, ...]
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class At:
    """Where a reference is made: `column` gives the SQL of a source column, `looked_up` of a kind that was looked up there."""

    links: Mapping[str, Link]
    tables: Mapping[tuple[str, TableName], Table]
    source: str
    target: str
    column: Callable[[str], str]
    looked_up: str
    alias: str


def referenced(at: At, field: Field, wanted: Column) -> Referenced:
    """The value that a field with a reference takes on the target."""
    assert field.reference is not None
    reference = field.reference
    kind, key = _written(at, field, reference)
    options, joins, found = [], [], []
    for number, one in enumerate(reference.kinds):
        other = at.links[one.link]
        source_keys, target_keys = names.pair_columns(other, at.source), names.pair_columns(other, at.target)
        if len(source_keys) != 1 or len(target_keys) != 1:
            raise ConfigurationError(f"{field.mark}: link {other.name} has a key of several columns and cannot be referred to")
        type_ = _key_type(at, other)
        alias = f"{at.alias}_{number}" if reference.several else at.alias
        typed = (
            f"CASE WHEN {kind} = {literal(one.names[at.source])} THEN CAST({key} AS {type_}) END" if reference.several else key
        )
        joins.append(f"LEFT JOIN {state(names.crosswalk(other))} {alias} ON {alias}.{quote(source_keys[0])} = {typed}")
        found.append(f"{alias}.{quote(target_keys[0])}")
        options.append(Option(one.link, typed, type_, _value(at, reference, one, wanted)))
    if not reference.several:
        value, waits, unknown = options[0].value(found[0]), literal(options[0].link), None
    else:
        whens = " ".join(f"WHEN {f} IS NOT NULL THEN {o.value(f)}" for o, f in zip(options, found, strict=True))
        value = f"CASE {whens} END"
        waits = (
            f"CASE {kind} {' '.join(f'WHEN {literal(k.names[at.source])} THEN {literal(k.link)}' for k in reference.kinds)} END"
        )
        unknown = f"({key}) IS NOT NULL AND ({waits}) IS NULL"
        if at.target in reference.tables:
            there = " OR ".join(f"{f} IS NOT NULL" for f in found)
            unknown = f"({unknown} OR (({there}) AND {value} IS NULL))"
    missing = " AND ".join(f"{f} IS NULL" for f in found)
    miss = f"({key}) IS NOT NULL AND {missing}" + (f" AND ({waits}) IS NOT NULL" if reference.several else "")
    if reference.missing is Missing.NULL:
        unknown = None
    return Referenced(value, tuple(joins), miss, f"({key})::text", waits, tuple(options), unknown)


def _written(at: At, field: Field, reference: Reference) -> tuple[str, str]:
    """SQL of the kind's name and of the key, as the source has them."""
    if not reference.several:
        if at.target in field.convert:
            kept = _key_type(at, at.links[reference.links[0]])
            return "", f"CAST(({to_sql(field.convert[at.target], at.column)}) AS {kept})"
        return "", at.column(field.columns[at.source])
    place = reference.places[at.source]
    if len(place) == 1:
        text = at.column(place[0])
        return f"split_part({text}, ',', 1)", f"nullif(split_part({text}, ',', 2), '')"
    kind = at.looked_up if at.source in reference.tables else f"{at.column(place[0])}::text"
    return kind, at.column(place[1])


def _key_type(at: At, other: Link) -> str:
    side = other.side(at.source)
    return at.tables[at.source, side.table].column(side.key[0]).portable


def _value(at: At, reference: Reference, kind: Kind, wanted: Column) -> Callable[[str], str]:
    type_ = declared(wanted)
    if not reference.several:
        return lambda found: cast(found, "?", type_)
    name = literal(kind.names[at.target])
    if len(reference.places[at.target]) == 1:
        return lambda found: f"CAST({name} || ',' || {found}::text AS {type_})"
    if reference.part == "key":
        return lambda found: cast(found, "?", type_)
    kept = reference.tables.get(at.target)
    if kept is not None:
        known = " || '.' || ".join(f"c.{quote(column)}::text" for column in kept.by)
        name = f"(SELECT c.{quote(kept.key)} FROM {table(kept.table)} c WHERE {known} = {name} ORDER BY 1 LIMIT 1)"
    return lambda found: f"CASE WHEN {found} IS NOT NULL THEN CAST({name} AS {type_}) END"

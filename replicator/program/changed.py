"""Which tables a link reads, and which of its records a change can concern that one of them shows by its row versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from replicator.model.link import Link, Side
from replicator.program import names
from replicator.program.compare import records_of
from replicator.program.layout import Layout
from replicator.program.pairs import buckets
from replicator.program.sql import quote, state, table

Young = Callable[[str], str]  # alias of a row -> SQL: it may have another version than before


@dataclass(frozen=True, slots=True)
class Read:
    """Tables on one node, as SQL names them.

    own     whose rows the records are: a change of one concerns the record of that key
    pairs   the crosswalk: a change of a pair concerns its records
    dead    tombstones: they matter to records without a pair only
    named   the crosswalks of links that fields refer to: a change of a pair concerns the records that name it
    around  everything else: it is not known which records a change concerns
    """

    own: tuple[str, ...]
    pairs: tuple[str, ...]
    dead: tuple[str, ...]
    named: tuple[str, ...]
    around: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.own, *self.pairs, *self.dead, *self.named, *self.around)))


def tables_read(link: Link, links: Mapping[str, Link], node: str, paired: bool) -> Read:
    side = link.side(node)
    own = tuple(table(name) for name in side.records)
    around = [table(name) for query in side.queries for name in query.tables]
    around += [table(name) for at, name in link.looked_up if at == node]
    referred = (name for f in link.fields if f.reference is not None for name in f.reference.links)
    named = dict.fromkeys(state(names.crosswalk(links[name])) for name in referred)
    pairs = (state(names.crosswalk(link)),) if paired else ()
    dead = (state(names.tombstone(link)),) if paired else ()
    return Read(own, pairs, dead, tuple(named), tuple(dict.fromkeys(around)))


@dataclass(frozen=True, slots=True)
class Named:
    """A field that names a record of another link. As long as both nodes know the same pairs of it (`buckets` gives the
    same on both), the field's value on the target can only be another one where the pair that it names is young on the
    target (`young`: SELECT of the source's keys of those) or gone, so that it names none.

    setup, load   a session table on the source for the first
    wanted        SELECT, on the source, of the keys of records that name one of these, or none
    """

    buckets: str
    setup: str
    load: str
    crosswalk: str
    key: str
    wanted: str

    def young(self, young: Young) -> str:
        return f"SELECT x.{quote(self.key)} FROM {self.crosswalk} x WHERE {young('x')}"


def named(layout: Layout, numbers: Sequence[int]) -> tuple[Named, ...] | None:
    """Of those fields, on the way of the layout; None if one names its record by an expression, or records of several kinds."""
    found = []
    for i in numbers:
        field = layout.link.fields[i]
        if field.reference is None:
            continue
        if layout.target in field.convert or layout.source not in field.columns or field.reference.several:
            return None
        other = layout.links[field.reference.links[0]]
        crosswalk, (key,) = state(names.crosswalk(other)), names.pair_columns(other, layout.source)
        column = f"r.{quote(field.columns[layout.source])}"
        table_of = layout.temporary(f"named_{i}")
        keys = ", ".join(f"r.{quote(k)}" for k in layout.source_side.key)
        of_young = f"SELECT {keys} FROM {records_of(layout)} WHERE {column} IN (SELECT n.k FROM {table_of} n)"
        of_none = (
            f"SELECT {keys} FROM {records_of(layout)} WHERE {column} IS NOT NULL"
            f" AND NOT EXISTS (SELECT FROM {crosswalk} x WHERE x.{quote(key)} = {column})"
        )
        found.append(
            Named(
                buckets=buckets(other),
                setup=f"CREATE TEMP TABLE {table_of} AS SELECT x.{quote(key)} AS k FROM {crosswalk} x WHERE false",
                load=f"COPY {table_of} FROM STDIN",
                crosswalk=crosswalk,
                key=key,
                wanted=f"{of_young} UNION ALL {of_none}",
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Changed:
    """SELECTs, on one node.

    here     the node's keys of records, or pairs, that have changed
    across   the other node's keys of the same
    """

    here: str
    across: str


def changed(link: Link, node: str, paired: bool, young: Young) -> Changed:
    side = link.side(node)
    own = " UNION ALL ".join(_own(side, young))
    if not paired:
        return Changed(own, own)
    crosswalk = state(names.crosswalk(link))
    mine, theirs = (names.pair_columns(link, n) for n in (node, link.other(node).node))
    same = " AND ".join(f"x.{quote(c)} = o.k_{i}" for i, c in enumerate(mine))

    def keys(columns: tuple[str, ...]) -> str:
        return ", ".join(f"x.{quote(c)}" for c in columns)

    return Changed(
        here=f"{own} UNION ALL SELECT {keys(mine)} FROM {crosswalk} x WHERE {young('x')}",
        across=(
            f"SELECT {keys(theirs)} FROM {crosswalk} x JOIN ({own}) o ON {same}"
            f" UNION ALL SELECT {keys(theirs)} FROM {crosswalk} x WHERE {young('x')}"
        ),
    )


def _own(side: Side, young: Young) -> list[str]:
    keys = {side.table: side.key, **{part.table: part.key for part in side.extends}}
    return [
        f"SELECT {', '.join(f't.{quote(k)} AS k_{i}' for i, k in enumerate(key))} FROM {table(name)} t WHERE {young('t')}"
        for name, key in keys.items()
    ]

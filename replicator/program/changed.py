"""Which tables a link reads, and which of its records a change can concern that one of them shows by its row versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from replicator.model.link import Link, Side
from replicator.program import names
from replicator.program.sql import quote, state, table

Young = Callable[[str], str]  # alias of a row -> SQL: it may have another version than before


@dataclass(frozen=True, slots=True)
class Read:
    """Tables on one node, as SQL names them.

    own     whose rows the records are: a change of one concerns the record of that key
    pairs   the crosswalk: a change of a pair concerns its records
    dead    tombstones: they matter to records without a pair only
    around  everything else: it is not known which records a change concerns
    """

    own: tuple[str, ...]
    pairs: tuple[str, ...]
    dead: tuple[str, ...]
    around: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.own, *self.pairs, *self.dead, *self.around)))


def tables_read(link: Link, links: Mapping[str, Link], node: str, paired: bool) -> Read:
    side = link.side(node)
    own = tuple(table(name) for name in side.records)
    around = [table(name) for query in side.queries for name in query.tables]
    around += [table(name) for at, name in link.looked_up if at == node]
    around += [state(names.crosswalk(links[name])) for f in link.fields if f.reference for name in f.reference.links]
    pairs = (state(names.crosswalk(link)),) if paired else ()
    dead = (state(names.tombstone(link)),) if paired else ()
    return Read(own, pairs, dead, tuple(dict.fromkeys(around)))


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

"""Statements that look up what is known of differing records, and that take pairs apart: for `reconcile --repair`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from replicator.model.link import Link
from replicator.model.table import Table
from replicator.program import names
from replicator.program.sql import PARAMETER, declared, quote, state, table, with_parameters


@dataclass(frozen=True, slots=True)
class Lookups:
    """Of one node; `wanted`: a session table of keys, `w`.

    setup   makes it
    load    COPY of keys
    there   the keys of those whose row is there
    newest  (key, mask of fields as text, stamp): what the replicator wrote there, as far as it is remembered
    forget  pairs and what is remembered of them, of these keys
    clear   empties it
    """

    setup: str
    load: str
    there: str
    newest: str | None
    forget: tuple[str, ...]
    clear: str


def lookups(link: Link, node: str, found: Table) -> Lookups:
    side, pair = link.side(node), names.pair_columns(link, node)
    wanted = quote(names.fitted(f"mend_{link.name}_{node}"))
    columns = ", ".join(f"k_{i} {declared(found.column(k))}" for i, k in enumerate(side.key))
    key = "ARRAY[" + ", ".join(f"w.k_{i}::text" for i in range(len(side.key))) + "]"
    of_row = " AND ".join(f"t.{quote(k)} = w.k_{i}" for i, k in enumerate(side.key))
    of_pair = " AND ".join(f"t.{quote(k)} = w.k_{i}" for i, k in enumerate(pair))
    crosswalk, ledger = state(names.crosswalk(link)), state(names.ledger(link))
    forget = [f"DELETE FROM {crosswalk} t USING {wanted} w WHERE {of_pair}"]
    if link.two_way:
        forget.append(f"DELETE FROM {ledger} t USING {wanted} w WHERE {of_pair}")
    return Lookups(
        setup=f"CREATE TEMP TABLE IF NOT EXISTS {wanted} ({columns})",
        load=f"COPY {wanted} FROM STDIN",
        there=f"SELECT {key} FROM {wanted} w WHERE EXISTS (SELECT FROM {table(side.table)} t WHERE {of_row})",
        newest=(
            f"SELECT {key}, t.fields::text, max(t.stamp) FROM {ledger} t JOIN {wanted} w ON {of_pair} GROUP BY {_keys(side.key)}, t.fields"
            if link.two_way
            else None
        ),
        forget=tuple(forget),
        clear=f"TRUNCATE {wanted}",
    )


def _keys(key: tuple[str, ...]) -> str:
    return ", ".join(f"w.k_{i}" for i in range(len(key)))


def tell(link: Link, tables: Mapping[str, Table]) -> str:
    """Parameters: the keys of both sides as text, part by part, in the order of the sides. Inserts the pair unless one of
    the records has one there. `tables`: by node."""
    columns, values, taken = [], [], []
    for side in link.sides:
        pair = names.pair_columns(link, side.node)
        kinds = [tables[side.node].column(k).portable for k in side.key]
        columns += [quote(k) for k in pair]
        values += [f"CAST(v.{quote(k)} AS {kind})" for k, kind in zip(pair, kinds, strict=True)]
        taken.append(" AND ".join(f"x.{quote(k)} = CAST(v.{quote(k)} AS {t})" for k, t in zip(pair, kinds, strict=True)))
    crosswalk, given = state(names.crosswalk(link)), ", ".join(PARAMETER for _ in columns)
    return with_parameters(
        f"INSERT INTO {crosswalk} ({', '.join(columns)}, made) SELECT {', '.join(values)}, 0 FROM (VALUES ({given})) v"
        f" ({', '.join(columns)}) WHERE NOT EXISTS (SELECT FROM {crosswalk} x WHERE ({') OR ('.join(taken)}))"
    )

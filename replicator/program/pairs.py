"""A link's pairs and records as a whole: statements that find what no look from the other side can show.

Pairs are compared between the nodes by an order-free sum of hashes a bucket: the texts of both keys, hashed by the server.
Keys come first of the link's first side, then of its second, as in the crosswalk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from replicator.model.link import Link
from replicator.program import names
from replicator.program.compare import is_record, records_of, takes_part
from replicator.program.layout import Layout
from replicator.program.sql import declared, literal, quote, state

BUCKETS = 512


@dataclass(frozen=True, slots=True)
class PairChecks:
    """What is asked on one node.

    records    the number of its records that take part
    keys       SELECT of their keys
    unpaired   the same of those that have no pair
    buckets    (bucket, pairs, sum) of the crosswalk
    gone       COPY of pairs whose record is gone, or takes no part; both keys
    bereft     SELECT of the other node's keys of these
    setup      session tables for what the other node says: `theirs` (pairs), `gone` (pairs)
    load_theirs, load_gone   COPY of them
    pairs_in   COPY of the pairs in the buckets `{buckets}`
    lone       (key of the first side, of the second, whether this node knows it, whether one of the keys is in another
               pair on the other node) of pairs that one node alone knows; compares `theirs` with the pairs in `{buckets}`
    dead       (key, key, gone here, gone there) of pairs that both nodes know
    """

    records: str
    keys: str
    unpaired: str
    buckets: str
    gone: str
    bereft: str
    setup: tuple[str, ...]
    load_theirs: str
    load_gone: str
    pairs_in: str
    lone: str
    dead: str


def pair_checks(link: Link, layouts: Mapping[str, Layout], node: str) -> PairChecks:
    """`layouts`: by source, of the flows that there are."""
    present, keys = _present(link, layouts, node)
    crosswalk = state(names.crosswalk(link))
    own = names.pair_columns(link, node)
    columns = [name for side in link.sides for name in names.pair_columns(link, side.node)]
    listed = ", ".join(f"x.{quote(c)}" for c in columns)
    first, second = (names.pair_columns(link, side.node) for side in link.sides)
    mine = " AND ".join(f"p.k_{i} = x.{quote(c)}" for i, c in enumerate(own))
    layout = next(iter(layouts.values()))
    theirs, gone = layout.temporary("theirs"), layout.temporary("gone")
    numbered = _numbered(link)
    in_buckets = f"SELECT {listed} FROM ({numbered}) x WHERE (x.hash & {BUCKETS - 1}) IN ({{buckets}})"
    # The other node's stubs have no record here yet (program/stubs.py).
    expected = f"x.stub IS DISTINCT FROM {literal(link.other(node).node)}"
    without = f"SELECT {listed} FROM {crosswalk} x WHERE {expected} AND NOT EXISTS (SELECT FROM ({present}) p WHERE {mine})"

    def both(alias: str) -> str:
        arrays = (f"ARRAY[{', '.join(f'{alias}.{quote(c)}::text' for c in part)}]" for part in (first, second))
        return ", ".join(arrays)

    def same(one: str, other: str, part: Sequence[str] = columns) -> str:
        return " AND ".join(f"{one}.{quote(c)} = {other}.{quote(c)}" for c in part)

    lone = (
        f"WITH here AS MATERIALIZED ({in_buckets}), lone AS MATERIALIZED ("
        f" SELECT h.*, true AS here FROM here h WHERE NOT EXISTS (SELECT FROM {theirs} t WHERE {same('h', 't')})"
        f" UNION ALL SELECT t.*, false FROM {theirs} t WHERE NOT EXISTS (SELECT FROM here h WHERE {same('h', 't')}))"
        f" SELECT {both('l')}, l.here, EXISTS (SELECT FROM lone o WHERE o.here <> l.here"
        f" AND (({same('o', 'l', first)}) OR ({same('o', 'l', second)}))) FROM lone l"
    )
    dead = (
        f"WITH here AS MATERIALIZED ({without})"
        f" SELECT {both('x')}, h.here IS NOT NULL, g.gone IS NOT NULL FROM {crosswalk} x"
        f" LEFT JOIN (SELECT h.*, true AS here FROM here h) h ON {same('h', 'x')}"
        f" LEFT JOIN (SELECT DISTINCT g.*, true AS gone FROM {gone} g) g ON {same('g', 'x')}"
        f" WHERE h.here OR g.gone"
    )
    like = f"SELECT {listed} FROM {crosswalk} x WHERE false"
    return PairChecks(
        records=f"SELECT count(*) FROM ({present}) p",
        keys=present,
        unpaired=f"SELECT {keys} FROM ({present}) p WHERE NOT EXISTS (SELECT FROM {crosswalk} x WHERE {mine})",
        buckets=buckets(link),
        gone=f"COPY ({without}) TO STDOUT",
        bereft=f"SELECT {', '.join(f'g.{quote(c)}' for c in names.pair_columns(link, link.other(node).node))} FROM ({without}) g",
        setup=tuple(f"CREATE TEMP TABLE {name} AS {like}" for name in (theirs, gone)),
        load_theirs=f"COPY {theirs} FROM STDIN",
        load_gone=f"COPY {gone} FROM STDIN",
        pairs_in=f"COPY ({in_buckets}) TO STDOUT",
        lone=lone,
        dead=dead,
    )


def buckets(link: Link) -> str:
    """(bucket, pairs, sum) of the link's crosswalk."""
    return f"SELECT x.hash & {BUCKETS - 1}, count(*), sum(x.hash) FROM ({_numbered(link)} OFFSET 0) x GROUP BY 1"


def _numbered(link: Link) -> str:
    columns = [name for side in link.sides for name in names.pair_columns(link, side.node)]
    text = ", ".join(f"x.{quote(c)}::text" for c in columns)
    return f"SELECT x.*, hashtextextended(concat_ws(chr(31), {text}), 0) AS hash FROM {state(names.crosswalk(link))} x"


def _present(link: Link, layouts: Mapping[str, Layout], node: str) -> tuple[str, str]:
    """The keys k_0, k_1, ... of the node's records that take part; and the list of these columns."""
    side = link.side(node)
    keys = ", ".join(f"p.k_{i}" for i in range(len(side.key)))
    if node in layouts:
        listed = ", ".join(f"r.{quote(k)} AS k_{i}" for i, k in enumerate(side.key))
        return f"SELECT {listed} FROM {records_of(layouts[node])} WHERE {is_record(layouts[node], 'r')}", keys
    layout = layouts[link.other(node).node]
    listed = ", ".join(f"t.{quote(k)} AS k_{i}" for i, k in enumerate(side.key))
    return f"SELECT {listed} FROM {layout.target_relation} t WHERE {takes_part(layout.target_side)}", keys


@dataclass(frozen=True, slots=True)
class Extras:
    """Records of the target of a link without pairs that the source does not have: its keys are loaded, `found` (or
    `found_as_text`, if one of them cannot be a key of the target's) seeks the others, `listed` gives their keys."""

    setup: str
    load: str
    found: str
    found_as_text: str
    listed: str


def extras(layout: Layout) -> Extras:
    keys, others = layout.temporary("present"), layout.temporary("extra")
    columns = list(enumerate(zip(layout.key_columns(layout.source), layout.key_columns(layout.target), strict=True)))
    declared_keys = ", ".join(f"k_{i} {source.portable}" for i, (source, _) in columns)
    listed = ", ".join(f"t.{quote(target.name)}::text" for _, (_, target) in columns)
    typed = " AND ".join(f"t.{quote(target.name)} = CAST(k.k_{i} AS {declared(target)})" for i, (_, target) in columns)
    texts = " AND ".join(f"t.{quote(target.name)}::text = k.k_{i}::text" for i, (_, target) in columns)
    found = (
        f"CREATE TEMP TABLE {others} AS SELECT ARRAY[{listed}] AS key FROM {layout.target_relation} t WHERE {takes_part(layout.target_side)}"
        f" AND NOT EXISTS (SELECT FROM {keys} k WHERE {{same}})"
    )
    return Extras(
        setup=f"CREATE TEMP TABLE IF NOT EXISTS {keys} ({declared_keys})",
        load=f"COPY {keys} FROM STDIN",
        found=found.replace("{same}", typed),
        found_as_text=found.replace("{same}", texts),
        listed=f"SELECT key FROM {others}",
    )

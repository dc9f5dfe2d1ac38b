"""Equal pairs found without shipping them: order-free sums of hashes a bucket, worked out in place on each node.

Only for links of which every field is a plain copy between columns of one type: equal hashes are equal values then, and
equal values are what the program would find equal. The other way round nothing is concluded: what is in a bucket whose sums
differ is shipped and compared by the program. A row's hash is of 64 bits, over both keys and every value: each is hashed
with a seed of its own, and what they give together is hashed once more, so that values which change places do not cancel
out; the number of pairs stands beside the sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from replicator.model.link import Link, Side
from replicator.model.table import Column
from replicator.program import names
from replicator.program.compare import takes_part
from replicator.program.joined import relation
from replicator.program.layout import Layout, is_plain
from replicator.program.sql import quote, state

BUCKETS = 4096
TEXT = 'hashtextextended({}::text COLLATE "C", {})'
NUMBER = "hashint8extended({}::bigint, {})"
# The hash of a value and a seed. Of two columns both must have the same one: then equal hashes are equal values.
HASHES = {
    "text": TEXT,
    "character varying": TEXT,
    "smallint": NUMBER,
    "integer": NUMBER,
    "bigint": NUMBER,
    "boolean": "hashint8extended({}::integer::bigint, {})",
    "numeric": "hash_numeric_extended({}, {})",
    "double precision": "hashfloat8extended({}, {})",
    "uuid": "uuid_hash_extended({}, {})",
    "timestamp without time zone": "timestamp_hash_extended({}, {})",
    "timestamp with time zone": "timestamp_hash_extended({} AT TIME ZONE 'UTC', {})",
    "date": "hash_record_extended(ROW({}), {})",
    "bytea": "hash_record_extended(ROW({}), {})",
}


@dataclass(frozen=True, slots=True)
class Sums:
    """On one node.

    sums     (bucket, number, sum) of the pairs whose record takes part; without pairs, of the records
    pairs    the number of pairs there are (None: the link has none)
    listed   SELECT of the node's keys in the buckets `{buckets}`
    """

    sums: str
    pairs: str | None
    listed: str


def sums_of(link: Link, layout: Layout, numbers: Sequence[int]) -> Mapping[str, Sums] | None:
    """By node; None where the link's fields are not such that sums tell. `layout`: of either flow."""
    if any(side.query is not None for side in link.sides):
        return None
    columns = _columns(layout)
    values: dict[str, list[tuple[str, str]]] = {node: [] for node in columns}  # (SQL, its hash)
    for i in numbers:
        field = link.fields[i]
        if not is_plain(field) or any(field.columns[side.node] in side.derived for side in link.sides):
            return None
        how = _alike(*(columns[node][field.columns[node]] for node in columns))
        if how is None:
            return None
        for node, found in values.items():
            value = f"t.{quote(field.columns[node])}"
            found.append((f"COALESCE({value}, 0)" if field.rule.kind == "delta" else value, how))
    if not layout.direct:
        return {node: _of_pairs(link, layout, node, found) for node, found in values.items()}
    return _of_both(link, layout, values)


def key_sums_of(link: Link, layout: Layout) -> Mapping[str, Sums] | None:
    """The same of nothing but the keys, for a link without pairs: which keys one node alone has."""
    return _of_both(link, layout, {layout.source: [], layout.target: []}) if layout.direct else None


def _of_both(link: Link, layout: Layout, values: Mapping[str, Sequence[tuple[str, str]]]) -> Mapping[str, Sums] | None:
    if any(side.query is not None for side in link.sides):
        return None
    columns = _columns(layout)
    sides = (layout.source_side, layout.target_side)
    keys = [_alike(columns[layout.source][a], columns[layout.target][b]) for a, b in zip(*(s.key for s in sides), strict=True)]
    hashes = [how for how in keys if how is not None]
    if len(hashes) < len(keys):
        return None
    return {side.node: _of_records(link, side, hashes, values[side.node]) for side in sides}


def _columns(layout: Layout) -> dict[str, Mapping[str, Column]]:
    return {layout.source: layout.source_table.by_name, layout.target: layout.target_table.by_name}


def _alike(one: Column, other: Column) -> str | None:
    """How the values of both are hashed; None if their hashes would say nothing."""
    how = HASHES.get(one.base_type)
    return how if one.comparable and other.comparable and how == HASHES.get(other.base_type) else None


def _of_records(link: Link, side: Side, hashes: Sequence[str], values: Sequence[tuple[str, str]]) -> Sums:
    keys = [(f"t.{quote(k)}", how) for k, how in zip(side.key, hashes, strict=True)]
    own = ", ".join(f"t.{quote(k)}" for k in side.key)
    return _sums(f"{relation(side, link.name)} t WHERE {takes_part(side)}", keys, [*keys, *values], own, None)


def _of_pairs(link: Link, layout: Layout, node: str, values: Sequence[tuple[str, str]]) -> Sums:
    side, crosswalk = link.side(node), state(names.crosswalk(link))
    keys = {
        end.node: [
            (f"x.{quote(name)}", HASHES.get(column.portable, TEXT))
            for name, column in zip(names.pair_columns(link, end.node), layout.key_columns(end.node), strict=True)
        ]
        for end in link.sides
    }
    first, second = keys.values()
    own = [name for name, _ in keys[node]]
    on = " AND ".join(f"t.{quote(k)} = {name}" for k, name in zip(side.key, own, strict=True))
    rows = f"{crosswalk} x JOIN {relation(side, link.name)} t ON {on} WHERE {takes_part(side)}"
    return _sums(rows, first, [*first, *second, *values], ", ".join(own), f"SELECT count(*) FROM {crosswalk}")


def _sums(rows: str, keys: Sequence[tuple[str, str]], values: Sequence[tuple[str, str]], own: str, pairs: str | None) -> Sums:
    bucket = f"{_hash(keys)} & {BUCKETS - 1}"
    return Sums(
        sums=(
            # OFFSET: else it is taken for as many buckets as there are keys, and all rows are sorted.
            f"SELECT bucket, count(*), sum(hash) FROM (SELECT {bucket} AS bucket, {_hash(values)} AS hash FROM {rows} OFFSET 0) s"
            f" GROUP BY 1"
        ),
        pairs=pairs,
        listed=f"SELECT {own} FROM {rows} AND ({bucket}) IN ({{buckets}})",
    )


def _hash(values: Sequence[tuple[str, str]]) -> str:
    each = (f"COALESCE({how.format(value, seed)}, {seed})" for seed, (value, how) in enumerate(values, 1))
    return f"hashint8extended({' # '.join(each)}, 0)"

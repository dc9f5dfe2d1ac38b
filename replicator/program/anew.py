"""Counters of a record that is made anew under the key of a deleted one, before the other side knows of either.

What the other side adds to the old record meanwhile is written on the new one: nobody can tell them apart yet. The ledger
keeps the amounts, so that they are taken back from the new record once its source hears that the pair is dead; what is taken
back is an entry of the ledger itself, so that of several deaths each takes back what is left. A record that only left `where`
is the old one still, and keeps what it was given.
"""

from __future__ import annotations

from replicator.program import names
from replicator.program.layout import Layout
from replicator.program.passing import announce_moment
from replicator.program.sql import literal, quote, same_key, state


def added_by(layout: Layout) -> str:
    """Over `w`: what the counters are raised by, by field; NULL if by nothing."""
    amounts = (
        f"{literal(layout.link.fields[i].name)}, CASE WHEN get_bit(w.fields, {i}) = 1 THEN NULLIF(w.d_{i}, 0) END"
        for i in layout.counted
    )
    return f"NULLIF(jsonb_strip_nulls(jsonb_build_object({', '.join(amounts)})), '{{}}')"


def take_back(layout: Layout, mirror: str) -> list[str]:
    """On the source, of the dead pairs in `mirror`: a new record that has the key gives back what was added since the delete."""
    side = layout.source_side
    if not layout.counted or side.where is not None:
        return []
    keys, ledger = layout.source_keys, state(names.ledger(layout.link))
    at = quote(names.position_column(layout.source))
    own = ", ".join(f"m.{quote(k)}" for k in keys)
    columns = {i: layout.link.fields[i].columns[layout.source] for i in layout.counted}
    sums = ", ".join(f"COALESCE(sum((g.added ->> {literal(layout.link.fields[i].name)})::numeric), 0) AS a_{i}" for i in columns)
    sets = ", ".join(f"{quote(c)} = COALESCE(t.{quote(c)}, 0) - a.a_{i}" for i, c in columns.items())
    undone = ", ".join(f"{literal(layout.link.fields[i].name)}, -a.a_{i}" for i in columns)
    given = ", ".join(f"a.{quote(k)}" for k in keys)
    moment = announce_moment(layout, layout.source)
    return [
        *([moment] if moment else []),
        f"WITH dead AS MATERIALIZED (SELECT {own}, max(m.{at}) AS at, max(m.stamp) AS stamp FROM {mirror} m"
        f" WHERE m.stamp IS NOT NULL GROUP BY {own}),"
        f" a AS MATERIALIZED (SELECT {own}, m.stamp, {sums} FROM dead m JOIN {ledger} g"
        f" ON {same_key('g', keys, 'm', keys)} AND g.lsn > m.at WHERE g.added IS NOT NULL"
        f" AND g.lsn > (SELECT min(at) FROM dead) GROUP BY {own}, m.stamp),"
        f" undone AS (UPDATE {layout.source_relation} t SET {sets} FROM a WHERE {same_key('t', side.key, 'a', keys)}"
        f" AND ({' OR '.join(f'a.a_{i} <> 0' for i in columns)})"
        f" RETURNING {given}, a.stamp, jsonb_build_object({undone}) AS added, pg_current_wal_insert_lsn() AS lsn)"
        f" INSERT INTO {ledger} ({', '.join(quote(k) for k in keys)}, fields, stamp, lsn, added)"
        f" SELECT {', '.join(quote(k) for k in keys)}, {layout.mask(set(layout.counted))}, stamp, lsn, added FROM undone",
    ]

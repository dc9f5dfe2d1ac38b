"""The life of a pair in the crosswalk: made, under another key, and buried as a tombstone.

Each statement returns the pairs it touched as text, for the other node (mirror.py).
"""

from __future__ import annotations

from replicator.program import names
from replicator.program.adopt import match_names
from replicator.program.contest import WRITING, key_text, pair_of
from replicator.program.layout import Layout
from replicator.program.sql import PARAMETER, literal, quote, state, with_parameters
from replicator.program.stubs import fills_stubs
from replicator.program.waiting import awaited, refers_to_itself, unsettled


def pair(layout: Layout, work: str) -> str:
    """New pairs. Rows that were inserted become `N` where there may be another pass, over a link to itself; else they stay as
    they are."""
    keys = [f"s_{i}" for i in range(len(layout.source_keys))] + [f"t_{i}" for i in range(len(layout.target_keys))]
    settled = "".join(f" AND NOT ({unsettled(i)})" for i in awaited(layout))
    columns = ", ".join(quote(k) for k in (*layout.source_keys, *layout.target_keys))
    texts = ", ".join(f"{quote(k)}::text" for k in (*layout.source_keys, *layout.target_keys))
    filled = ""
    if fills_stubs(layout):
        own = " AND ".join(f"x.{quote(k)} = made.s_{i}" for i, k in enumerate(layout.source_keys))
        filled = (
            f", filled AS (DELETE FROM {state(names.crosswalk(layout.link))} x USING made WHERE x.stub IS NOT NULL AND {own})"
        )
    # A record made again whose pair lives (V) needs no other.
    again = " OR act IN ('R', 'V')" if layout.link.update_wins else ""
    unpaired = " WHERE how IS DISTINCT FROM 'V'" if layout.link.update_wins else ""
    how = ", how" if layout.link.update_wins else ""
    listed = f"{', '.join(keys)}, stamp{how}"
    made = f"UPDATE {work} SET act = CASE WHEN act = 'A' THEN 'U' ELSE 'N' END, born = true"
    if refers_to_itself(layout):
        made += f" WHERE (act = 'I'{settled}) OR (act = 'A'{settled}){again} RETURNING {listed}"
        made = f"made AS ({made})"
    elif not (match_names(layout) or filled or again or layout.target in layout.link.restore):
        made = f"made AS (SELECT {listed} FROM {work} WHERE act = 'I')"
    else:
        made = f"other AS ({made} WHERE act = 'A'{again} RETURNING {listed}),"
        made += f" made AS (SELECT {listed} FROM {work} WHERE act = 'I' UNION ALL SELECT {listed} FROM other)"
    return (
        f"WITH {made}{filled} INSERT INTO {state(names.crosswalk(layout.link))} ({columns}, seq, made)"
        f" SELECT {', '.join(keys)}, nextval('replicator.pair_seq'), stamp FROM made{unpaired} RETURNING {texts}, seq"
    )


def rekey(layout: Layout, work: str) -> str:
    """The source's key has changed."""
    crosswalk = state(names.crosswalk(layout.link))
    sets = ", ".join(f"{quote(k)} = w.s_{i}" for i, k in enumerate(layout.source_keys))
    changed = " OR ".join(f"x.{quote(k)} <> w.s_{i}" for i, k in enumerate(layout.source_keys))
    texts = ", ".join(f"x.{quote(k)}::text" for k in (*layout.source_keys, *layout.target_keys))
    return (
        f"UPDATE {crosswalk} x SET {sets}, seq = nextval('replicator.pair_seq') FROM {work} w"
        f" WHERE w.act IN {WRITING} AND {pair_of('x', layout.target_keys)} AND ({changed}) RETURNING {texts}, x.seq"
    )


def bury(layout: Layout, work: str, acts: str) -> str:
    """Dead pairs: changes of the source up to the delete, and of the target up to now, came before anyone knew."""
    keys = [quote(k) for k in (*layout.source_keys, *layout.target_keys)]
    source_lsn, target_lsn = (quote(names.position_column(n)) for n in (layout.source, layout.target))
    ignored = layout.link.delete.get(layout.target)
    here = "'FFFFFFFF/FFFFFFFF'::pg_lsn" if ignored and ignored.kind == "ignore" else "pg_current_wal_insert_lsn()"
    # Of a stub that is gone the record itself may be on its way.
    here = f"CASE WHEN act = 'E' THEN '0/0'::pg_lsn ELSE {here} END" if "'E'" in acts else here
    gone = ", ".join(f"x.{k}" for k in keys)
    texts = ", ".join(f"{k}::text" for k in keys)
    return (
        f"WITH gone AS (DELETE FROM {state(names.crosswalk(layout.link))} x USING {work} w"
        f" WHERE w.act IN ({acts}) AND {pair_of('x', layout.target_keys)} RETURNING {gone}, w.act, w.lsn, w.stamp)"
        f" INSERT INTO {state(names.tombstone(layout.link))} ({', '.join(keys)}, {source_lsn}, {target_lsn}, stamp, seq, deleted_on)"
        f" SELECT {', '.join(keys)}, lsn, {here}, stamp, nextval('replicator.pair_seq'), {literal(layout.source)} FROM gone"
        f" RETURNING {texts}, seq, {source_lsn}::text, {target_lsn}::text, stamp::text"
    )


def find_key(layout: Layout) -> str:
    """The source's key, part by part, of the pair whose source key is this text."""
    columns = [f"x.{quote(k)}" for k in layout.source_keys]
    wanted = f"CAST({PARAMETER} AS {layout.key_columns(layout.source)[0].portable})" if len(columns) == 1 else PARAMETER
    known = columns[0] if len(columns) == 1 else key_text(columns)
    parts = ", ".join(f"{c}::text" for c in columns)
    return with_parameters(f"SELECT ARRAY[{parts}] FROM {state(names.crosswalk(layout.link))} x WHERE {known} = {wanted}")

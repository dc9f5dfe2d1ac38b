"""Pairs are made and buried on a flow's target; this makes them known on its source.

Rows travel as text: the source's keys, the target's keys, seq, and for a dead pair its
positions and stamp. `seq` rises on the node where the pair was made, so after a crash what
was not mirrored yet is found by it (`recover`).
"""

from __future__ import annotations

from replicator.program import names
from replicator.program.anew import take_back
from replicator.program.contest import key_text
from replicator.program.layout import Layout
from replicator.program.program import Mirror
from replicator.program.sql import PARAMETER, literal, quote, same_key, state, with_parameters
from replicator.program.stubs import STUB


def mirror_of(layout: Layout) -> Mirror:
    mirror = layout.temporary("mirror")
    crosswalk, tombstone = state(names.crosswalk(layout.link)), state(names.tombstone(layout.link))
    keys = [quote(k) for k in (*layout.source_keys, *layout.target_keys)]
    source_lsn, target_lsn = (quote(names.position_column(n)) for n in (layout.source, layout.target))
    portable = [c.portable for c in (*layout.key_columns(layout.source), *layout.key_columns(layout.target))]
    declared = ", ".join(f"{k} {t}" for k, t in zip(keys, portable, strict=True))
    listed = ", ".join(keys)
    texts = ", ".join(f"{k}::text" for k in keys)
    targets = ", ".join(quote(k) for k in layout.target_keys)
    same_pair = " AND ".join(f"x.{k} = m.{k}" for k in keys)
    same_source = same_key("x", layout.source_keys, "m", layout.source_keys)
    same_target = same_key("x", layout.target_keys, "m", layout.target_keys)
    return Mirror(
        setup=f"CREATE TEMP TABLE IF NOT EXISTS {mirror} ({declared}, seq bigint, {source_lsn} pg_lsn, {target_lsn} pg_lsn, stamp bigint)",
        load=f"COPY {mirror} FROM STDIN",
        merge=(
            # A row with a stamp is a dead pair, one with a position only a stub's. Old rows of either key give way: the node that made the pair knows better.
            f"WITH dead AS (INSERT INTO {tombstone} ({listed}, {source_lsn}, {target_lsn}, stamp, deleted_on)"
            f" SELECT {listed}, {source_lsn}, {target_lsn}, stamp, {literal(layout.source)} FROM {mirror} WHERE stamp IS NOT NULL RETURNING 1)"
            f" DELETE FROM {crosswalk} x USING {mirror} m WHERE m.stamp IS NOT NULL AND {same_pair}",
            # One condition each: joined by OR they could only be tried pair by pair.
            f"DELETE FROM {crosswalk} x USING {mirror} m WHERE m.stamp IS NULL AND {same_source}",
            f"DELETE FROM {crosswalk} x USING {mirror} m WHERE m.stamp IS NULL AND {same_target}",
            f"INSERT INTO {crosswalk} ({listed}, stub) SELECT DISTINCT ON ({targets}) {listed},"
            f" CASE WHEN {source_lsn} IS NOT NULL THEN {literal(layout.target)} END FROM {mirror} m WHERE stamp IS NULL"
            f" AND NOT EXISTS (SELECT FROM {mirror} d WHERE d.stamp IS NOT NULL AND d.seq > m.seq"
            f" AND {same_key('d', layout.target_keys, 'm', layout.target_keys)}) ORDER BY {targets}, seq DESC",
            *take_back(layout, mirror),
            *_waits_no_more(layout, mirror),
        ),
        # Key by key: a join could read all of the crosswalk for a few pairs.
        fresh=f"INSERT INTO {crosswalk} ({listed}) SELECT {', '.join(f'm.{k}' for k in keys)} FROM {mirror} m"
        f" LEFT JOIN LATERAL (SELECT true AS found FROM {crosswalk} x WHERE {same_source} LIMIT 1) a ON true"
        f" LEFT JOIN LATERAL (SELECT true AS found FROM {crosswalk} x WHERE {same_target} LIMIT 1) b ON true"
        f" WHERE a.found IS NULL AND b.found IS NULL",
        clear=f"DELETE FROM {mirror}",
        empty=f"TRUNCATE {mirror}",
        recover=with_parameters(
            f"SELECT ARRAY[{texts}], seq, CASE WHEN stub IS NOT NULL THEN {STUB} END, NULL, NULL FROM {crosswalk} WHERE seq > {PARAMETER}"
            f" UNION ALL SELECT ARRAY[{texts}], seq, {source_lsn}::text, {target_lsn}::text, stamp::text FROM {tombstone} WHERE seq > {PARAMETER}"
            f" ORDER BY 2"
        ),
    )


def _waits_no_more(layout: Layout, mirror: str) -> list[str]:
    """Fields of records deleted on the source that waited there for a person."""
    if layout.link.arbiter != layout.source or not any(layout.link.fields[i].rule.kind == "queue" for i in layout.weighed):
        return []
    key = key_text([f"m.{quote(k)}" for k in layout.target_keys])
    return [
        f"UPDATE replicator.conflict c SET status = 'gone', settled = clock_timestamp() FROM {mirror} m WHERE m.stamp IS NOT NULL"
        f" AND c.status = 'open' AND c.flow = {literal(f'{layout.target}_to_{layout.source}')} AND c.link = {literal(layout.link.name)}"
        f" AND c.source_key = {key}"
    ]

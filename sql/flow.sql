-- A flow's own bookkeeping on its target. Run in the session that writes there.

-- name: checkpoint
SELECT lsn::text, stamp, mirrored, returned, slot, source_system, timeline FROM replicator.checkpoint WHERE flow = %s;

-- name: advance
UPDATE replicator.checkpoint
SET lsn = greatest(lsn, COALESCE(%s::pg_lsn, lsn)), stamp = greatest(stamp, %s), returned = greatest(returned, %s), updated = clock_timestamp(), halted = NULL
WHERE flow = %s
RETURNING pg_current_wal_insert_lsn()::text, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 946684800000000;

-- name: promoted
-- The source's standby has taken its place, and the flow goes on.
UPDATE replicator.checkpoint SET timeline = %s WHERE flow = %s;

-- name: flushed
SELECT pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text;

-- name: mirrored
UPDATE replicator.checkpoint SET mirrored = greatest(mirrored, %s) WHERE flow = %s;

-- name: halted
UPDATE replicator.checkpoint SET halted = %s WHERE flow = %s;

-- name: pace
UPDATE replicator.checkpoint SET pace = %s::jsonb, paced = clock_timestamp() WHERE flow = %s;

-- name: park
-- `first` and `longest`: seconds until the next attempt by itself, and the most that doubling makes of them; see model/failure.py.
INSERT INTO replicator.parked (flow, link, key, reason, sqlstate, message, waits_link, waits_key, payload, attempts, next_try)
SELECT flow, link, key, reason, sqlstate, message, waits_link, waits_key, payload, attempts,
       CASE WHEN first IS NOT NULL THEN now() + least(first * power(2, least(attempts - 1, 30)), longest) * interval '1 second' END
FROM (SELECT n.*, COALESCE(before.attempts, 0) + 1 AS attempts
      FROM (SELECT %s::text AS flow, link, ARRAY(SELECT jsonb_array_elements_text(r.key)) AS key, reason, sqlstate, message,
                   waits_link, waits_key, payload, first, longest, place
            FROM ROWS FROM (jsonb_to_recordset(%s::jsonb) AS (link text, key jsonb, reason text, sqlstate text, message text,
                            waits_link text, waits_key text, payload jsonb, first float8, longest float8))
                 WITH ORDINALITY AS r (link, key, reason, sqlstate, message, waits_link, waits_key, payload, first, longest, place)) AS n
      LEFT JOIN replicator.parked AS before USING (flow, link, key)) AS r
ORDER BY place
ON CONFLICT (flow, link, key) DO UPDATE
SET reason = excluded.reason, sqlstate = excluded.sqlstate, message = excluded.message, waits_link = excluded.waits_link,
    waits_key = excluded.waits_key, payload = excluded.payload, attempts = excluded.attempts, tried = now(), next_try = excluded.next_try
RETURNING id, link, key;

-- name: unpark
DELETE FROM replicator.parked WHERE id = ANY(%s);

-- name: parked
SELECT id, link, key, reason, sqlstate, message, waits_link, waits_key, payload,
       COALESCE((SELECT jsonb_agg(jsonb_build_array(e.column_name, e.before, e.after, e.by) ORDER BY e.id)
                 FROM replicator.parked_edit AS e WHERE e.parked = p.id), '[]')
FROM replicator.parked AS p WHERE id = ANY(%s) ORDER BY id;

-- name: parked_keys
SELECT id, link, key, waits_link, waits_key, reason FROM replicator.parked WHERE flow = %s;

-- name: parked_after
SELECT id FROM replicator.parked WHERE flow = %s AND CAST(payload ->> 'stamp' AS bigint) > %s ORDER BY id;

-- name: paused
SELECT link FROM replicator.paused WHERE flow = %s;

-- name: stale
UPDATE replicator.paused SET stale = true WHERE flow = %s AND link = %s AND NOT stale;

-- name: retries
-- What a person asked for, and what has its time. If the attempt does not come to an end, there is another in a minute;
-- a notice without a change in it has nothing to try.
UPDATE replicator.parked SET retry = false, next_try = CASE WHEN payload <> '{}' THEN now() + interval '1 minute' END
WHERE id IN (SELECT id FROM replicator.parked WHERE flow = %s AND retry
             UNION ALL
             SELECT id FROM replicator.parked WHERE flow = %s AND next_try <= now()
             LIMIT %s)
RETURNING id;

-- name: discard
-- What a person wants gone goes into the log; what waited for it is tried again.
WITH gone AS (
    DELETE FROM replicator.parked WHERE flow = %s AND discard_by IS NOT NULL
    RETURNING id, discard_by, flow, link, key, reason, sqlstate, message, payload, attempts, since
), kept AS (
    INSERT INTO replicator.discarded (id, by, flow, link, key, reason, sqlstate, message, payload, attempts, since)
    SELECT id, discard_by, flow, link, key, reason, sqlstate, message, payload, attempts, since FROM gone
), behind AS (
    UPDATE replicator.parked AS p SET retry = true FROM gone
    WHERE p.flow = gone.flow AND p.waits_link = gone.link AND p.waits_key = gone.key[1] AND p.discard_by IS NULL
)
SELECT id, link, discard_by FROM gone;

-- name: send_back
INSERT INTO replicator.outbox (flow, link, payload)
SELECT %s, link, payload FROM jsonb_to_recordset(%s::jsonb) AS r (link text, payload jsonb)
RETURNING id;

-- name: outbox
SELECT id, link, payload FROM replicator.outbox WHERE flow = %s AND id > %s ORDER BY id;

-- name: clear_outbox
DELETE FROM replicator.outbox WHERE flow = %s AND id <= %s;

-- name: step_clock
SELECT pg_logical_emit_message(false, %s, %s);

-- name: tidy_conflicts
DELETE FROM replicator.conflict WHERE status <> 'open' AND at < now() - make_interval(days => %s);

-- name: tidy_discarded
DELETE FROM replicator.discarded WHERE at < now() - make_interval(days => %s);

-- name: tidy_edits
DELETE FROM replicator.parked_edit AS e WHERE at < now() - make_interval(days => %s)
AND NOT EXISTS (SELECT FROM replicator.parked AS p WHERE p.id = e.parked);

-- name: stopped
INSERT INTO replicator.conflict (flow, link, kind, field, source_key, target_key, incoming, existing, incoming_stamp, winner, rule, place)
VALUES (%s, %s, 'update_origin_differs', %s, %s, %s, %s, %s, %s, NULL, 'breaker', %s);

-- name: wanted
SELECT id, link, field, source_key, COALESCE(incoming_stamp, 0), incoming_lsn::text
FROM replicator.conflict WHERE flow = %s AND status = 'open' AND wanted IS NOT NULL ORDER BY id LIMIT 1000;

-- name: unwanted
UPDATE replicator.conflict SET status = 'gone', settled = clock_timestamp(), settled_by = wanted_by WHERE id = %s;

-- name: clashed
INSERT INTO replicator.conflict (flow, link, kind, source_key, existing, incoming_stamp, winner, rule, place)
VALUES (%s, %s, %s, %s, %s, %s, (SELECT name FROM replicator.node), 'unique', %s);

-- name: reading
-- On the source, first in a transaction of one snapshot: the snapshot, and a position behind all that it shows. The message makes
-- the commit write to the log, so that a stream comes to that position however quiet the server is.
SELECT pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text, pg_logical_emit_message(true, 'replicator reading', '')::text;

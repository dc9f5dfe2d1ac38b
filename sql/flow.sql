-- A flow's own bookkeeping on its target. Run in the session that writes there.

-- name: checkpoint
SELECT lsn::text, stamp, mirrored, returned, slot, source_system, timeline FROM replicator.checkpoint WHERE flow = %s;

-- name: advance
UPDATE replicator.checkpoint
SET lsn = greatest(lsn, COALESCE(%s::pg_lsn, lsn)), stamp = greatest(stamp, %s), returned = greatest(returned, %s), updated = clock_timestamp()
WHERE flow = %s
RETURNING pg_current_wal_insert_lsn()::text, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 946684800000000;

-- name: flushed
SELECT pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text;

-- name: mirrored
UPDATE replicator.checkpoint SET mirrored = greatest(mirrored, %s) WHERE flow = %s;

-- name: park
INSERT INTO replicator.parked (flow, link, key, reason, sqlstate, message, waits_link, waits_key, payload)
SELECT %s, link, ARRAY(SELECT jsonb_array_elements_text(key)), reason, sqlstate, message, waits_link, waits_key, payload
FROM jsonb_to_recordset(%s::jsonb) AS r (link text, key jsonb, reason text, sqlstate text, message text, waits_link text, waits_key text, payload jsonb)
ON CONFLICT (flow, link, key) DO UPDATE
SET reason = excluded.reason, sqlstate = excluded.sqlstate, message = excluded.message, waits_link = excluded.waits_link,
    waits_key = excluded.waits_key, payload = excluded.payload, attempts = replicator.parked.attempts + 1, tried = now()
RETURNING id, link, key;

-- name: unpark
DELETE FROM replicator.parked WHERE id = ANY(%s);

-- name: parked
SELECT id, link, key, reason, sqlstate, message, waits_link, waits_key, payload FROM replicator.parked WHERE id = ANY(%s) ORDER BY id;

-- name: parked_keys
SELECT id, link, key, waits_link, waits_key FROM replicator.parked WHERE flow = %s;

-- name: retries
-- What a person asked for, and what time may heal, each time after a longer pause: a parent may have come, a unique value may be free.
UPDATE replicator.parked SET retry = false, tried = now()
WHERE flow = %s AND (retry OR (sqlstate IN ('23503', '23505') AND tried < now() - least(attempts * attempts * 2, 600) * interval '1 second'))
RETURNING id;

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

-- Backfills on the target of their flow. The flow runs these in the session that writes there; commands in one of their own.

-- name: open
SELECT id, link, condition, listed, after, rate FROM replicator.backfill WHERE flow = %s AND finished IS NULL ORDER BY id;

-- name: listed
-- The next records of a listed one; those that are done are gone.
SELECT key, fields FROM replicator.backfill_record WHERE backfill = %s ORDER BY key LIMIT %s;

-- name: listed_done
DELETE FROM replicator.backfill_record WHERE backfill = %s AND key IN (SELECT ARRAY(SELECT jsonb_array_elements_text(k)) FROM jsonb_array_elements(%s::jsonb) k);

-- name: progress
UPDATE replicator.backfill
SET after = COALESCE(%s, after), records = records + %s, created = created + %s, changed = changed + %s, parked = parked + %s,
    started = COALESCE(started, clock_timestamp()), moved = clock_timestamp(),
    finished = CASE WHEN %s THEN clock_timestamp() END
WHERE id = %s AND finished IS NULL;

-- name: failed
UPDATE replicator.backfill SET finished = clock_timestamp(), problem = %s WHERE id = %s AND finished IS NULL;

-- name: tidy
-- What is done is kept for a while, to be looked at.
DELETE FROM replicator.backfill WHERE flow = %s AND finished < now() - make_interval(days => %s);

-- name: ask
-- Parameters: flow, link, why, condition, listed, rate, expected.
INSERT INTO replicator.backfill (flow, link, why, condition, listed, rate, expected) VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id;

-- name: ask_for_records
INSERT INTO replicator.backfill_record (backfill, key, fields) VALUES (%s, %s, %s) ON CONFLICT (backfill, key) DO UPDATE SET fields = excluded.fields;

-- name: left_behind
-- What `match` wants of the flow in the other direction, noted with the pairs until it is asked for where that flow looks.
SELECT id, link, why, (SELECT jsonb_agg(jsonb_build_array(r.key, r.fields)) FROM replicator.backfill_record AS r WHERE r.backfill = b.id)
FROM replicator.backfill AS b WHERE flow = %s AND finished IS NULL;

-- name: ask_again
-- Parameters: flow, link, why, records. Together with what is asked for already.
WITH made AS (
    INSERT INTO replicator.backfill (flow, link, why, listed) VALUES (%s, %s, %s, true)
    ON CONFLICT (flow, link, why) WHERE finished IS NULL DO UPDATE SET expected = NULL RETURNING id
)
INSERT INTO replicator.backfill_record (backfill, key, fields)
SELECT made.id, ARRAY(SELECT jsonb_array_elements_text(r -> 0)), r ->> 1 FROM made, jsonb_array_elements(%s::jsonb) AS r
ON CONFLICT (backfill, key) DO UPDATE SET fields = excluded.fields;

-- name: taken
DELETE FROM replicator.backfill WHERE id = %s;

-- name: change
-- Another rate for one that is not done yet.
UPDATE replicator.backfill SET rate = %s WHERE id = %s AND finished IS NULL;

-- name: cancel
UPDATE replicator.backfill SET finished = clock_timestamp(), problem = 'cancelled' WHERE flow = %s AND link = %s AND why = %s AND finished IS NULL
RETURNING id;

-- name: give_up_listed
UPDATE replicator.backfill SET finished = clock_timestamp(), problem = %s WHERE link = %s AND listed AND finished IS NULL;

-- name: state
-- Of those with these ids, or of all that are not done and those of the last day.
SELECT id, flow, link, why, condition, listed, after, rate, expected, records, created, changed, parked, asked, started, moved, finished, problem
FROM replicator.backfill
WHERE CASE WHEN %s::bigint[] IS NULL THEN finished IS NULL OR finished > now() - interval '1 day' ELSE id = ANY(%s) END ORDER BY id;

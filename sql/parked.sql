-- What `parked` asks of a node, and the three things that people write there: that a change be tried again, with which
-- values, or be thrown away. The replicator does it.

-- name: parked
-- Newest first. A parameter that is NULL asks for nothing. `sqlstate`: a code, or its first two characters; `upto`: how many.
SELECT id, flow, link, key, reason, sqlstate, message, waits_link, waits_key, attempts, since, tried, next_try, retry, discard_by,
       payload = '{}' AS is_notice,
       (SELECT count(*) FROM replicator.parked AS w WHERE w.flow = p.flow AND w.waits_link = p.link AND w.waits_key = p.key[1]) AS behind
FROM replicator.parked AS p
WHERE (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s))
  AND (%(links)s::text[] IS NULL OR link = ANY(%(links)s))
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(sqlstate)s::text IS NULL OR sqlstate = %(sqlstate)s OR left(sqlstate, 2) = %(sqlstate)s)
  AND (%(since)s::timestamptz IS NULL OR since >= %(since)s)
  AND (%(key)s::text IS NULL OR array_to_string(key, ',') = %(key)s)
ORDER BY since DESC, id DESC LIMIT %(upto)s;

-- name: discarded
SELECT id, at, by, flow, link, key, reason, sqlstate, message, attempts, since
FROM replicator.discarded
WHERE (%(links)s::text[] IS NULL OR link = ANY(%(links)s))
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(sqlstate)s::text IS NULL OR sqlstate = %(sqlstate)s OR left(sqlstate, 2) = %(sqlstate)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(key)s::text IS NULL OR array_to_string(key, ',') = %(key)s)
ORDER BY at DESC, id DESC LIMIT %(upto)s;

-- name: payload
SELECT payload FROM replicator.parked WHERE id = %s;

-- name: edits
SELECT at, by, column_name, before, after FROM replicator.parked_edit WHERE parked = %s ORDER BY id;

-- name: behind
-- What waits for this record: the first few.
SELECT w.id, w.link, w.key FROM replicator.parked AS w JOIN replicator.parked AS p
       ON w.flow = p.flow AND w.waits_link = p.link AND w.waits_key = p.key[1]
WHERE p.id = %s ORDER BY w.id LIMIT %s;

-- name: ahead
-- The parked change of the record that this one waits for.
SELECT a.id FROM replicator.parked AS p JOIN replicator.parked AS a
       ON a.flow = p.flow AND a.link = p.waits_link AND a.key = ARRAY[p.waits_key]
WHERE p.id = %s;

-- name: retry
UPDATE replicator.parked SET retry = true WHERE id = ANY(%s) AND discard_by IS NULL RETURNING id;

-- name: discard
UPDATE replicator.parked SET discard_by = %s WHERE id = ANY(%s) AND discard_by IS NULL RETURNING id;

-- name: edit
-- Only while the change is parked and holds the value that the person saw.
INSERT INTO replicator.parked_edit (parked, by, flow, link, key, column_name, before, after)
SELECT id, %(by)s, flow, link, key, %(column)s, payload -> 'values' -> %(column)s, %(after)s::jsonb
FROM replicator.parked WHERE id = %(id)s AND payload -> 'values' -> %(column)s = %(before)s::jsonb
RETURNING id;

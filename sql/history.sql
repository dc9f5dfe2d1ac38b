-- What `conflicts`, `explain` and the metrics ask of a node, and the one thing a person writes there: `want`.
-- What is asked of a link's own tables is composed in engines/postgres/records.py, for their columns are the link's.

-- name: conflicts
-- Newest first. A parameter that is NULL asks for nothing. `upto`: how many.
SELECT id, at, flow, link, kind, field, source_key, target_key, incoming, existing, base, written, incoming_stamp, existing_stamp,
       incoming_lsn::text, winner, rule, place, status, wanted, wanted_value, wanted_by, settled, settled_by
FROM replicator.conflict
WHERE (%(links)s::text[] IS NULL OR link = ANY (%(links)s::text[]))
  AND (%(field)s::text IS NULL OR field = %(field)s)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(key)s::text IS NULL OR source_key = %(key)s OR target_key = %(key)s)
ORDER BY at DESC, id DESC LIMIT %(upto)s;

-- name: by_id
SELECT id, at, flow, link, kind, field, source_key, target_key, incoming, existing, base, written, incoming_stamp, existing_stamp,
       incoming_lsn::text, winner, rule, place, status, wanted, wanted_value, wanted_by, settled, settled_by
FROM replicator.conflict WHERE id = ANY(%s);

-- name: of_record
-- Of one record, known here by the key of either node (NULL: not known); newest first.
SELECT id, at, flow, link, kind, field, source_key, target_key, incoming, existing, base, written, incoming_stamp, existing_stamp,
       incoming_lsn::text, winner, rule, place, status, wanted, wanted_value, wanted_by, settled, settled_by
FROM replicator.conflict WHERE link = %s AND (target_key = %s OR source_key = %s)
ORDER BY at DESC, id DESC LIMIT 1000;

-- name: want
-- Only while the entry waits and still shows the values that the person saw.
UPDATE replicator.conflict SET wanted = %(wanted)s, wanted_value = %(value)s, wanted_by = %(by)s
WHERE id = %(id)s AND status = 'open'
  AND incoming IS NOT DISTINCT FROM %(incoming)s AND existing IS NOT DISTINCT FROM %(existing)s
RETURNING id;

-- name: slots_read
-- Whether somebody reads any of these slots.
SELECT EXISTS (SELECT FROM pg_catalog.pg_replication_slots
               WHERE slot_name = ANY(%s) AND database = current_database() AND active);

-- name: parked
SELECT id, reason, sqlstate, message, waits_link, waits_key, attempts, since, tried, retry
FROM replicator.parked WHERE flow = %s AND link = %s AND key = %s;

-- name: kept
-- How many conflicts there are, for the metrics.
SELECT flow, link, kind, status, count(*) FROM replicator.conflict GROUP BY 1, 2, 3, 4;

-- What `plan` asks of a node that is initialised: what is there and no longer needed. `apply` also rewrites payloads.

-- name: state_tables
-- Tables of links, and the rows that those with pairs hold.
SELECT c.relname::text FROM pg_catalog.pg_class c
WHERE c.relnamespace = to_regnamespace('replicator') AND c.relkind = 'r' AND c.relname ~ '^(crosswalk|tombstone|ledger)_'
ORDER BY 1;

-- name: undo
-- What was changed outside our schema; whether the table is there still, and still as we made it.
SELECT u.id, u.sql, c.oid IS NOT NULL, COALESCE(c.relreplident = 'f', false)
FROM replicator.undo u
CROSS JOIN LATERAL (SELECT substring(u.sql FROM '^ALTER TABLE (?:IF EXISTS )?(".*") REPLICA IDENTITY ') AS name) t
LEFT JOIN pg_catalog.pg_class c ON c.oid = to_regclass(t.name)
WHERE t.name IS NOT NULL ORDER BY u.id DESC;

-- name: flows_read
-- Parameter twice: the names of this node's flows begin so. Their slots and publications.
SELECT slot_name::text, 'slot', active FROM pg_catalog.pg_replication_slots
WHERE starts_with(slot_name, %s) AND database = current_database()
UNION ALL
SELECT pubname::text, 'publication', false FROM pg_catalog.pg_publication WHERE starts_with(pubname, %s)
ORDER BY 2 DESC, 1;

-- name: flows_written
SELECT flow FROM replicator.checkpoint ORDER BY flow;

-- name: rows_of_links
-- Rows that name a link: what is set aside, what is on its way back, what waits for a person.
SELECT 'parked', flow, link, NULL, count(*) FROM replicator.parked GROUP BY flow, link
UNION ALL SELECT 'outbox', flow, link, NULL, count(*) FROM replicator.outbox GROUP BY flow, link
UNION ALL SELECT 'conflict', flow, link, field, count(*) FROM replicator.conflict WHERE status = 'open' GROUP BY flow, link, field
ORDER BY 1, 2, 3, 4;

-- name: payloads_parked
SELECT id, flow, payload FROM replicator.parked WHERE link = %s AND payload <> '{}' ORDER BY id;

-- name: payloads_outbox
SELECT id, flow, payload FROM replicator.outbox WHERE link = %s ORDER BY id;

-- name: replace_parked
UPDATE replicator.parked SET payload = %s WHERE id = %s;

-- name: replace_outbox
UPDATE replicator.outbox SET payload = %s WHERE id = %s;

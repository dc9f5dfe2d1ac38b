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

-- name: grants
-- Who else than the owner may do what with our tables, by the example of one that `init` made.
SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
       string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)
FROM pg_catalog.pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
WHERE c.oid = 'replicator.checkpoint'::regclass AND a.grantee <> c.relowner
GROUP BY a.grantee ORDER BY 1;

-- name: payloads_parked
SELECT id, flow, payload FROM replicator.parked WHERE link = %s AND payload <> '{}' ORDER BY id;

-- name: payloads_outbox
SELECT id, flow, payload FROM replicator.outbox WHERE link = %s ORDER BY id;

-- name: replace_parked
UPDATE replicator.parked SET payload = %s WHERE id = %s;

-- name: replace_outbox
UPDATE replicator.outbox SET payload = %s WHERE id = %s;

-- name: moment
-- Where the log is, and the server's clock, in microseconds since 2000.
SELECT pg_current_wal_insert_lsn()::text, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 946684800000000;

-- name: young_columns
-- Parameters: schemas, tables, columns side by side, and a slot. Columns that may be younger than what the slot holds.
SELECT w.nsp, w.rel, w.att FROM unnest(%s::text[], %s::text[], %s::text[]) AS w (nsp, rel, att)
JOIN pg_catalog.pg_namespace n ON n.nspname = w.nsp
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.rel
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = w.att
JOIN pg_catalog.pg_replication_slots s ON s.slot_name = %s
WHERE age(a.xmin) <= age(s.catalog_xmin);

-- name: unread
-- Parameters: a slot, its publication. What it holds: Begin (B) and Relation (R) messages whole, of changes the beginning.
SELECT CASE WHEN get_byte(data, 0) IN (66, 82) THEN data ELSE substring(data FROM 1 FOR 5) END
FROM pg_logical_slot_peek_binary_changes(%s, NULL, NULL, 'proto_version', '1', 'publication_names', %s)
WHERE get_byte(data, 0) IN (66, 82, 73, 85, 68);

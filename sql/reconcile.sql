-- What `reconcile` asks of a node beside the statements that links are compiled to.

-- name: moment
-- Where the log is, and the server's clock, in microseconds since 2000.
SELECT pg_current_wal_insert_lsn()::text, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 946684800000000;

-- name: mark
-- A message in the log that no link reads: everything that is committed by now lies before its end, which is flushed.
SELECT pg_logical_emit_message(true, 'replicator reconcile', '')::text;

-- name: flushed
SELECT pg_current_wal_flush_lsn()::text;

-- name: reading
-- Whether somebody reads the slot.
SELECT active FROM pg_catalog.pg_replication_slots WHERE slot_name = %s AND database = current_database();

-- name: checkpoint
SELECT lsn::text, returned FROM replicator.checkpoint WHERE flow = %s;

-- name: outbox_end
SELECT COALESCE(max(id), 0) FROM replicator.outbox WHERE flow = %s;

-- name: parked
SELECT key, reason, message FROM replicator.parked WHERE link = %s AND flow = %s;

-- name: waiting
-- Conflicts that wait for a person: both keys as text, and the field.
SELECT source_key, target_key, field, id FROM replicator.conflict WHERE link = %s AND flow = %s AND status = 'open';

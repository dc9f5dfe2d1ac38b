-- What a server says of replication slots and of itself as a source. Nothing here changes anything.

-- name: slot
-- Parameters: a checkpoint or NULL, the slot. Columns that only later versions have are read by name from the row.
SELECT s.active, COALESCE(s.wal_status, ''), pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint,
       s.confirmed_flush_lsn::text, pg_wal_lsn_diff(pg_current_wal_lsn(), %s::pg_lsn)::bigint, s.safe_wal_size,
       (SELECT NULLIF(setting::bigint, -1) * 1048576 FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'),
       to_jsonb(s) ->> 'invalidation_reason',
       (SELECT split_part(a.application_name, ' ', 2) FROM pg_catalog.pg_stat_activity a
        WHERE a.pid = s.active_pid AND a.application_name LIKE 'replicator %%:%% reads %%')
FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = %s AND s.database = current_database();

-- name: idle_timeout
SELECT current_setting('idle_replication_slot_timeout', true);

-- name: identity
-- The timeline that is written on: the control file names it only after the first checkpoint of a promoted standby.
SELECT system_identifier::text, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
FROM pg_catalog.pg_control_system();

-- name: now
-- Parameter: a position. Where the server is, and how far that is from there.
SELECT pg_current_wal_lsn()::text, pg_wal_lsn_diff(pg_current_wal_lsn(), %s)::bigint;

-- name: foreign_slots
-- Slots are known to the whole server by name, and belong to one database.
SELECT slot_name::text, COALESCE(database::text, '-') FROM pg_catalog.pg_replication_slots
WHERE slot_name = ANY(%s) AND database IS DISTINCT FROM current_database();

-- name: numbers
-- The last numbers that were given to pairs and to answers here.
SELECT COALESCE(pg_sequence_last_value('replicator.pair_seq'::regclass), 0),
       COALESCE(pg_sequence_last_value(pg_get_serial_sequence('replicator.outbox', 'id')::regclass), 0);

-- name: gaps
-- On the target: what was given up, newest last. Seconds since.
SELECT flow, extract(epoch FROM clock_timestamp() - at)::float8, reason, from_lsn::text, upto_lsn::text
FROM replicator.gap ORDER BY id;

-- What `status`, `run --dry-run` and the demo ask of a node. Nothing here changes anything.

-- name: facts
SELECT current_setting('server_version'), current_setting('wal_level'),
       current_setting('max_replication_slots')::int
           - (SELECT count(*)::int FROM pg_catalog.pg_replication_slots);

-- name: checkpoints
-- Parameter: flows. Lag needs the source's position and is worked out there.
SELECT flow, lsn::text, slot, source_system, timeline, greatest(extract(epoch FROM clock_timestamp() - updated), 0)::float8, halted,
       pace, greatest(extract(epoch FROM clock_timestamp() - paced), 0)::float8
FROM replicator.checkpoint WHERE flow = ANY(%s);

-- name: published
SELECT DISTINCT schemaname::text, tablename::text FROM pg_catalog.pg_publication_tables WHERE pubname = ANY(%s);

-- name: lag
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s::pg_lsn)::bigint;

-- name: conflicts
SELECT flow, kind, count(*), count(*) FILTER (WHERE at > now() - interval '24 hours'), count(*) FILTER (WHERE status = 'open')
FROM replicator.conflict GROUP BY flow, kind;

-- name: parked
SELECT flow, reason, count(*), extract(epoch FROM clock_timestamp() - min(since))::float8
FROM replicator.parked GROUP BY flow, reason;

-- name: estimate
-- Rows of a table as of its last analyze; -1 if there was none, no row if there is no table.
SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = to_regclass(%s);

-- name: flushed
SELECT pg_current_wal_flush_lsn()::text;

-- name: returned
-- On the flow's target: how much of its source's outbox it has applied.
SELECT returned FROM replicator.checkpoint WHERE flow = %s;

-- name: unreturned
-- On the flow's source: whether there is more. Rows that are applied are cleared away later.
SELECT EXISTS (SELECT FROM replicator.outbox WHERE flow = %s AND id > %s);

-- name: new_conflicts
SELECT id, link, kind, field, incoming_stamp, existing_stamp, winner, rule, place
FROM replicator.conflict WHERE id > %s ORDER BY id LIMIT 1000;

-- name: holder
-- Who a session is. Anybody may see an application's name; the address, whoever has the same role.
SELECT CASE WHEN application_name LIKE 'replicator %%:%% %%' THEN 'replicator ' || split_part(application_name, ' ', 2)
            WHEN application_name = '' THEN 'a session' ELSE application_name END
       || COALESCE(' from ' || host(client_addr), '') || ', server process ' || pid
FROM pg_catalog.pg_stat_activity WHERE pid = %s;

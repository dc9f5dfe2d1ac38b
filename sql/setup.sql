-- What `init`, `teardown` and `check` ask of a server.

-- name: state_exists
SELECT to_regclass('replicator.checkpoint') IS NOT NULL;

-- name: node
SELECT name, number FROM replicator.node;

-- name: publication_tables
-- Each with whether only some of its rows or columns are published.
SELECT n.nspname::text, c.relname::text, r.prattrs IS NOT NULL OR r.prqual IS NOT NULL
FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
JOIN pg_catalog.pg_class c ON c.oid = r.prrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE p.pubname = %s ORDER BY 1, 2;

-- name: publication
-- Whether it publishes every kind of change, and partitions as their table. No row if there is none.
SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot FROM pg_catalog.pg_publication WHERE pubname = %s;

-- name: slots_like
SELECT slot_name::text, active FROM pg_catalog.pg_replication_slots WHERE slot_name = ANY(%s) AND database = current_database();

-- name: origins
SELECT roname::text FROM pg_catalog.pg_replication_origin WHERE roname = ANY(%s);

-- name: settings
SELECT current_setting('wal_level'),
       current_setting('max_replication_slots')::int, (SELECT count(*)::int FROM pg_catalog.pg_replication_slots),
       current_setting('max_wal_senders')::int, (SELECT count(*)::int FROM pg_catalog.pg_stat_replication),
       current_setting('max_slot_wal_keep_size');

-- name: role
SELECT rolsuper OR rolreplication, rolsuper, rolname::text FROM pg_catalog.pg_roles WHERE rolname = current_user;

-- name: may_create_schema
SELECT has_database_privilege(current_database(), 'CREATE') OR EXISTS (SELECT FROM pg_namespace WHERE nspname = 'replicator');

-- name: may_use_origins
SELECT has_function_privilege('pg_replication_origin_session_setup(text)', 'EXECUTE')
   AND has_function_privilege('pg_replication_origin_create(text)', 'EXECUTE');

-- name: table_privileges
SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
       pg_catalog.has_table_privilege(c.oid, 'SELECT'), pg_catalog.has_table_privilege(c.oid, 'INSERT'),
       pg_catalog.has_table_privilege(c.oid, 'UPDATE'), pg_catalog.has_table_privilege(c.oid, 'DELETE'),
       pg_catalog.pg_has_role(c.relowner, 'USAGE')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s;

-- name: clock
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

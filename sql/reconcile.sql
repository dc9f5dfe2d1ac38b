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

-- name: snapshot
SELECT pg_current_snapshot()::text;

-- name: versions
-- Which versions of rows the snapshot sees in {table}: no row can change, come or go without another version of it. A version
-- is told by its place and the number of the transaction that made it, taken as the distance from number 3, whose age is
-- the parameter.
SELECT count(*), COALESCE(sum(hashtidextended(ctid, ((%s::bigint - age(xmin)) & 4294967295) # (tableoid::bigint << 32))), 0)::text
FROM {table};

-- name: age_of_first
SELECT age('3'::xid);

-- name: shapes
-- Parameter: tables. What can change of a table without its rows having another version: columns with a default that was
-- given to rows afterwards, generated columns, labels of enums, partitions and children. NULL: no ordinary table, or one of
-- which the role sees only some rows.
WITH RECURSIVE family (root, oid) AS (
    SELECT w.name, to_regclass(w.name)::oid FROM unnest(%s::text[]) AS w (name)
    UNION ALL
    SELECT f.root, i.inhrelid FROM family f JOIN pg_catalog.pg_inherits i ON i.inhparent = f.oid
), members AS (
    SELECT f.root, f.oid, c.relkind IN ('r', 'p') AND NOT row_security_active(f.oid) AS ordinary,
           (SELECT string_agg(concat_ws(',', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attisdropped,
                                        a.attmissingval::text, CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
                                        (SELECT string_agg(e.oid || '=' || e.enumlabel, ',' ORDER BY e.oid)
                                         FROM pg_catalog.pg_enum e JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
                                         WHERE e.enumtypid IN (t.oid, t.typelem, t.typbasetype))), ';' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = f.oid AND a.attnum > 0) AS columns
    FROM family f LEFT JOIN pg_catalog.pg_class c ON c.oid = f.oid
)
SELECT root, CASE WHEN bool_and(COALESCE(ordinary, false)) THEN md5(string_agg(oid || ':' || columns, '|' ORDER BY oid)) END
FROM members GROUP BY root;

-- name: identity
SELECT concat_ws('/', s.system_identifier, (SELECT timeline_id FROM pg_control_checkpoint()),
                 (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
FROM pg_control_system() s;

-- name: keeps_proofs
SELECT to_regclass('replicator.proof') IS NOT NULL;

-- name: proof
SELECT run, program, identity, snapshot::text, tables, doubtful, unlinked, at::text FROM replicator.proof WHERE link = %s;

-- name: keep_proof
INSERT INTO replicator.proof (link, run, program, identity, snapshot, tables, doubtful, unlinked)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (link) DO UPDATE SET run = excluded.run, program = excluded.program, identity = excluded.identity,
    snapshot = excluded.snapshot, tables = excluded.tables, doubtful = excluded.doubtful, unlinked = excluded.unlinked, at = now();

-- name: forget_proof
DELETE FROM replicator.proof WHERE link = %s;

-- name: keep_result
-- Parameters: link, seconds, how, compared, differences, unsettled, kinds, problem.
INSERT INTO replicator.reconciled (link, seconds, how, compared, differences, unsettled, kinds, problem)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (link) DO UPDATE SET at = clock_timestamp(), seconds = excluded.seconds, how = excluded.how, compared = excluded.compared,
    differences = excluded.differences, unsettled = excluded.unsettled, kinds = excluded.kinds, problem = excluded.problem;

-- name: results
SELECT link, extract(epoch FROM clock_timestamp() - at)::float8, seconds, how, compared, differences, unsettled, kinds, problem
FROM replicator.reconciled ORDER BY link;

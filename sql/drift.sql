-- Tables that change under the links: what they look like now, what they looked like before, and links that stand still.

-- name: shapes
-- Parameters: schemas and names, side by side.
SELECT n.nspname::text, c.relname::text, c.oid::bigint,
       COALESCE(jsonb_agg(jsonb_build_array(a.attnum, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
                FILTER (WHERE a.attnum IS NOT NULL), '[]')
FROM unnest(%s::text[], %s::text[]) AS w (nspname, relname)
JOIN pg_catalog.pg_namespace AS n USING (nspname)
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.relname AND c.relkind IN ('r', 'p')
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY n.nspname, c.relname, c.oid;

-- name: seen
SELECT schema_name, table_name, id, columns, formerly FROM replicator.shape WHERE peer = %s;

-- name: see
INSERT INTO replicator.shape (peer, schema_name, table_name, id, columns, formerly) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (peer, schema_name, table_name) DO UPDATE SET id = excluded.id, columns = excluded.columns, formerly = excluded.formerly;

-- name: named_now
-- Tables by their identifiers, whatever they are called.
SELECT c.oid::bigint, n.nspname::text, c.relname::text
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = ANY(%s::oid[]);

-- name: paused
SELECT flow, link, since, by, reason, hint, place, node, table_name, column_name, stale,
       (SELECT count(*) FROM replicator.parked AS k WHERE k.flow = p.flow AND k.link = p.link)
FROM replicator.paused AS p ORDER BY link, flow;

-- name: pause
INSERT INTO replicator.paused (flow, link, by, reason, hint, place, node, table_name, column_name, stale)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (flow, link) DO NOTHING RETURNING link;

-- name: resume
DELETE FROM replicator.paused WHERE flow = %s AND link = %s RETURNING stale;

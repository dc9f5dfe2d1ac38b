-- What the replicator asks of the catalog. Parameters: %s = array of schemas, array of names, side by side; kinds of relation.

-- name: columns
-- Domains are taken down to their base type; typmods of the domain or of the column, whichever is there.
WITH RECURSIVE wanted AS (
    SELECT c.oid, n.nspname, c.relname
    FROM unnest(%s::text[], %s::text[]) AS w (nspname, relname)
    JOIN pg_catalog.pg_namespace n USING (nspname)
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname AND c.relkind = ANY (%s::"char"[])
), base (root, oid, typmod) AS (
    SELECT DISTINCT a.atttypid, a.atttypid, -1
    FROM wanted w JOIN pg_catalog.pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.root, t.typbasetype, t.typtypmod
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.oid AND t.typtype = 'd'
)
SELECT w.nspname, w.relname, a.attname,
       pg_catalog.format_type(t.oid, CASE WHEN a.atttypmod <> -1 THEN a.atttypmod ELSE b.typmod END),
       -- A bare `bit` or `bpchar` would mean length 1.
       CASE t.oid WHEN 1560 THEN 'bit varying' WHEN 1042 THEN 'bpchar' ELSE pg_catalog.format_type(t.oid, NULL) END,
       t.oid::bigint, t.typcategory::text,
       COALESCE(e.oid >= 16384, false),
       a.attnotnull OR EXISTS (SELECT FROM pg_catalog.pg_type d WHERE d.oid = a.atttypid AND d.typnotnull),
       -- '1 day' and '24:00:00' compare equal and are not the same interval; nor are 'x' and 'X' in citext.
       t.oid NOT IN (1186, 1187) AND t.typname <> 'citext' AND COALESCE(e.typname, '') <> 'citext' AND EXISTS (SELECT FROM pg_catalog.pg_opclass o
               WHERE o.opcdefault AND o.opcmethod = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'btree')
                 AND o.opcintype = CASE WHEN t.typcategory = 'A' THEN 2277 WHEN t.typtype = 'e' THEN 3500
                                        WHEN t.typtype = 'r' THEN 3831 WHEN t.typtype = 'm' THEN 4537
                                        WHEN t.typtype = 'c' THEN 2249 WHEN t.oid = 1043 THEN 25 WHEN t.oid = 650 THEN 869 ELSE t.oid END)
       AND (e.oid IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_opclass o
               WHERE o.opcdefault AND o.opcmethod = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'btree')
                 AND o.opcintype = CASE WHEN e.typtype = 'e' THEN 3500 WHEN e.oid = 1043 THEN 25 ELSE e.oid END)),
       CASE WHEN a.attidentity <> '' THEN
                pg_catalog.format('nextval(%%L::regclass)', pg_catalog.pg_get_serial_sequence(
                    pg_catalog.format('%%I.%%I', w.nspname, w.relname), a.attname))
            WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
       a.attidentity::text, CASE WHEN a.attgenerated <> '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END, a.attstorage::text
FROM wanted w
JOIN pg_catalog.pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN base b ON b.root = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = b.oid AND t.typtype <> 'd'
LEFT JOIN pg_catalog.pg_type e ON t.typcategory = 'A' AND e.oid = t.typelem
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
ORDER BY w.nspname, w.relname, a.attnum;

-- name: tables
WITH wanted AS (
    SELECT c.oid, n.nspname, c.relname, c.relreplident
    FROM unnest(%s::text[], %s::text[]) AS w (nspname, relname)
    JOIN pg_catalog.pg_namespace n USING (nspname)
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname AND c.relkind = ANY (%s::"char"[])
), keys AS (
    SELECT i.indrelid, i.indisprimary,
           array_agg(a.attname::text ORDER BY k.place) AS columns
    FROM wanted w
    JOIN pg_catalog.pg_index i ON i.indrelid = w.oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indisvalid
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE k.place <= i.indnkeyatts
    GROUP BY i.indexrelid, i.indrelid, i.indisprimary
)
SELECT w.nspname, w.relname, w.relreplident::text,
       (SELECT columns FROM keys WHERE indrelid = w.oid AND indisprimary),
       COALESCE((SELECT jsonb_agg(jsonb_build_object('columns', columns)) FROM keys WHERE indrelid = w.oid AND NOT indisprimary), '[]'),
       EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = w.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
               AND t.tgtype::int & 20 <> 0),
       COALESCE((SELECT jsonb_agg(DISTINCT jsonb_build_array(fn.nspname, fc.relname)) FROM pg_catalog.pg_constraint k
                 JOIN pg_catalog.pg_class fc ON fc.oid = k.confrelid JOIN pg_catalog.pg_namespace fn ON fn.oid = fc.relnamespace
                 WHERE k.conrelid = w.oid AND k.contype = 'f'), '[]'),
       EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = w.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A'))
       OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.confrelid = w.oid AND k.contype = 'f'
                  AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd')))
FROM wanted w;

-- name: types
-- What the columns of a query are, by arrays of type oids and typmods side by side.
WITH RECURSIVE base (place, oid, typmod) AS (
    SELECT g.place, g.oid, g.typmod FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY AS g (oid, typmod, place)
    UNION ALL
    SELECT b.place, t.typbasetype, CASE WHEN b.typmod <> -1 THEN b.typmod ELSE t.typtypmod END
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.oid AND t.typtype = 'd'
)
SELECT pg_catalog.format_type(t.oid, b.typmod),
       CASE t.oid WHEN 1560 THEN 'bit varying' WHEN 1042 THEN 'bpchar' ELSE pg_catalog.format_type(t.oid, NULL) END,
       t.oid::bigint, t.typcategory::text, COALESCE(e.oid >= 16384, false), t.typstorage::text
FROM base b
JOIN pg_catalog.pg_type t ON t.oid = b.oid AND t.typtype <> 'd'
LEFT JOIN pg_catalog.pg_type e ON t.typcategory = 'A' AND e.oid = t.typelem
ORDER BY b.place;

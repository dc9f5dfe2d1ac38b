-- What a node remembers of the links it was prepared for (replicator.link).

-- name: remembers
-- Whether there is a state schema, and whether it is one that remembers links.
SELECT to_regclass('replicator.checkpoint') IS NOT NULL, to_regclass('replicator.link') IS NOT NULL;

-- name: links
SELECT name, fields, shape, document FROM replicator.link ORDER BY name;

-- name: remember
INSERT INTO replicator.link (name, fields, shape, document) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE
SET fields = excluded.fields, shape = excluded.shape, document = excluded.document, applied = now()
WHERE (replicator.link.fields, replicator.link.shape, replicator.link.document)
    IS DISTINCT FROM (excluded.fields, excluded.shape, excluded.document);

-- name: forget
DELETE FROM replicator.link WHERE NOT name = ANY(%s);

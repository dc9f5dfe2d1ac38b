-- What `reconcile --repair` notes beside what it lets the flows write.

-- name: log
-- Parameters: flow, link, kind, field, source key, target key, incoming, existing, winner, rule, place, who.
INSERT INTO replicator.conflict
    (flow, link, kind, field, source_key, target_key, incoming, existing, winner, rule, place, settled, settled_by)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp(), %s);

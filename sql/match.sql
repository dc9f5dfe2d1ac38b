-- What `match` and `unmatch` ask beside the link's own statements.

-- name: wake
-- What waits for records of a link is tried again: they may be paired now.
UPDATE replicator.parked SET retry = true WHERE waits_link = %s;

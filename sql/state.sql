-- The replicator's own state on one node. Everything lives in schema `replicator`;
-- `teardown` drops the schema and nothing of it remains. Safe to run again.

CREATE SCHEMA IF NOT EXISTS replicator;

-- Which node of the configuration this database is. One row.
CREATE TABLE IF NOT EXISTS replicator.node (
    name   text PRIMARY KEY,
    number smallint NOT NULL,
    made   timestamptz NOT NULL DEFAULT now()
);

-- The links as they were last applied, by `init` or `plan --apply`: what the state on this node was made for.
--   fields    their names, in the order of the bits of every mask in ledgers, `parked` and `outbox`
--   shape     what state tables, slots, publications and replica identities depend on
--   document  the whole link, to tell what has changed in its file
CREATE TABLE IF NOT EXISTS replicator.link (
    name     text PRIMARY KEY,
    fields   text[] NOT NULL,
    shape    jsonb NOT NULL,
    document jsonb NOT NULL,
    applied  timestamptz NOT NULL DEFAULT now()
);

-- How far each flow that writes here has come. Committed together with what it wrote.
--   lsn       end of the last source transaction that is applied
--   stamp     what the source's clock said there, so that stamps never go back after a restart
--   mirrored  pairs made on the source that are known here, by their seq there
--   returned  rows of the source's outbox that are applied here, by their id there
--   halted    why it stands still until a person has seen to it (too much would be parked)
--   pace      what it did in some seconds before `paced`, and the shares of its steps in that time; not while it is idle
CREATE TABLE IF NOT EXISTS replicator.checkpoint (
    flow          text PRIMARY KEY,
    lsn           pg_lsn NOT NULL,
    stamp         bigint NOT NULL DEFAULT 0,
    mirrored      bigint NOT NULL DEFAULT 0,
    returned      bigint NOT NULL DEFAULT 0,
    slot          text NOT NULL,
    source_system text NOT NULL,
    timeline      integer NOT NULL,
    updated       timestamptz NOT NULL DEFAULT now(),
    halted        text,
    pace          jsonb,
    paced         timestamptz
);

-- Conflicts: what clashed, both values, who won, by which rule of which line of which file.
--   incoming, existing, base   values as the node that wrote this row has them: what came, what stood here, and what the
--                  writer of `incoming` had before (NULL as well where that is not known)
--   written        what stands here now, if it is neither of the two (a merge)
--   incoming_lsn   where the incoming transaction committed, in its own node's WAL
--   winner         a node; 'both' for a merge; NULL while it waits for a person
--   status         settled: decided by a rule. open: waits for a person. resolved: a person decided. gone: the two sides
--                  came to agree by themselves, or the record is no longer there.
--   wanted         what a person asked for: a node whose value is to stand, or 'value' for `wanted_value`; carried out by
--                  the daemon, which then sets status, settled and settled_by
CREATE TABLE IF NOT EXISTS replicator.conflict (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    flow           text NOT NULL,
    link           text NOT NULL,
    kind           text NOT NULL,
    field          text,
    source_key     text,
    target_key     text,
    incoming       text,
    existing       text,
    base           text,
    written        text,
    incoming_stamp bigint,
    existing_stamp bigint,
    incoming_lsn   pg_lsn,
    winner         text,
    rule           text NOT NULL,
    place          text NOT NULL,
    status         text NOT NULL DEFAULT 'settled' CHECK (status IN ('settled', 'open', 'resolved', 'gone')),
    wanted         text,
    wanted_value   text,
    wanted_by      text,
    settled        timestamptz,
    settled_by     text
);
CREATE INDEX IF NOT EXISTS conflict_at ON replicator.conflict (at);
CREATE INDEX IF NOT EXISTS conflict_source ON replicator.conflict (link, source_key);
CREATE INDEX IF NOT EXISTS conflict_target ON replicator.conflict (link, target_key);
CREATE UNIQUE INDEX IF NOT EXISTS conflict_open ON replicator.conflict (flow, link, field, source_key) WHERE status = 'open';

-- Changes set aside, with all it takes to apply them later.
--   waits_link, waits_key   the record whose arrival will wake it
--   next_try   when it is tried again by itself; NULL: a person has to look
--   retry      a person wants it tried again
--   discard_by a person who wants it gone
CREATE TABLE IF NOT EXISTS replicator.parked (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flow       text NOT NULL,
    link       text NOT NULL,
    key        text[] NOT NULL,
    reason     text NOT NULL,
    sqlstate   text,
    message    text NOT NULL,
    waits_link text,
    waits_key  text,
    payload    jsonb NOT NULL,
    attempts   integer NOT NULL DEFAULT 1,
    since      timestamptz NOT NULL DEFAULT now(),
    tried      timestamptz NOT NULL DEFAULT now(),
    next_try   timestamptz,
    retry      boolean NOT NULL DEFAULT false,
    discard_by text,
    UNIQUE (flow, link, key)
);
CREATE INDEX IF NOT EXISTS parked_waits ON replicator.parked (flow, waits_link, waits_key);
CREATE INDEX IF NOT EXISTS parked_due ON replicator.parked (flow, next_try) WHERE next_try IS NOT NULL;
CREATE INDEX IF NOT EXISTS parked_retry ON replicator.parked (flow) WHERE retry;
CREATE INDEX IF NOT EXISTS parked_discard ON replicator.parked (flow) WHERE discard_by IS NOT NULL;

-- Links that stand still in a flow that writes here: their changes are kept in `parked`, one a record, until the row is gone.
--   by      who wants it, or `schema`: a table has changed, and the link does not fit it any more
--   node, table_name, column_name   what does not fit, as far as it is known
--   place   the line to change
--   stale   changes have come meanwhile that could not be kept: when it goes on, the link's records are copied anew
CREATE TABLE IF NOT EXISTS replicator.paused (
    flow        text NOT NULL,
    link        text NOT NULL,
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    by          text NOT NULL,
    reason      text NOT NULL,
    hint        text NOT NULL DEFAULT '',
    place       text NOT NULL DEFAULT '',
    node        text NOT NULL DEFAULT '',
    table_name  text NOT NULL DEFAULT '',
    column_name text NOT NULL DEFAULT '',
    stale       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (flow, link)
);

-- The tables of this node that links to `peer` name, as they were when they were last looked at.
--   id       the table's object identifier: by it a table is found again that has another name now
--   columns  [number, name, type] of each; by its number a column is found again
--   formerly name -> number of columns that have another name now
CREATE TABLE IF NOT EXISTS replicator.shape (
    peer        text NOT NULL,
    schema_name text NOT NULL,
    table_name  text NOT NULL,
    id          bigint NOT NULL,
    columns     jsonb NOT NULL,
    formerly    jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (peer, schema_name, table_name)
);

-- What people have entered instead of values of parked changes: `after` is sent wherever the change holds `before` (both as in
-- parked.payload). Kept after the change has gone through, as long as settled conflicts.
CREATE TABLE IF NOT EXISTS replicator.parked_edit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parked      bigint NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    by          text NOT NULL,
    flow        text NOT NULL,
    link        text NOT NULL,
    key         text[] NOT NULL,
    column_name text NOT NULL,
    before      jsonb NOT NULL,
    after       jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS parked_edit_of ON replicator.parked_edit (parked);

-- Parked changes that a person has thrown away, with all they held. `id`: the one they had. Kept as long as settled conflicts.
CREATE TABLE IF NOT EXISTS replicator.discarded (
    id       bigint PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    by       text NOT NULL,
    flow     text NOT NULL,
    link     text NOT NULL,
    key      text[] NOT NULL,
    reason   text NOT NULL,
    sqlstate text,
    message  text NOT NULL,
    payload  jsonb NOT NULL,
    attempts integer NOT NULL,
    since    timestamptz NOT NULL
);

-- Values made here on the way in (generated numbers, defaults, triggers) that must flow back to the source.
CREATE TABLE IF NOT EXISTS replicator.outbox (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flow    text NOT NULL,
    link    text NOT NULL,
    payload jsonb NOT NULL
);

-- Records that are there already and are to go through a flow that writes here: `backfill`, what `match` has paired, what
-- `reconcile --repair` mends. One row a link; a flow works them off in the order of their ids, chunk by chunk.
--   why        backfill, match or repair
--   condition  SQL over the source's record (`own`), NULL: every record
--   listed     the records are those in `backfill_record`
--   after      key of the last record of the last chunk: committed with what the chunk wrote, so nothing is copied twice
--   rate       records a second at most, NULL: as fast as it goes
--   expected   how many there may be, for people who wait
--   records, created, changed, parked   so far
--   problem    why it ended without being done; NULL and `finished`: done
CREATE TABLE IF NOT EXISTS replicator.backfill (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flow      text NOT NULL,
    link      text NOT NULL,
    why       text NOT NULL,
    condition text,
    listed    boolean NOT NULL DEFAULT false,
    after     text[],
    rate      integer,
    expected  bigint,
    records   bigint NOT NULL DEFAULT 0,
    created   bigint NOT NULL DEFAULT 0,
    changed   bigint NOT NULL DEFAULT 0,
    parked    bigint NOT NULL DEFAULT 0,
    asked     timestamptz NOT NULL DEFAULT now(),
    started   timestamptz,
    moved     timestamptz,
    finished  timestamptz,
    problem   text
);
CREATE UNIQUE INDEX IF NOT EXISTS backfill_open ON replicator.backfill (flow, link, why) WHERE finished IS NULL;

-- The records of a listed backfill: the source's key, and the mask of fields that are to be sent (NULL: all).
CREATE TABLE IF NOT EXISTS replicator.backfill_record (
    backfill bigint NOT NULL REFERENCES replicator.backfill ON DELETE CASCADE,
    key      text[] NOT NULL,
    fields   text,
    PRIMARY KEY (backfill, key)
);

-- What the last `reconcile` of a link came to; on the node that its file names first.
--   how        how much was compared, see replicator/reconcile/proof.py
--   kinds      differences by kind
CREATE TABLE IF NOT EXISTS replicator.reconciled (
    link        text PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    seconds     double precision NOT NULL,
    how         text NOT NULL,
    compared    bigint NOT NULL,
    differences bigint NOT NULL,
    unsettled   bigint NOT NULL,
    kinds       jsonb NOT NULL,
    problem     text
);

-- Rises with every pair made or buried on this node, so that what is not mirrored yet can be found.
CREATE SEQUENCE IF NOT EXISTS replicator.pair_seq;

-- The parts of a coalesced change: which fields were last changed by which transaction. `marks` is null for most rows
-- (one transaction changed them all), else a JSON list of [fields, stamp, lsn].
CREATE OR REPLACE FUNCTION replicator.touches(fields bit varying, stamp bigint, lsn pg_lsn, marks text)
RETURNS TABLE (fields bit varying, stamp bigint, lsn pg_lsn)
LANGUAGE sql IMMUTABLE AS $$
    SELECT $1, $2, $3 WHERE $4 IS NULL
    UNION ALL
    SELECT (m ->> 0)::bit varying, (m ->> 1)::bigint, (m ->> 2)::pg_lsn FROM json_array_elements($4::json) m
$$;

-- What `reconcile` has last proven of a link, as this node knows it. It holds if the other node's row is of the same run.
--   run       the comparison; the same on both nodes
--   program   a digest of the statements that were compared with
--   identity  the server and database it speaks of
--   snapshot  what was seen: all records were equal then, but those in `doubtful`
--   tables    what was read on this node: name -> [shape, rows, sum over their versions]
--   doubtful  keys, as text, of this node's records that were not equal
--   unlinked  records with a reference that could not be compared
CREATE TABLE IF NOT EXISTS replicator.proof (
    link     text PRIMARY KEY,
    run      text NOT NULL,
    program  text NOT NULL,
    identity text NOT NULL,
    snapshot pg_snapshot NOT NULL,
    tables   jsonb NOT NULL,
    doubtful jsonb NOT NULL,
    unlinked bigint NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);

-- Changes that may never have come, because a person let a flow go on without them (`init --renew`): those of the source from
-- `from_lsn`, of the server and timeline it had then, to `upto_lsn` of those that it has since.
CREATE TABLE IF NOT EXISTS replicator.gap (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    flow          text NOT NULL,
    reason        text NOT NULL,
    from_system   text NOT NULL,
    from_timeline integer NOT NULL,
    from_lsn      pg_lsn NOT NULL,
    system        text NOT NULL,
    timeline      integer NOT NULL,
    upto_lsn      pg_lsn NOT NULL,
    accepted_by   text NOT NULL DEFAULT session_user
);

-- How to give back what `init` changed outside this schema, newest first.
CREATE TABLE IF NOT EXISTS replicator.undo (
    id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sql text NOT NULL UNIQUE
);

-- Batches: recordings below a folder that become scenarios one after the other.

CREATE TABLE batches (
    id         uuid PRIMARY KEY,
    spec       jsonb NOT NULL,               -- BatchSpec, as it was requested: it never changes
    needs      text[] NOT NULL DEFAULT '{}', -- features that only the api's version knows its scenarios to need
    name       text NOT NULL,
    tags       text[] NOT NULL DEFAULT '{}',
    watch      boolean NOT NULL,
    at_once    integer NOT NULL CHECK (at_once >= 1),
    state      text NOT NULL DEFAULT 'running'
               CHECK (state IN ('running', 'stopping', 'stopped', 'done', 'deleting')),
    listed_at  timestamptz,                  -- the first scan that found files: without watch, no others are added
    scanned_at timestamptz,                  -- the latest scan
    problem    text,                         -- what kept the latest scan from finding all that it should
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz                   -- a tombstone: the id is never used again
);

CREATE INDEX batches_newest ON batches (created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX batches_going ON batches (id) WHERE state IN ('running', 'stopping', 'deleting') AND deleted_at IS NULL;

CREATE TABLE batch_files (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id    uuid NOT NULL REFERENCES batches (id),
    path        text NOT NULL,               -- below the media folder
    size        bigint NOT NULL,
    modified    bigint NOT NULL,             -- nanoseconds of Unix time
    state       text NOT NULL CHECK (state IN ('growing', 'ready', 'taken', 'gone', 'refused')),
    is_latest   boolean NOT NULL DEFAULT true,  -- false: the path has another file by now
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    scenario_id uuid UNIQUE,                 -- once it was taken
    note        text                         -- why it was refused, or a warning
);

-- Of its hash: a path can be longer than an entry of an index.
CREATE UNIQUE INDEX batch_files_latest ON batch_files (batch_id, md5(path)) WHERE is_latest;
CREATE INDEX batch_files_by_state ON batch_files (batch_id, state, number);
CREATE INDEX batch_files_noted ON batch_files (batch_id, number) WHERE note IS NOT NULL;

ALTER TABLE scenarios ADD COLUMN batch_id uuid REFERENCES batches (id);

CREATE INDEX scenarios_of_batch ON scenarios (batch_id, created_at DESC, id DESC)
    WHERE deleted_at IS NULL AND batch_id IS NOT NULL;
CREATE INDEX scenarios_of_batch_by_state ON scenarios (batch_id, state, outcome)
    WHERE deleted_at IS NULL AND batch_id IS NOT NULL;

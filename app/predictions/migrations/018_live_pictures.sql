-- The newest picture of each live source that somebody looks at. A crash of the server empties both tables.

CREATE UNLOGGED TABLE watched (
    scenario_id  uuid PRIMARY KEY,
    since        timestamptz NOT NULL,  -- from when on somebody has looked without a pause
    until        timestamptz NOT NULL   -- until when runners store pictures
);

CREATE UNLOGGED TABLE live_pictures (
    scenario_id  uuid PRIMARY KEY,
    attempt      integer NOT NULL,
    run_token    uuid NOT NULL,              -- of the run that took it: shown only while that has the fence
    frame        bigint NOT NULL,
    time         double precision NOT NULL,  -- of the frame: Unix time in seconds
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    width        integer NOT NULL,           -- of the upright frame in pixels
    height       integer NOT NULL,
    picture      bytea NOT NULL              -- JPEG, at most 640 pixels wide and high
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200,
        toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 1000);

-- A JPEG does not shrink: it is stored beside the row as it is.
ALTER TABLE live_pictures ALTER COLUMN picture SET STORAGE EXTERNAL;

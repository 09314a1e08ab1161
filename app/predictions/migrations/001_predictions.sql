-- What runs stored, and the fence that keeps it exactly once.

CREATE TABLE checkpoints (
    scenario_id     uuid PRIMARY KEY,
    attempt         integer NOT NULL CHECK (attempt >= 1),
    run_token       uuid NOT NULL,
    next_frame      bigint NOT NULL DEFAULT 0 CHECK (next_frame >= 0),  -- every frame before it is settled
    finished        boolean NOT NULL DEFAULT false,
    dropped         boolean NOT NULL DEFAULT false,                     -- deleted: no claim passes
    purged          boolean NOT NULL DEFAULT false,                     -- deleted: its rows are gone too
    eligible        text CHECK (eligible IN ('all', 'reference', 'key')),  -- frames sampling chooses from
    replay_frame    bigint NOT NULL DEFAULT 0,    -- where decoding begins again to rebuild the detector's memory
    replay_sampled  bigint NOT NULL DEFAULT 0,    -- sampled frames before replay_frame
    -- Counters cover the frames before next_frame.
    frames_sampled  bigint NOT NULL DEFAULT 0,
    frames_dropped  bigint NOT NULL DEFAULT 0,
    frames_failed   bigint NOT NULL DEFAULT 0,
    detections      bigint NOT NULL DEFAULT 0,
    position_seconds double precision NOT NULL DEFAULT 0,
    frames_per_second real NOT NULL DEFAULT 0,    -- of the run that wrote last
    source_state    text NOT NULL DEFAULT 'opening'
                    CHECK (source_state IN ('opening', 'open', 'reconnecting', 'closed')),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX checkpoints_to_purge ON checkpoints (scenario_id) WHERE dropped AND NOT purged;

-- One row per sampled frame, its detections as parallel arrays: less than half the size of a row for each.
CREATE TABLE predictions (
    scenario_id  uuid NOT NULL,
    frame        bigint NOT NULL CHECK (frame >= 0),
    time         double precision NOT NULL,
    labels       text[] NOT NULL,
    confidences  real[] NOT NULL,
    boxes        real[] NOT NULL,      -- x1, y1, x2, y2 of the first detection, then of the second, …
    track_ids    bigint[],             -- null where the detector does not track
    error        text,                 -- why this frame has no detections: it could not be decoded or detected
    PRIMARY KEY (scenario_id, frame),
    CONSTRAINT arrays_are_parallel CHECK (
        cardinality(confidences) = cardinality(labels)
        AND cardinality(boxes) = 4 * cardinality(labels)
        AND (track_ids IS NULL OR cardinality(track_ids) = cardinality(labels)))
);

-- What a runner sends for one row: of a type, so that a batch and its checkpoint are one statement.
CREATE TYPE prediction AS (
    frame        bigint,
    time         double precision,
    labels       text[],
    confidences  real[],
    boxes        real[],
    track_ids    bigint[],
    error        text
);

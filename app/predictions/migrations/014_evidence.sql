-- Pictures that live sources keep of their events: one of each `object` and `alert`.

CREATE TABLE evidence (
    scenario_id  uuid NOT NULL,
    event_id     bigint NOT NULL,
    frame        bigint NOT NULL,               -- that the picture shows
    time         double precision NOT NULL,     -- of the frame: Unix time in seconds
    score        double precision NOT NULL,     -- confidence times area of the box
    width        integer NOT NULL,              -- of the frame, in whose pixels the box is
    height       integer NOT NULL,
    bytes        integer NOT NULL,              -- of the picture, which may be smaller than the frame
    box          double precision[] NOT NULL CHECK (cardinality(box) = 4),
    picture      bytea NOT NULL,                -- JPEG, at most 1280 pixels wide and high
    PRIMARY KEY (scenario_id, event_id),
    FOREIGN KEY (scenario_id, event_id) REFERENCES events ON DELETE CASCADE
) WITH (toast.autovacuum_vacuum_scale_factor = 0.05);  -- replaced and removed pictures leave room for new ones

-- A JPEG does not shrink: it is stored beside the row as it is.
ALTER TABLE evidence ALTER COLUMN picture SET STORAGE EXTERNAL;

-- To count the bytes of all pictures without reading them, and to find the oldest.
CREATE INDEX evidence_by_time ON evidence (time) INCLUDE (bytes);

-- How often each label was found, in each 15 seconds of a video.

CREATE TABLE timeline_buckets (
    scenario_id     uuid NOT NULL,
    label           text NOT NULL,        -- '': any
    bucket          bigint NOT NULL CHECK (bucket >= 0),       -- time / 15 seconds
    frames          integer NOT NULL CHECK (frames >= 1),      -- in which it was found; of '': that were sampled
    detections      integer NOT NULL CHECK (detections >= 0),
    max_confidence  real NOT NULL,
    PRIMARY KEY (scenario_id, label, bucket)
) WITH (fillfactor = 80);  -- the newest are updated with each batch, in their own page

-- What was stored before is counted in the background: timeline_frame goes up to next_frame, then batches go on.
ALTER TABLE checkpoints
    ADD COLUMN timeline_frame bigint NOT NULL DEFAULT 0,   -- the timeline counts the frames before it
    ADD CONSTRAINT timeline_is_not_ahead CHECK (timeline_frame <= next_frame);

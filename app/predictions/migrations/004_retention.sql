-- Predictions of live sources may be kept for some days only; those of recordings are kept.

ALTER TABLE checkpoints ADD COLUMN live boolean NOT NULL DEFAULT false;  -- set by each batch of a live source

CREATE INDEX checkpoints_live ON checkpoints (scenario_id) WHERE live AND NOT dropped;

COMMENT ON COLUMN checkpoints.purged_before IS 'rows of the frames before it are gone: deleted, or too old';

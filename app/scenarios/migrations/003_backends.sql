-- What computes networks on each runner.

ALTER TABLE runners ADD COLUMN backend text, ADD COLUMN precision text;  -- null: an older version does not tell

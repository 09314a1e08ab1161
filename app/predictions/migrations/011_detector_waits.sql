-- What the detector of the run waits for, such as its server: {text, tries}, and since when.

ALTER TABLE checkpoints
    ADD COLUMN detector_wait jsonb,
    ADD COLUMN detector_waits_since timestamptz;

-- What a scenario's results depend on besides its spec: compared when it is resumed.

ALTER TABLE checkpoints
    ADD COLUMN pins jsonb,                              -- null: stored by release 0.1.0, or nothing is stored
    ADD COLUMN pin_changes jsonb NOT NULL DEFAULT '[]'; -- what changed from which frame on

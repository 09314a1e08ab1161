-- From which stored frame on pictures have another size: [{frame, width, height}]. A size of 0 is unknown.

ALTER TABLE checkpoints
    ADD COLUMN sizes jsonb NOT NULL DEFAULT '[]';

-- What a user should know of the results, as found while the source was read: [{code, text, frame}].

ALTER TABLE checkpoints
    ADD COLUMN warnings jsonb NOT NULL DEFAULT '[]';

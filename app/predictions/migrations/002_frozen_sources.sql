-- A live source may be frozen: it sends one and the same picture again and again.

ALTER TABLE checkpoints
    DROP CONSTRAINT checkpoints_source_state_check,
    ADD CONSTRAINT checkpoints_source_state_check
        CHECK (source_state IN ('opening', 'open', 'frozen', 'reconnecting', 'closed'));

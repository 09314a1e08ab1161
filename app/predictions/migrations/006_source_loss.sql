-- Why a live source is reconnecting: {error, tries}, and since when. Shown while source_state says so.

ALTER TABLE checkpoints
    ADD COLUMN source_loss jsonb,
    ADD COLUMN source_lost_at timestamptz;

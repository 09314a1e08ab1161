-- Dates of recordings that were changed after the scenario was created.

-- {"recorded_at": …}, which stands for that of the specification; null: it is as it was requested.
ALTER TABLE scenarios ADD COLUMN dated jsonb;

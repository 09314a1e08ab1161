-- Dates of recordings that were changed after their events were stored.

ALTER TABLE checkpoints
    ADD COLUMN dated_by bigint NOT NULL DEFAULT 0,  -- number of the latest change; 0: none
    ADD COLUMN redate_from bigint;                  -- the first event that has the old date; null: none has

CREATE INDEX checkpoints_to_redate ON checkpoints (scenario_id) WHERE redate_from IS NOT NULL;

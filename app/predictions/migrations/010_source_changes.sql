-- The history of live sources: when each was lost, froze, came back, or sent other pictures, and why.

CREATE TABLE source_changes (
    scenario_id  uuid NOT NULL,
    number       bigint NOT NULL,       -- counts the changes of a scenario from 1; the oldest are removed
    at           timestamptz NOT NULL,
    attempt      integer NOT NULL,
    state        text NOT NULL CHECK (state IN ('open', 'frozen', 'reconnecting')),
    reason       text NOT NULL,
    media        jsonb,                 -- Media, if the pictures are others from then on
    PRIMARY KEY (scenario_id, number)
);

ALTER TABLE checkpoints
    ADD COLUMN source_changes bigint NOT NULL DEFAULT 0,  -- number of the latest
    ADD COLUMN source_patience real;  -- seconds that the source may be silent, as its last loss taught

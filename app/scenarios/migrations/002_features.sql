-- A scenario goes only to a runner that has the features it needs.

ALTER TABLE runners ADD COLUMN features text[];  -- null: announced none, as release 0.1.0 does

ALTER TABLE scenarios ADD COLUMN needs text[] NOT NULL DEFAULT '{}';

UPDATE scenarios SET needs = ARRAY['detector:' || (spec->'detector'->>'type')];

-- What happened in the videos, and where the analysis that finds it goes on.

CREATE TABLE events (
    scenario_id      uuid NOT NULL,
    event_id         bigint NOT NULL CHECK (event_id >= 1),   -- counts a scenario's events
    storage_order    bigint GENERATED ALWAYS AS IDENTITY,     -- counts all events, with gaps
    start_frame      bigint NOT NULL CHECK (start_frame >= 0),
    end_frame        bigint NOT NULL,
    best_frame       bigint NOT NULL,
    track_id         bigint,               -- null: of no single object
    start_time       double precision NOT NULL,
    end_time         double precision NOT NULL,
    best_time        double precision NOT NULL,
    at               timestamptz,          -- when it started; null: only the time in the video is known
    best_confidence  real NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('object', 'zone', 'line', 'presence', 'alert')),
    state            text NOT NULL CHECK (state IN ('open', 'ended', 'interrupted')),
    name             text NOT NULL,        -- of the zone, line or alert rule; '': it has none
    label            text NOT NULL,
    direction        text CHECK (direction IN ('left', 'right')),
    best_box         real[] NOT NULL CHECK (cardinality(best_box) = 4),
    PRIMARY KEY (scenario_id, event_id),
    CONSTRAINT it_ends_after_its_start CHECK (end_frame >= start_frame AND end_time >= start_time),
    CONSTRAINT zones_lines_and_alerts_have_names CHECK ((name = '') = (kind IN ('object', 'presence'))),
    CONSTRAINT crossings_have_directions CHECK (
        CASE kind WHEN 'line' THEN direction IS NOT NULL WHEN 'alert' THEN true ELSE direction IS NULL END)
) WITH (fillfactor = 80);  -- open events are updated with each batch, in their own page

-- An update changes none of the columns below, so it adds nothing to these indexes.
CREATE INDEX events_by_time ON events (scenario_id, start_time, event_id);
CREATE INDEX events_by_kind ON events (scenario_id, kind, name, label, start_time, event_id);
CREATE INDEX events_by_track ON events (scenario_id, track_id) WHERE track_id IS NOT NULL;
CREATE UNIQUE INDEX events_by_storage_order ON events (storage_order);
CREATE INDEX events_by_kind_and_storage_order ON events (kind, name, label, storage_order);
CREATE INDEX events_by_clock ON events (at, scenario_id, event_id) WHERE at IS NOT NULL;
CREATE INDEX events_by_kind_and_clock ON events (kind, name, label, at, scenario_id, event_id)
 WHERE at IS NOT NULL;

ALTER TABLE checkpoints
    ADD COLUMN analysis_state bytea,              -- after the frames before analysis_frame; null: the beginning
    ADD COLUMN analysis_frame bigint NOT NULL DEFAULT 0,
    ADD COLUMN next_track_id bigint NOT NULL DEFAULT 1,
    ADD COLUMN next_event_id bigint NOT NULL DEFAULT 1,
    ADD COLUMN cooldowns jsonb NOT NULL DEFAULT '{}',        -- {alert rule: time of the video at which it fired}
    ADD COLUMN open_events bigint[] NOT NULL DEFAULT '{}',   -- ids of the events that have not ended
    ADD COLUMN events_purged_before bigint NOT NULL DEFAULT 1,  -- deleted or too old: no event before it is left
    ADD CONSTRAINT analysis_is_not_ahead CHECK (analysis_frame <= next_frame);

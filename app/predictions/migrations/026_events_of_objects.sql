-- The first events of an object are read in their order, however many it has.

DROP INDEX events_by_track;
CREATE INDEX events_by_track ON events (scenario_id, track_id, start_time, event_id) WHERE track_id IS NOT NULL;

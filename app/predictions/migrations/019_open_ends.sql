-- When each open event was last seen, beside its id: a batch changes no row of an event that only goes on.

-- First the events that the last frame does not show, each with its own end; all others have the last end.
ALTER TABLE checkpoints
    ADD COLUMN open_end_frames bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN open_end_times double precision[] NOT NULL DEFAULT '{}';

UPDATE checkpoints AS c
   SET open_end_frames = ARRAY(
           SELECT coalesce(e.end_frame, 0) FROM unnest(open_events) WITH ORDINALITY AS o (event_id, n)
             LEFT JOIN events AS e ON e.scenario_id = c.scenario_id AND e.event_id = o.event_id ORDER BY n),
       open_end_times = ARRAY(
           SELECT coalesce(e.end_time, 0) FROM unnest(open_events) WITH ORDINALITY AS o (event_id, n)
             LEFT JOIN events AS e ON e.scenario_id = c.scenario_id AND e.event_id = o.event_id ORDER BY n)
 WHERE open_events <> '{}';

ALTER TABLE checkpoints ADD CONSTRAINT open_events_have_ends CHECK (
    cardinality(open_end_frames) BETWEEN least(cardinality(open_events), 1) AND cardinality(open_events)
    AND cardinality(open_end_times) = cardinality(open_end_frames));

-- The events, those that are open with their present end.
CREATE VIEW current_events AS
SELECT scenario_id, event_id, storage_order, start_frame,
       CASE state WHEN 'open' THEN coalesce((
           SELECT open_end_frames[least(array_position(open_events, event_id), cardinality(open_end_frames))]
             FROM checkpoints AS c WHERE c.scenario_id = e.scenario_id AND event_id = ANY (open_events)), end_frame)
       ELSE end_frame END AS end_frame,
       best_frame, track_id, start_time,
       CASE state WHEN 'open' THEN coalesce((
           SELECT open_end_times[least(array_position(open_events, event_id), cardinality(open_end_times))]
             FROM checkpoints AS c WHERE c.scenario_id = e.scenario_id AND event_id = ANY (open_events)), end_time)
       ELSE end_time END AS end_time,
       best_time, at, best_confidence, kind, state, name, label, direction, best_box
  FROM events AS e;

-- Beside the row if that has more than 2 kB, uncompressed: most batches change the row and not the state.
ALTER TABLE checkpoints ALTER COLUMN analysis_state SET STORAGE EXTERNAL;

-- Counts over long videos: of labels for each five minutes, and of events, so that few rows are read for them.

CREATE TABLE timeline_sums (
    scenario_id     uuid NOT NULL,
    label           text NOT NULL,        -- '': any
    part            bigint NOT NULL CHECK (part >= 0),         -- time / 300 seconds: 20 buckets
    frames          integer NOT NULL CHECK (frames >= 1),
    detections      integer NOT NULL CHECK (detections >= 0),
    max_confidence  real NOT NULL,
    failed          integer NOT NULL CHECK (failed >= 0),
    PRIMARY KEY (scenario_id, label, part)
);

-- Times of a video never decrease, so a bucket that begins a part ends all parts before it: nothing is added to their
-- buckets any more. If a part's first bucket has no frame, the part before it is summed with a later one.
CREATE FUNCTION add_up_timeline() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO timeline_sums
    WITH RECURSIVE known AS (
        SELECT ''::text AS label
        UNION ALL
        SELECT (SELECT label FROM timeline_buckets AS t
                 WHERE t.scenario_id = NEW.scenario_id AND t.label > known.label ORDER BY label LIMIT 1)
          FROM known WHERE label IS NOT NULL
    ), summed AS (
        SELECT coalesce(max(part), -1) AS part FROM timeline_sums WHERE scenario_id = NEW.scenario_id AND label = ''
    )
    SELECT NEW.scenario_id, label, bucket / 20, sum(frames), sum(detections), max(max_confidence), sum(failed)
      FROM known JOIN timeline_buckets AS t USING (label)
     WHERE scenario_id = NEW.scenario_id
       AND bucket >= 20 * (SELECT part + 1 FROM summed) AND bucket < NEW.bucket / 20 * 20
     GROUP BY label, bucket / 20;
    RETURN NULL;
END
$$;

CREATE TRIGGER new_part AFTER INSERT ON timeline_buckets FOR EACH ROW
    WHEN (NEW.label = '' AND NEW.bucket % 20 = 0) EXECUTE FUNCTION add_up_timeline();

INSERT INTO timeline_sums
SELECT scenario_id, label, bucket / 20, sum(frames), sum(detections), max(max_confidence), sum(failed)
  FROM timeline_buckets
  JOIN (SELECT scenario_id, max(bucket) / 20 AS last_part
          FROM timeline_buckets WHERE label = '' GROUP BY scenario_id) AS ends USING (scenario_id)
 WHERE bucket / 20 < last_part
 GROUP BY scenario_id, label, bucket / 20;

CREATE TABLE event_counts (
    scenario_id  uuid NOT NULL,
    kind         text NOT NULL,
    name         text NOT NULL,
    label        text NOT NULL,
    events       bigint NOT NULL CHECK (events >= 0),  -- with an id before checkpoints.events_counted_before
    PRIMARY KEY (scenario_id, kind, name, label)
);

ALTER TABLE checkpoints ADD COLUMN events_counted_before bigint NOT NULL DEFAULT 1;

-- Whoever adds events has locked the checkpoint, and adds them in the order of their ids: so each is counted once, and
-- one whose label changes in the same statement has the new one when it is counted.
CREATE FUNCTION count_new_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO event_counts AS known
    SELECT scenario_id, kind, name, label, count(*)
      FROM events JOIN checkpoints USING (scenario_id)
     WHERE scenario_id = NEW.scenario_id AND event_id >= events_counted_before AND event_id <= NEW.event_id
     GROUP BY scenario_id, kind, name, label
    ON CONFLICT (scenario_id, kind, name, label) DO UPDATE SET events = known.events + excluded.events;
    UPDATE checkpoints SET events_counted_before = NEW.event_id + 1
     WHERE scenario_id = NEW.scenario_id AND events_counted_before <= NEW.event_id;
    RETURN NULL;
END
$$;

CREATE FUNCTION count_new_label() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.event_id < (SELECT events_counted_before FROM checkpoints WHERE scenario_id = NEW.scenario_id) THEN
        UPDATE event_counts SET events = events - 1
         WHERE scenario_id = NEW.scenario_id AND kind = OLD.kind AND name = OLD.name AND label = OLD.label;
        INSERT INTO event_counts AS known VALUES (NEW.scenario_id, NEW.kind, NEW.name, NEW.label, 1)
        ON CONFLICT (scenario_id, kind, name, label) DO UPDATE SET events = known.events + 1;
    END IF;
    RETURN NULL;
END
$$;

-- The checkpoint is locked first, so that no event is counted after another transaction has removed it.
CREATE FUNCTION uncount_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM checkpoints WHERE scenario_id IN (SELECT scenario_id FROM removed) ORDER BY scenario_id
        FOR NO KEY UPDATE;
    UPDATE event_counts AS known SET events = known.events - gone.events
      FROM (SELECT scenario_id, kind, name, label, count(*) AS events
              FROM removed JOIN checkpoints USING (scenario_id)
             WHERE event_id < events_counted_before
             GROUP BY scenario_id, kind, name, label) AS gone
     WHERE known.scenario_id = gone.scenario_id AND known.kind = gone.kind AND known.name = gone.name
       AND known.label = gone.label;
    RETURN NULL;
END
$$;

CREATE TRIGGER counted_events AFTER INSERT ON events FOR EACH ROW WHEN (NEW.event_id % 256 = 0)
    EXECUTE FUNCTION count_new_events();
CREATE TRIGGER counted_label AFTER UPDATE OF label ON events FOR EACH ROW WHEN (OLD.label <> NEW.label)
    EXECUTE FUNCTION count_new_label();
CREATE TRIGGER removed_events AFTER DELETE ON events REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION uncount_events();

INSERT INTO event_counts
SELECT scenario_id, kind, name, label, count(*)
  FROM events JOIN checkpoints USING (scenario_id) GROUP BY scenario_id, kind, name, label;
UPDATE checkpoints AS c SET events_counted_before = last.event_id + 1
  FROM (SELECT scenario_id, max(event_id) AS event_id FROM events GROUP BY scenario_id) AS last
 WHERE last.scenario_id = c.scenario_id;

-- Each picture of a live source once, however many events show its frame: an object and its alert often do.

CREATE TABLE event_pictures (
    scenario_id  uuid NOT NULL,
    event_id     bigint NOT NULL,
    frame        bigint NOT NULL,               -- whose picture in `evidence` shows the event
    score        double precision NOT NULL,     -- confidence times area of the box
    box          double precision[] NOT NULL CHECK (cardinality(box) = 4),
    PRIMARY KEY (scenario_id, event_id),
    FOREIGN KEY (scenario_id, event_id) REFERENCES events ON DELETE CASCADE
);

INSERT INTO event_pictures SELECT scenario_id, event_id, frame, score, box FROM evidence;

DELETE FROM evidence AS e USING evidence AS kept
 WHERE kept.scenario_id = e.scenario_id AND kept.frame = e.frame AND kept.event_id < e.event_id;

-- This leaves the pictures where they are. The primary key and the foreign key go with `event_id`.
ALTER TABLE evidence
    DROP COLUMN event_id,
    DROP COLUMN score,
    DROP COLUMN box,
    ADD PRIMARY KEY (scenario_id, frame);

CREATE INDEX event_pictures_by_frame ON event_pictures (scenario_id, frame);
ALTER TABLE event_pictures ADD FOREIGN KEY (scenario_id, frame) REFERENCES evidence;

-- Whatever removes an event, or gives it another picture: a picture that no event shows is removed with it.
CREATE FUNCTION remove_unused_picture() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Locked first: of two transactions that remove a picture's last events, the later one sees both removed.
    PERFORM FROM evidence WHERE scenario_id = OLD.scenario_id AND frame = OLD.frame FOR UPDATE;
    DELETE FROM evidence AS e
     WHERE scenario_id = OLD.scenario_id AND frame = OLD.frame
       AND NOT EXISTS (SELECT FROM event_pictures AS p
                        WHERE p.scenario_id = e.scenario_id AND p.frame = e.frame);
    RETURN NULL;
END
$$;

CREATE TRIGGER removed_picture AFTER DELETE ON event_pictures FOR EACH ROW
    EXECUTE FUNCTION remove_unused_picture();
CREATE TRIGGER replaced_picture AFTER UPDATE OF frame ON event_pictures FOR EACH ROW
    WHEN (OLD.frame <> NEW.frame) EXECUTE FUNCTION remove_unused_picture();

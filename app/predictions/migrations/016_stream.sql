-- What event streams tell of sources and of events in the videos, in an order in which they can be resumed.

CREATE TABLE stream_entries (
    id             bigint GENERATED ALWAYS AS IDENTITY,
    xid            xid8 NOT NULL DEFAULT pg_current_xact_id(),  -- with the snapshot's xmin: a resumable order
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    scenario_id    uuid NOT NULL,
    event_id       bigint,  -- of an event that is new, or whose state has changed
    state          text,    -- of that event from then on
    source_change  bigint,  -- the number of a change of the source
    PRIMARY KEY (xid, id),
    CONSTRAINT of_an_event_or_a_source CHECK (num_nonnulls(event_id, source_change) = 1)
);

-- Whoever writes the row: a run's batch, or a runner that settles what a killed run has left.
CREATE FUNCTION add_event_to_stream() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stream_entries (scenario_id, event_id, state) VALUES (NEW.scenario_id, NEW.event_id, NEW.state);
    RETURN NULL;
END
$$;

CREATE TRIGGER new_event AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION add_event_to_stream();
CREATE TRIGGER changed_event AFTER UPDATE OF state ON events FOR EACH ROW WHEN (OLD.state <> NEW.state)
    EXECUTE FUNCTION add_event_to_stream();

CREATE FUNCTION add_source_change_to_stream() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stream_entries (scenario_id, source_change) VALUES (NEW.scenario_id, NEW.number);
    RETURN NULL;
END
$$;

CREATE TRIGGER new_source_change AFTER INSERT ON source_changes FOR EACH ROW
    EXECUTE FUNCTION add_source_change_to_stream();

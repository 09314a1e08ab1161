-- Sums of deleted scenarios: runners of earlier versions, which may still run in a fleet, do not know them.

CREATE FUNCTION remove_sums() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM timeline_sums WHERE scenario_id = NEW.scenario_id;
    DELETE FROM event_counts WHERE scenario_id = NEW.scenario_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER purged_sums AFTER UPDATE OF purged ON checkpoints FOR EACH ROW WHEN (NEW.purged)
    EXECUTE FUNCTION remove_sums();

DELETE FROM timeline_sums USING checkpoints
 WHERE checkpoints.scenario_id = timeline_sums.scenario_id AND checkpoints.purged;
DELETE FROM event_counts USING checkpoints
 WHERE checkpoints.scenario_id = event_counts.scenario_id AND checkpoints.purged;

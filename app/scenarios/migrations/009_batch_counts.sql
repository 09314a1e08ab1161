-- How many scenarios of each batch are in each state, without counting them.

-- The sum of its rows counts: a change adds rows and updates none, so that no change waits for another one of the
-- same batch. The leading orchestrator adds them up now and then.
CREATE TABLE batch_counts (
    batch_id  uuid NOT NULL,
    state     text NOT NULL,
    outcome   text,
    number    bigint NOT NULL    -- negative: so many have left this state
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);  -- rows come and go

CREATE FUNCTION count_in_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.batch_id IS NOT NULL AND OLD.deleted_at IS NULL THEN
        INSERT INTO batch_counts VALUES (OLD.batch_id, OLD.state, OLD.outcome, -1);
    END IF;
    IF NEW.batch_id IS NOT NULL AND NEW.deleted_at IS NULL THEN
        INSERT INTO batch_counts VALUES (NEW.batch_id, NEW.state, NEW.outcome, 1);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER new_in_batch AFTER INSERT ON scenarios FOR EACH ROW WHEN (NEW.batch_id IS NOT NULL)
    EXECUTE FUNCTION count_in_batch();
CREATE TRIGGER changed_in_batch AFTER UPDATE ON scenarios FOR EACH ROW
    WHEN ((OLD.batch_id, OLD.state, OLD.outcome, OLD.deleted_at IS NULL)
          IS DISTINCT FROM (NEW.batch_id, NEW.state, NEW.outcome, NEW.deleted_at IS NULL))
    EXECUTE FUNCTION count_in_batch();

INSERT INTO batch_counts
SELECT batch_id, state, outcome, count(*) FROM scenarios
 WHERE batch_id IS NOT NULL AND deleted_at IS NULL GROUP BY 1, 2, 3;

CREATE INDEX batch_counts_of ON batch_counts (batch_id) INCLUDE (state, outcome, number);

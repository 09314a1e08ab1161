-- In which scenarios each label was found: one row, however many blocks it has there.

CREATE TABLE found_labels (
    label        text NOT NULL,
    scenario_id  uuid NOT NULL,
    PRIMARY KEY (label, scenario_id)
);

-- By triggers, because an earlier version may store and delete, too. Whoever changes the blocks of a scenario has
-- locked its checkpoint, so that no block is added while another transaction looks for the last one.
CREATE FUNCTION add_found_label() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO found_labels VALUES (NEW.label, NEW.scenario_id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE FUNCTION remove_found_labels() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The newest block first: the entries of old ones that were removed may still be in the index.
    DELETE FROM found_labels AS f USING (SELECT DISTINCT label, scenario_id FROM removed WHERE label <> '') AS r
     WHERE f.label = r.label AND f.scenario_id = r.scenario_id
       AND (SELECT block FROM label_blocks AS b WHERE b.scenario_id = r.scenario_id AND b.label = r.label
             ORDER BY block DESC LIMIT 1) IS NULL;
    RETURN NULL;
END
$$;

CREATE TRIGGER new_block AFTER INSERT ON label_blocks FOR EACH ROW WHEN (NEW.label <> '')
    EXECUTE FUNCTION add_found_label();
CREATE TRIGGER removed_blocks AFTER DELETE ON label_blocks REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION remove_found_labels();

INSERT INTO found_labels SELECT DISTINCT label, scenario_id FROM label_blocks WHERE label <> '';

DROP INDEX label_blocks_by_label;

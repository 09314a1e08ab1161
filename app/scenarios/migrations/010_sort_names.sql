-- Lists of scenarios by name.

ALTER TABLE scenarios
    -- What people see: the name, else the source; as in `searched`, an address is only its host, and nothing if it may
    -- have a login. An entry of an index has at most 2,700 bytes.
    ADD COLUMN sort_name text NOT NULL GENERATED ALWAYS AS (
        lower(left(coalesce(
            nullif(coalesce(name, spec->>'name'), ''),
            CASE WHEN spec->>'source' LIKE '%@%' THEN NULL
                 WHEN spec->>'source' LIKE '%://%' THEN substring(spec->>'source' FROM '^[A-Za-z]+://[^/?#]*')
                 ELSE spec->>'source' END,
            ''), 300))) STORED;

CREATE INDEX scenarios_by_name ON scenarios (sort_name, id) WHERE deleted_at IS NULL;

-- A search reads the first of these and not the table, in each order. Longer texts have the second one.
DROP INDEX scenarios_searched;
DROP INDEX scenarios_with_long_text;
CREATE INDEX scenarios_searched ON scenarios (created_at DESC, id DESC)
    INCLUDE (searched, sort_name, state, outcome, is_live)
    WHERE deleted_at IS NULL AND octet_length(searched) + octet_length(sort_name) <= 2400;
CREATE INDEX scenarios_with_long_text ON scenarios (created_at DESC, id DESC)
    WHERE deleted_at IS NULL AND octet_length(searched) + octet_length(sort_name) > 2400;
CREATE INDEX scenarios_with_long_text_by_name ON scenarios (sort_name, id)
    WHERE deleted_at IS NULL AND octet_length(searched) + octet_length(sort_name) > 2400;

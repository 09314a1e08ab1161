-- Lists of scenarios by state, by liveness and by a text, and their numbers.

CREATE FUNCTION lines_of(texts text[]) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT array_to_string(texts, E'\n') $$;  -- which is not immutable for arrays of other types

ALTER TABLE scenarios
    -- Before a source was opened, its text tells. An HTTP address does not: it counts as a recording until then.
    ADD COLUMN is_live boolean NOT NULL GENERATED ALWAYS AS (
        coalesce(CASE WHEN media IS NULL THEN spec->>'source' ~* '^rtsps?:|^test:.*[?&]live=true'
                      ELSE (media->>'live')::boolean END, false)) STORED,
    -- Of an address only the host is searched, and nothing if it may have a login: else one could find out a
    -- password by searching for parts of it.
    ADD COLUMN searched text NOT NULL GENERATED ALWAYS AS (
        lower(coalesce(name, spec->>'name', '') || E'\n' || lines_of(tags) || E'\n'
              || coalesce(CASE WHEN spec->>'source' LIKE '%@%' THEN NULL
                               WHEN spec->>'source' LIKE '%://%'
                               THEN substring(spec->>'source' FROM '^[A-Za-z]+://[^/?#]*')
                               ELSE spec->>'source' END, ''))) STORED;

-- With the columns that are counted.
CREATE INDEX scenarios_in_state ON scenarios (state, created_at DESC, id DESC) INCLUDE (outcome, is_live)
    WHERE deleted_at IS NULL;
CREATE INDEX scenarios_unended ON scenarios (created_at DESC, id DESC)
    WHERE deleted_at IS NULL AND state <> 'inactive';
CREATE INDEX scenarios_live ON scenarios (created_at DESC, id DESC) WHERE deleted_at IS NULL AND is_live;
-- A search reads this index and not the table. An entry has at most 2,700 bytes, so longer texts have their own.
CREATE INDEX scenarios_searched ON scenarios (created_at DESC, id DESC)
    INCLUDE (searched, state, outcome, is_live) WHERE deleted_at IS NULL AND length(searched) <= 600;
CREATE INDEX scenarios_with_long_text ON scenarios (created_at DESC, id DESC)
    WHERE deleted_at IS NULL AND length(searched) > 600;

-- Less on disk, and predictions that are found by label and confidence without reading all of them.

-- How sure a detector was at best of each label, in each block of 1,024 frames; the label '' is any of them.
CREATE TABLE label_blocks (
    scenario_id     uuid NOT NULL,
    label           text NOT NULL,
    block           bigint NOT NULL,      -- frame / 1024
    max_confidence  real NOT NULL,
    PRIMARY KEY (scenario_id, label, block)
);

INSERT INTO label_blocks
SELECT scenario_id, label, frame / 1024, max(confidence)
  FROM predictions
 CROSS JOIN unnest(labels, confidences) AS detection (own, confidence)
 CROSS JOIN LATERAL (SELECT own UNION SELECT '') AS each (label)
 GROUP BY 1, 2, 3;

-- Arrays of texts and numbers take a third more room, and twice the time to send. Labels are printable, so
-- a line break parts them. Numbers are in single precision, the most significant byte first.
CREATE FUNCTION pg_temp.packed(numbers real[]) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(string_agg(float4send(number), '' ORDER BY n), '')
      FROM unnest(numbers) WITH ORDINALITY AS each (number, n)
$$;

ALTER TABLE predictions
    DROP CONSTRAINT arrays_are_parallel,
    ALTER COLUMN labels TYPE text USING array_to_string(labels, E'\n'),
    ALTER COLUMN confidences TYPE bytea USING pg_temp.packed(confidences),
    ALTER COLUMN boxes TYPE bytea USING pg_temp.packed(boxes),
    ADD CONSTRAINT lists_are_parallel CHECK (
        octet_length(labels) - octet_length(replace(labels, E'\n', '')) = greatest(length(confidences) / 4 - 1, 0)
        AND length(confidences) % 4 = 0
        AND length(boxes) = 4 * length(confidences)
        AND (track_ids IS NULL OR 4 * cardinality(track_ids) = length(confidences)));

ALTER TYPE prediction
    ALTER ATTRIBUTE labels TYPE text,
    ALTER ATTRIBUTE confidences TYPE bytea,
    ALTER ATTRIBUTE boxes TYPE bytea;

-- Times never decrease from frame to frame: a binary search through the primary key finds a time's frame.
CREATE FUNCTION first_frame_at(scenario uuid, seconds double precision) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    low   bigint := 0;   -- every frame before it is earlier
    high  bigint;        -- every frame from it on is not
    found record;
BEGIN
    SELECT coalesce(max(frame) + 1, 0) INTO high FROM predictions WHERE scenario_id = scenario;
    WHILE low < high LOOP
        SELECT frame, time INTO found FROM predictions
         WHERE scenario_id = scenario AND frame >= low + (high - low) / 2 ORDER BY frame LIMIT 1;
        IF found.time < seconds THEN
            low := found.frame + 1;
        ELSE
            high := low + (high - low) / 2;
        END IF;
    END LOOP;
    RETURN low;
END
$$;

ALTER TABLE checkpoints
    ADD COLUMN purged_before bigint NOT NULL DEFAULT 0;  -- deleted: rows of the frames before it are gone

-- Predictions of the frames `first` to `last`, at most so many, in which something was found that is labelled
-- `wanted` (null: anything), at least so surely. Every block that is read has such a frame.
CREATE FUNCTION predictions_with(
    scenario uuid, wanted text, surely real, first bigint, last bigint, most bigint
) RETURNS SETOF predictions LANGUAGE plpgsql STABLE AS $$
DECLARE
    sure  bytea := float4send(surely);  -- such bytes are in the order of their numbers, none being negative
    start bigint;
    found bigint;
BEGIN
    FOR start IN
        SELECT block * 1024 FROM label_blocks
         WHERE scenario_id = scenario AND label = coalesce(wanted, '') AND max_confidence >= surely
           AND block BETWEEN first / 1024 AND last / 1024
         ORDER BY block
    LOOP
        RETURN QUERY
            SELECT * FROM predictions
             WHERE scenario_id = scenario AND frame BETWEEN greatest(first, start) AND least(last, start + 1023)
               AND (wanted IS NULL OR strpos(labels, wanted) > 0)
               AND EXISTS (
                    SELECT FROM string_to_table(labels || E'\n', E'\n') WITH ORDINALITY AS each (label, n)
                     WHERE (wanted IS NULL OR label = wanted)
                       AND substr(confidences, 4 * n::integer - 3, 4) >= sure)
             ORDER BY frame LIMIT most;
        GET DIAGNOSTICS found = ROW_COUNT;
        most := most - found;
        EXIT WHEN most = 0;
    END LOOP;
END
$$;

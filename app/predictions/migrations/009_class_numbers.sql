-- The number of each detection's class in its model.

-- `boxes` may have four more bytes for each detection, after all its boxes: big-endian unsigned class numbers;
-- ffff: it has none. A ninth column would make the header of every row 8 bytes larger. Rows that are there have
-- no class numbers, and are not read again to check them (NOT VALID).
ALTER TABLE predictions
    DROP CONSTRAINT lists_are_parallel,
    ADD CONSTRAINT lists_are_parallel CHECK (
        octet_length(labels) - octet_length(replace(labels, E'\n', '')) = greatest(length(confidences) / 4 - 1, 0)
        AND length(confidences) % 4 = 0
        AND length(boxes) IN (4 * length(confidences), 5 * length(confidences))
        AND (track_ids IS NULL OR 4 * cardinality(track_ids) = length(confidences))) NOT VALID;

-- The number of each detection's class in its model, beside its label.

-- Two bytes for each detection, the more significant first; ffff: it has none. Null: no detection has one, as
-- in all rows of release 0.1.0. Those are not read again to check them (NOT VALID).
ALTER TABLE predictions
    ADD COLUMN class_ids bytea,
    ADD CONSTRAINT class_ids_are_parallel CHECK (2 * length(class_ids) = length(confidences)) NOT VALID;

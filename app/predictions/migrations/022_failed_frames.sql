-- How many frames could not be analysed, in each 15 seconds of a video.

ALTER TABLE timeline_buckets
    ADD COLUMN failed integer NOT NULL DEFAULT 0 CHECK (failed >= 0);  -- of the label '': stored with an error

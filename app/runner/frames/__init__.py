"""The way of frames through a run: readers, the pipeline, and its workers."""

"""Show one stored frame of a recording: found by its time, proved by its neighbour, decoded in a process."""

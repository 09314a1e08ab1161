"""Read the frames of a source: a recording, a camera or a test pattern."""

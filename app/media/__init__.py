"""The folder of recordings: what is in it and matches a pattern, and what is uploaded to it."""

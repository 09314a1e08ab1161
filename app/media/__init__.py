"""The folder of recordings: what is in it, and what is uploaded to it."""

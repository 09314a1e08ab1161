"""The ordered step of a run: analysis, and what follows from its events."""

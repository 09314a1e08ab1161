"""A source becomes frames."""

"""A client of a running service, for Python programs."""

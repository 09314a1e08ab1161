"""The embedded PostgreSQL server, for running without a database server."""

"""A PostgreSQL server of the service's own."""

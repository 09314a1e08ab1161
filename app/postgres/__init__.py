"""Pools and migrations: what every store stands on."""

from app.postgres.database import Connection, Database, open_connection, open_database, prepare
from app.postgres.faults import TRANSIENT
from app.postgres.migrations import MigrationError, migrate, migrations_of, wait_for_schema

__all__ = [
    "TRANSIENT",
    "Connection",
    "Database",
    "MigrationError",
    "migrate",
    "migrations_of",
    "open_connection",
    "open_database",
    "prepare",
    "wait_for_schema",
]

"""Pools and migrations: what every store stands on."""

from .database import Connection, Database, open_connection, open_database, prepare
from .faults import TRANSIENT
from .migrations import MigrationError, migrate, migrations_of, wait_for_schema

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

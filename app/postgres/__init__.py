"""PostgreSQL: connection pools, migrations, and which errors are transient."""

from .connections import Connection, open_connection, prepare
from .database import Database, open_database
from .faults import TRANSIENT
from .migrations import MigrationError, migrate, migrations_of, wait_for_schema
from .planned_once import open_planned_once

__all__ = [
    "TRANSIENT",
    "Connection",
    "Database",
    "MigrationError",
    "migrate",
    "migrations_of",
    "open_connection",
    "open_database",
    "open_planned_once",
    "prepare",
    "wait_for_schema",
]

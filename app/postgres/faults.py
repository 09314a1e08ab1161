"""Which errors of a database are transient."""

import asyncpg

TRANSIENT: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,
)
"""Errors that the database or the network causes: the same call succeeds when it is repeated later."""

LOST: tuple[type[Exception], ...] = (*TRANSIENT, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The transient errors, and those that asyncpg raises for a connection that was lost earlier."""

REFUSED: tuple[type[Exception], ...] = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
"""Errors of a server that rejects the user or has no such database.

During the start they mean that a setting is wrong. Later they are transient: a password is being changed,
or a database is being moved.
"""

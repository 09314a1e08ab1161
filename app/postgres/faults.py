"""Which faults of a database pass by themselves."""

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
"""Faults of the database's or the network's making, which the same call survives when repeated later."""

LOST: tuple[type[Exception], ...] = (*TRANSIENT, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Those, and what using a connection raises that was lost before."""

REFUSED: tuple[type[Exception], ...] = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
"""What a server answers that lets this user in no more, or has no such database: while a service starts its
settings are wrong, later somebody is changing a password or moving a database."""

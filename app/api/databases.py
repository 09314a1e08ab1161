"""The API's own pools: a request is answered soon, whatever its database does."""

from contextlib import AbstractAsyncContextManager

from ..postgres import Database, open_database

LONGEST_QUERY = 10.0
"""Seconds until a query is ended that a database is busy with. A silent database is noticed much sooner."""


def open_request_database(dsn: str) -> AbstractAsyncContextManager[Database]:
    """A pool for requests: while `Database.watch` runs, they fail within 1.25 s of a database's silence.

    A request that waited in vain for one database, until it came back, has the time left to wait for another.
    """
    return open_database(dsn, size=10, acquire_timeout=0.75, command_timeout=LONGEST_QUERY, silence=0.7)

"""The API's own connection pools, with short timeouts: a request never waits long for a database."""

from contextlib import AbstractAsyncContextManager

from ..postgres import Database, open_database

QUERY_TIMEOUT = 10.0
"""Seconds until a query of a busy database is cancelled. A silent database is noticed much sooner."""


def open_request_database(dsn: str) -> AbstractAsyncContextManager[Database]:
    """Return a pool for requests.

    While `Database.watch` runs, requests fail within 1.25 s after a database falls silent. A request that
    waited in vain for one database still has time to wait for the other (2 s in all).
    """
    return open_database(
        dsn, size=10, acquire_timeout=0.75, command_timeout=QUERY_TIMEOUT, silence_timeout=0.7
    )

"""The connection pool of the orchestrator and of runners."""

from contextlib import AbstractAsyncContextManager

from .database import Database, open_database


def open_planned_once(dsn: str) -> AbstractAsyncContextManager[Database]:
    """Return a pool for statements that find rows by an index, whatever their parameters are.

    Each is planned once for a connection. Otherwise PostgreSQL plans one with short arrays or little JSON at
    each execution: a quarter of what it does to store a camera's frame with events (measured), and an eighth
    of what it does for a scenario of one frame. Such a plan is kept while the tables grow, so it must not
    read a whole table because that is still small.
    """
    settings = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}
    return open_database(dsn, size=10, settings=settings)

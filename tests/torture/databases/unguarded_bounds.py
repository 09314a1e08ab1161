"""The service, whose requests wait for a database as patiently as its runs do."""

from functools import partial

from app.api import databases
from app.postgres import open_database

vars(databases)["open_request_database"] = partial(open_database, size=10, silence_timeout=60.0)

from app.main import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]

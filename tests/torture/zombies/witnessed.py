"""The service, whose runners tell the witness who writes."""

from app.runner import checkpoints as store
from app.runner import shared_statements
from tests.torture.zombies.witness import declare_writers

shared_statements.MAX_SHARED_FRAMES = -1  # the witness is told one writer at a time
vars(store)["write"] = declare_writers(store.write)

from app.main import app  # noqa: E402 - all of it declares its writes

__all__ = ["app"]

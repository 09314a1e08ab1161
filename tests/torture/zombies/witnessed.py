"""The service, whose runners tell the witness who writes."""

from app.runner import checkpoints as store
from tests.torture.zombies.witness import declare_writers

vars(store)["write"] = declare_writers(store.write)

from app.main import app  # noqa: E402 - all of it declares its writes

__all__ = ["app"]

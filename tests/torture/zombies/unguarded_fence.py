"""The service, whose runners store a batch whoever has the fence, and tell the witness who writes."""

from app.runner import checkpoints as store
from tests.torture.zombies import unfenced

vars(store)["write"] = unfenced.write

from tests.torture.zombies.witnessed import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]

"""The service, with a dispatcher that ignores the order in which event streams tell changes."""

from app.orchestrator.dispatcher import Dispatcher
from tests.torture.lifecycle import slots_first

Dispatcher._dispatch_batch = slots_first.dispatch_batch  # type: ignore[method-assign]

from app.main import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]

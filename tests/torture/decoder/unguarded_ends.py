"""The service, with decoding that does harm, and runs that are given back where they just ended."""

from app.messages import RunEvent, RunFailed
from app.runner.pipeline import Taken
from app.runner.run import Run

_outcome = Run._outcome


def _given_back(self: Run, last: Taken) -> RunEvent:
    event = _outcome(self, last)
    unasked = isinstance(event, RunFailed) and last.status.fault is None
    return self._ended_as_asked() if unasked else event


setattr(Run, "_outcome", _given_back)  # noqa: B010

from tests.torture.decoder.fragile_service import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]

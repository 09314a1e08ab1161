"""The service, with decoding that does harm, and runs that are given back where they just ended."""

from app.messages import RunEvent, RunFailed
from app.runner.run import Run
from app.video.decoder.parent import DecoderProcess
from app.video.reader import Reader

_outcome = Run._outcome


def _given_back(self: Run, reader: Reader | DecoderProcess, all_done: bool) -> RunEvent:
    event = _outcome(self, reader, all_done)
    unasked = isinstance(event, RunFailed) and reader.fault is None
    return self._ended_as_asked() if unasked else event


setattr(Run, "_outcome", _given_back)  # noqa: B010

from tests.torture.decoder.fragile_service import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]

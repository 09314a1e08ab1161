"""The service, with detectors that crash."""

from app.runner import run
from tests.torture.crash import fatal_detectors

vars(run)["make_detector"] = fatal_detectors.make
run.Run._event = fatal_detectors.event  # type: ignore[method-assign]

from app.main import app  # noqa: E402 - the detectors are there before it starts

__all__ = ["app"]

"""The service, with detectors that crash, and without a budget of restarts."""

from app.orchestrator import lifecycle
from app.orchestrator.lifecycle import Decision, ScenarioRecord


def _retry(scenario: ScenarioRecord, error: str, *_others: float) -> Decision:
    return lifecycle._wait_again(scenario, error, error=error, delay=0.0)


vars(lifecycle)["_retry"] = _retry

from tests.torture.crash.fatal_app import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]

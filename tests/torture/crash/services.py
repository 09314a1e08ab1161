"""Services with detectors that crash, and without a guard against them."""

import os
import resource
import signal

from msgspec.structs import replace

from app.detectors.base import Detector, DetectorFactory
from app.domain.detector_config import Mock
from app.domain.spec import RestartPolicy
from app.domain.stored_spec import decode_spec
from app.messages import RunEvent, RunFailed, StartRun
from app.orchestrator import decisions
from app.orchestrator.lifecycle import Decision, Input, ScenarioRecord, decide
from app.predictions.checkpoint import Checkpoint
from app.runner import run
from app.runner.detection import RunDetector
from app.service import create
from app.supervision import Asgi
from tests.torture.crash import fatal_detectors
from tests.torture.guards import replace_name
from tests.torture.runner_bus import service_with_events


def fatal() -> Asgi:
    """Build a service with detectors that crash.

    A first attempt with RAISES_AND_IS_KILLED is killed before it reports that its detector never works.
    """
    replace_name(run, "make_detector", fatal_detectors.make)
    return service_with_events(_kill_before_the_report)


def forgetful() -> Asgi:
    """Build a fatal service whose runs do not know the errors that an earlier attempt stored."""
    replace_name(run, "RunDetector", _forgetting)
    return fatal()


def unlimited() -> Asgi:
    """Build a fatal service that limits no restarts."""
    replace_name(decisions, "decide", _decide_without_limit)
    return fatal()


def with_core_dumps() -> Asgi:
    """Build a service that may leave core dumps."""
    set_limit = resource.setrlimit

    def set_other_limits(number: int, limits: tuple[int, int]) -> None:
        if number != resource.RLIMIT_CORE:
            set_limit(number, limits)

    replace_name(resource, "setrlimit", set_other_limits)
    return create()


def _kill_before_the_report(start: StartRun, event: RunEvent) -> RunEvent:
    detector = decode_spec(start.spec).detector
    is_killed = isinstance(detector, Mock) and detector.seed == fatal_detectors.RAISES_AND_IS_KILLED
    if is_killed and isinstance(event, RunFailed) and start.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return event


def _forgetting(detector: Detector, make: DetectorFactory, claimed: Checkpoint) -> RunDetector:
    return RunDetector(detector, make, replace(claimed, last_detector_error=None))


def _decide_without_limit(scenario: ScenarioRecord, message: Input) -> Decision:
    decision = decide(replace(scenario, restart=RestartPolicy("always")), message)
    return replace(decision, scenario=replace(decision.scenario, restart=scenario.restart))

"""Services whose decoding fails in native code, and one without a guard against it."""

import sys

from app.messages import RunEvent, RunFailed, RunReleased, StartRun
from app.service import create
from app.supervision import Asgi
from app.video.decoder import parent
from tests.torture.decoder import fragile_decoder
from tests.torture.guards import replace_name
from tests.torture.runner_bus import service_with_events


def fragile() -> Asgi:
    """Build a service whose decoding fails, in threads and processes; processes that hang are ended soon."""
    _break_decoders()
    return create()


def releasing() -> Asgi:
    """Build a fragile service that releases a run which ended before its source, instead of failing it."""
    _break_decoders()
    return service_with_events(_release)


def _break_decoders() -> None:
    replace_name(parent, "COMMAND", (sys.executable, "-m", fragile_decoder.__name__))
    replace_name(parent, "SILENCE", 15.0)


def _release(start: StartRun, event: RunEvent) -> RunEvent:
    if isinstance(event, RunFailed) and "ended before its source did" in event.error:
        return RunReleased(event.scenario_id, event.attempt, event.next_frame, instance=start.instance)
    return event

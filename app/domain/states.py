"""The states of a scenario, its outcomes, and the states of its source."""

from enum import StrEnum
from typing import Literal


class State(StrEnum):
    """The state of a scenario. A command leads into an `init_` state, the leading orchestrator out of it."""

    INIT_STARTUP = "init_startup"
    IN_STARTUP_PROCESSING = "in_startup_processing"
    ACTIVE = "active"
    INIT_SHUTDOWN = "init_shutdown"
    IN_SHUTDOWN_PROCESSING = "in_shutdown_processing"
    INACTIVE = "inactive"


STATE_DESCRIPTIONS = {
    State.INIT_STARTUP: "The scenario was accepted and waits for a free runner.",
    State.IN_STARTUP_PROCESSING: "A runner was chosen and is opening the source.",
    State.ACTIVE: "Frames are being decoded, analysed and stored.",
    State.INIT_SHUTDOWN: "A stop was requested; the runner has not been told yet.",
    State.IN_SHUTDOWN_PROCESSING: "The runner was told to stop and stores its last results.",
    State.INACTIVE: "The scenario does not run; its outcome says why.",
}

Outcome = Literal["completed", "stopped", "failed"]

SourceState = Literal["opening", "open", "frozen", "reconnecting", "closed"]

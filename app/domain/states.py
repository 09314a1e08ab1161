"""Where a scenario is, how it ended, and what became of its source."""

from enum import StrEnum
from typing import Literal


class State(StrEnum):
    """Where a scenario is. Commands lead into an `init_` state, the leader out of it."""

    INIT_STARTUP = "init_startup"
    IN_STARTUP_PROCESSING = "in_startup_processing"
    ACTIVE = "active"
    INIT_SHUTDOWN = "init_shutdown"
    IN_SHUTDOWN_PROCESSING = "in_shutdown_processing"
    INACTIVE = "inactive"


MEANING = {
    State.INIT_STARTUP: "Accepted; waiting for a free runner.",
    State.IN_STARTUP_PROCESSING: "A runner was chosen and is opening the source.",
    State.ACTIVE: "Frames are being decoded, analysed and stored.",
    State.INIT_SHUTDOWN: "A stop was asked for; the runner is still to be told.",
    State.IN_SHUTDOWN_PROCESSING: "The runner was told to stop and stores what it has in hand.",
    State.INACTIVE: "Nothing runs; the outcome says why.",
}

Outcome = Literal["completed", "stopped", "failed"]

SourceState = Literal["opening", "open", "frozen", "reconnecting", "closed"]

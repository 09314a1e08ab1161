"""Why a scenario does not go on at the moment, and what its user should know."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct


class SourceLoss(Struct, frozen=True):
    """Why a live source was lost, or what the last of these tries to open it again met."""

    error: str
    tries: int = 0


class DetectorWait(Struct, frozen=True):
    """What a detector waits for, so that nothing is analysed, and how often it has tried."""

    text: str
    tries: int = 0


ReasonCode = Literal[
    "no_space",
    "retrying",
    "no_runner",
    "no_feature",
    "no_slot",
    "old_orchestrator",
    "reconnecting",
    "no_inference_server",
]


class Reason(Struct, frozen=True):
    """What keeps a scenario from going on; it goes on by itself once that has passed."""

    code: ReasonCode
    text: str
    since: datetime
    count: Annotated[
        int | None, Meta(description="tries since it was lost (reconnecting, no_inference_server)")
    ] = None
    last_frame_at: Annotated[datetime | None, Meta(description="reconnecting: when the last frame came")] = (
        None
    )


WarningCode = Literal[
    "pins_changed",
    "file_changed",
    "ends_early",
    "pictures_lost",
    "other_dictionary",
    "rotation_ignored",
    "colours_unsupported",
    "sizes_unknown",
    "analysis_limited",
    "sampled_rarely",
]


class ScenarioWarning(Struct, frozen=True):
    """What a user should know of a scenario's results. It costs nothing yet."""

    code: WarningCode
    text: str
    frame: Annotated[int | None, Meta(description="the first frame that it is about")] = None

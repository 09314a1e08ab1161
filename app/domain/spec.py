"""The specification of a scenario: a source, a detector, how frames are sampled, and when to restart.

These Structs are the JSON that a client posts, what the scenarios database stores, and what a runner gets.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .detector_config import DetectorConfig
from .sampling import FixedRate, Sampling


class _RequestObject(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the objects in a request body. Unknown fields are rejected, so that a typo is not ignored."""


class RestartPolicy(_RequestObject, frozen=True):
    """When a scenario whose run failed or was lost is started again.

    `on_failure` gives up after `max_restarts` attempts in a row that stored nothing new; an attempt that
    stores a frame resets the count. `always` never gives up; it is for live sources only.
    """

    policy: Literal["never", "on_failure", "always"] = "on_failure"
    max_restarts: Annotated[int, Meta(ge=0, le=1000)] = 5


class ScenarioSpec(_RequestObject, frozen=True):
    """A scenario as the client specified it. It never changes: to change it, create another scenario."""

    source: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2000,
            description="a path below VA_MEDIA_ROOT, an rtsp, rtsps, http or https URL, or `test:<pattern>`",
        ),
    ]
    detector: DetectorConfig
    sampling: Sampling = FixedRate()
    restart: RestartPolicy = RestartPolicy()
    track: Annotated[
        Annotated[int, Meta(ge=0, le=99)] | None,
        Meta(
            description="which of several video tracks is analysed, counted from 0 as in `media.tracks`;"
            " null: the one that a player would choose"
        ),
    ] = None
    name: Annotated[str, Meta(max_length=200, description="for people; need not be unique")] = ""

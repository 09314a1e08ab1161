"""What a user asks for: a source, a detector, how to sample and when to restart.

These Structs are the JSON a client posts, what the scenarios database keeps, and what a runner is handed.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .detector_config import Detector


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a request: unknown fields are refused, so that a misspelt option is not ignored."""


class All(_Part, frozen=True, tag_field="mode", tag="all"):
    """Sample every frame."""


class Fps(_Part, frozen=True, tag_field="mode", tag="fps"):
    """Sample `fps` frames for each second of video."""

    fps: Annotated[float, Meta(gt=0, le=240, description="sampled frames for each second of video")] = 2.0


class Keyframes(_Part, frozen=True, tag_field="mode", tag="keyframes"):
    """Sample the frames that the encoder stored whole: the cheapest look at a recording."""


Sampling = All | Fps | Keyframes


CandidateFrames = Literal["all", "reference", "key"]
"""Which frames sampling chooses from: all, only reference frames, or only key frames.

Other frames are predicted from a reference frame; a key frame is one too, and needs no other frame. Reference
frames can be decoded without the rest, and key frames too.
"""


class Restart(_Part, frozen=True):
    """Whether a failed run is begun again.

    `max_restarts` counts consecutive attempts that stored nothing new, so it is a bound on useless work,
    not on the life of a scenario. `always` is for live sources.
    """

    policy: Literal["never", "on_failure", "always"] = "on_failure"
    max_restarts: Annotated[int, Meta(ge=0, le=1000)] = 5


class ScenarioSpec(_Part, frozen=True):
    """A scenario as it was asked for. It never changes: to begin anew is to create another."""

    source: Annotated[str, Meta(min_length=1, max_length=2000)]
    detector: Detector
    sampling: Sampling = Fps()
    restart: Restart = Restart()
    name: Annotated[str, Meta(max_length=200)] = ""

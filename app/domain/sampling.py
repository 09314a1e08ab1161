"""Which frames of a source are analysed.

Apart from the rest of a specification, because decoding needs to know of these, but of no detector.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class _Mode(Struct, frozen=True, forbid_unknown_fields=True, tag_field="mode"):
    """Unknown fields are rejected, so that a typo is not ignored."""


class EveryFrame(_Mode, frozen=True, tag="all"):
    """Sample every frame."""


class FixedRate(_Mode, frozen=True, tag="fps"):
    """Sample `fps` frames per second of video."""

    fps: Annotated[float, Meta(gt=0, le=240, description="sampled frames per second of video")] = 2.0


class KeyframesOnly(_Mode, frozen=True, tag="keyframes"):
    """Sample the key frames: frames that are encoded without reference to others. This costs the least CPU.

    The encoder decides how far apart they are, often 1 to 10 seconds.
    """


Sampling = EveryFrame | FixedRate | KeyframesOnly


CandidateFrames = Literal["all", "reference", "key"]
"""Which frames sampling chooses from: all, only reference frames, or only key frames.

A reference frame is one that other frames are predicted from. Key frames are reference frames that need no
other frame. Either kind can be decoded without the frames that are not candidates.
"""

"""What opening a source finds out about its video."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Turn = Literal[0, 90, 180, 270]
"""Degrees by which a stored picture is turned clockwise to be shown."""


class VideoTrack(Struct, frozen=True):
    """One of the video tracks of a source. `still` is true for cover art and other single pictures.

    `number` counts the video tracks from 0, as `0:v:N` of FFmpeg does: `track` of a scenario chooses by it.
    """

    number: int
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    still: bool = False


class Media(Struct, frozen=True):
    """Properties of a video. Those with a default are null if they are unknown.

    `width` and `height` are of the picture as it is shown, in pixels: the stored picture was mirrored left to
    right if `mirrored`, and then turned by `rotation` degrees clockwise. `fps` is the average frame rate.
    """

    width: int
    height: int
    fps: float | None = None
    frames: int | None = None
    duration_seconds: float | None = None
    live: bool = False
    frames_estimated: Annotated[
        bool | None, Meta(description="true if `frames` was computed from duration and `fps`")
    ] = None
    display_aspect: Annotated[
        float | None,
        Meta(
            description="width divided by height of the picture on a screen. It is not `width / height` if"
            " pixels are not square; boxes are always in stored pixels"
        ),
    ] = None
    declared_aspect: Annotated[
        float | None,
        Meta(
            description="`display_aspect` as the source declares it, which differs if the scenario's `aspect`"
            " replaces it. Pixels are square if the source declares nothing"
        ),
    ] = None
    rotation: Turn | None = None
    mirrored: bool | None = None
    codec: Annotated[str | None, Meta(description="FFmpeg's name of it, such as `h264`")] = None
    pixel_format: Annotated[str | None, Meta(description="FFmpeg's name of it, such as `yuv420p`")] = None
    first_timestamp: Annotated[
        float | None, Meta(description="seconds of the video's clock at its first frame, which has time 0")
    ] = None
    track: Annotated[int | None, Meta(description="number of the track that is analysed")] = None
    tracks: Annotated[tuple[VideoTrack, ...] | None, Meta(description="the source's video tracks")] = None

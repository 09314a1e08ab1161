"""What `media` tells of a source that was opened."""

from fractions import Fraction

import av
from msgspec.structs import replace

from ..domain.media import Media
from .container import OpenContainer
from .orientation import AS_STORED, orientation_of
from .tracks import tracks_of


def describe(
    opened: OpenContainer, frame: av.VideoFrame | None, media: Media, pixel_aspect: Fraction | None = None
) -> Media:
    """Return `media` with what the container and a frame tell of the pictures.

    Without a frame, what the container says of them counts. The size in `media` is replaced. `pixel_aspect`
    (width by height) replaces that of the container, which is that of its first frame. The aspect that the
    user gave, if any, replaces both.
    """
    stream = opened.stream
    width, height = (frame.width, frame.height) if frame else (stream.width, stream.height)
    aspect = width / height * float(pixel_aspect or stream.sample_aspect_ratio or 1) if height else None
    orientation = (frame and orientation_of(frame)) or AS_STORED
    if orientation.swaps_sides:
        width, height = height, width
        aspect = 1 / aspect if aspect else None
    declared = round(aspect, 6) if aspect else None
    start = stream.start_time
    return replace(
        media,
        width=width,
        height=height,
        display_aspect=declared if opened.aspect is None else round(opened.aspect, 6),
        declared_aspect=declared,
        rotation=orientation.turn if frame else None,
        mirrored=orientation.is_mirrored if frame else None,
        codec=stream.codec_context.name,
        pixel_format=frame.format.name if frame else stream.codec_context.pix_fmt,
        first_timestamp=None if media.live or start is None else float(start * (stream.time_base or 0)),
        track=list(opened.container.streams.video).index(stream) if not opened.variants else opened.variant,
        tracks=opened.variants or tracks_of(opened.container),
    )

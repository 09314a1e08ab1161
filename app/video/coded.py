"""Coded pictures, and the order in which they are presented."""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import TypeAlias

import av
from av.video.stream import VideoStream
from msgspec import Struct, field

VideoPacket: TypeAlias = "av.Packet[VideoStream]"

_MAX_REORDERED = 64  # pictures: more than any codec reorders, with room for hidden ones


class PictureGroup(Struct):
    """A key frame and those after it in decode order. `has_key`: the key frame was decoded without errors."""

    is_closed: bool = False
    has_key: bool = False

    @property
    def is_damaged(self) -> bool:
        """Whether the key frame of a closed group is damaged, known when the next ones are presented."""
        return self.is_closed and not self.has_key


class CodedPicture(Struct):
    """One coded picture of a recording.

    `number` counts in decode order, from 0; `pts` and `dts` are in ticks of the video's clock. `is_shown` is
    false if the picture only helps to decode others. No picture after a `starts_closed_gop`, in decode or
    presentation order, needs a picture before it. `is_missing`: the demuxer could not read it at all, so it
    has no packet; `number` is -1 if its place in decode order is unknown. `is_setup`: it is no picture, but
    says how later ones are coded. `part` counts the recordings that were joined: each is presented after
    those before it.

    The other fields are set later: the ordinal in presentation order, the ticks since the first frame,
    whether the frame is wanted, and the decoded frame.
    """

    number: int
    pts: int
    dts: int | None
    is_key: bool
    starts_closed_gop: bool
    is_reference: bool
    is_shown: bool
    is_damaged: bool
    is_missing: bool = False
    is_setup: bool = False
    part: int = 0
    group: PictureGroup = field(default_factory=PictureGroup)
    ordinal: int = -1
    elapsed_ticks: int = 0
    is_wanted: bool | None = None
    frame: av.VideoFrame | None = None


class PresentationOrder:
    """Sorts pictures from decode order into presentation order, each as early as its place is certain."""

    def __init__(self) -> None:
        self._held: list[tuple[int, int, int, CodedPicture]] = []
        self._part = 0

    def push(self, picture: CodedPicture) -> Iterator[CodedPicture]:
        """Add the next picture in decode order; yield the pictures that no later one can precede."""
        if picture.part != self._part:
            self._part = picture.part
            yield from self.flush()
        if picture.is_shown:
            # Of two with one time, as at the end of MPEG-4 in ASF, the B-frame is the first.
            delay = 0 if picture.dts is None else picture.pts - picture.dts
            heappush(self._held, (picture.pts, delay, picture.number, picture))
        while self._held and (
            (picture.dts is not None and self._held[0][0] <= picture.dts) or len(self._held) > _MAX_REORDERED
        ):
            yield heappop(self._held)[3]

    def flush(self) -> Iterator[CodedPicture]:
        """Yield the remaining pictures, at the end of the recording."""
        while self._held:
            yield heappop(self._held)[3]

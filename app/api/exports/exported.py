"""Whose results are exported, under which name and with which clock."""

from datetime import UTC, datetime
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from ...domain.media import Media
from ...scenarios.json_columns import decode_media
from ..frame_range import FrameRange
from ..recorded_pictures import spec_of

IDS_PER_VIDEO = 1_000_000_000
"""Numbers of pictures that each video has for itself: the next one's begin after them."""


class ExportedVideo(Struct, frozen=True):
    """A scenario in an export. `number` counts the videos of an export from 1.

    `frames`: which are exported, and of which scenario. `clock`: Unix time at which its times begin, in
    seconds: 0 if they are Unix time themselves, None if it is not known. `name` is the scenario's, or its
    source; `source` has no passwords. `is_followed`: whether its objects have
    numbers, None if it is not known.
    """

    number: int
    scenario_id: UUID
    name: str
    source: str
    frames: FrameRange
    clock: float | None
    media: Media | None
    is_followed: bool | None = None

    def moment(self, time: float) -> str | None:
        """Return a time of the video as RFC 3339 in UTC; None if its clock is not known."""
        if self.clock is None:
            return None
        return datetime.fromtimestamp(self.clock + time, UTC).isoformat(timespec="milliseconds")

    def picture_id(self, frame: int) -> int:
        """Return the number of a picture, which is the same in each export of the same videos."""
        return (self.number - 1) * IDS_PER_VIDEO + frame + 1

    def picture_name(self, frame: int) -> str:
        """Return the name that a picture of this frame would have."""
        return f"{self.source}/{frame:09d}.jpg"


def describe_video(row: Record, frames: FrameRange, source: str, number: int = 1) -> ExportedVideo:
    """Return the video of a row of scenarios (id, spec, media, name)."""
    media = decode_media(row["media"])
    spec = spec_of(row)
    recorded_at = spec.recorded_at
    is_dated = frames.is_dated if frames.is_dated is not None else media is not None and media.live
    clock = 0.0 if is_dated else None if recorded_at is None else recorded_at.timestamp()
    is_followed = None if frames.scenario_id != row["id"] else spec.rules.tracking is not None
    return ExportedVideo(number, row["id"], row["name"] or source, source, frames, clock, media, is_followed)

"""Pictures of events as a run stores them with its batches, encoded for one statement."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from ..domain.event import EventKind
from ..domain.prediction import Box

KINDS: frozenset[EventKind] = frozenset({"object", "alert"})
"""The kinds of events of which live sources keep pictures."""

CLEARLY_BETTER = 1.5
"""How many times the score of an event's picture another one must have to replace it.

An object that comes nearer until its area is 100 times as large has 12 pictures in a row at most.
"""

COLUMNS = "event_id bigint, frame bigint, score double precision, box double precision[]"
"""The columns of what shows the events, encoded for PostgreSQL's `json_to_recordset`."""


class NewPicture(Struct, frozen=True):
    """A picture of an event, with the frame and the box that it shows.

    `time`: of the frame, as Unix time in seconds. `score`: confidence times area of the box. `size`: of the
    frame, (width, height); the JPEG may be smaller. `jpeg` is the same object for all events that the frame
    shows.
    """

    event_id: int
    frame: int
    time: float
    score: float
    size: tuple[int, int]
    box: Box
    jpeg: bytes


class EncodedPictures(Struct, frozen=True):
    """What shows each event, as JSON with the keys of `COLUMNS`, and the pictures: parallel lists."""

    shown: str
    frames: list[int]
    times: list[float]
    widths: list[int]
    heights: list[int]
    jpegs: list[bytes]


def encode_pictures(pictures: Sequence[NewPicture]) -> EncodedPictures:
    """Return pictures for a statement, each frame's once."""
    shown = [
        {"event_id": one.event_id, "frame": one.frame, "score": one.score, "box": one.box} for one in pictures
    ]
    each = pictures_by_frame(pictures).values()
    return EncodedPictures(
        msgspec.json.encode(shown).decode(),
        [one.frame for one in each],
        [one.time for one in each],
        [one.size[0] for one in each],
        [one.size[1] for one in each],
        [one.jpeg for one in each],
    )


def pictures_by_frame(pictures: Iterable[NewPicture]) -> dict[int, NewPicture]:
    """Return one picture for each frame: what the events of a frame show is stored once."""
    return {one.frame: one for one in pictures}

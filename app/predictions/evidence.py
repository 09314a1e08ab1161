"""Pictures of events as a run stores them with its batches, encoded for one statement."""

from collections.abc import Sequence
from typing import Any

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

COLUMNS = (
    "event_id bigint, frame bigint, time double precision, score double precision, width integer,"
    " height integer, box double precision[], number integer"
)
"""The columns of encoded pictures, for PostgreSQL's `json_to_recordset`; `number` is that of the JPEG."""


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


def encode_pictures(pictures: Sequence[NewPicture]) -> tuple[str, list[bytes]]:
    """Return pictures as JSON with the keys of `COLUMNS`, and the JPEGs, which are numbered from 1."""
    numbers: dict[int, int] = {}
    jpegs: list[bytes] = []
    rows: list[dict[str, Any]] = []
    for one in pictures:
        if id(one.jpeg) not in numbers:
            jpegs.append(one.jpeg)
            numbers[id(one.jpeg)] = len(jpegs)
        rows.append(
            {
                "event_id": one.event_id,
                "frame": one.frame,
                "time": one.time,
                "score": one.score,
                "width": one.size[0],
                "height": one.size[1],
                "box": one.box,
                "number": numbers[id(one.jpeg)],
            }
        )
    return msgspec.json.encode(rows).decode(), jpegs

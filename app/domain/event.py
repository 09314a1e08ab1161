"""What happened in a video, as it is stored and as the API returns it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .analysis import Side
from .prediction import Box

EventKind = Literal["object", "zone", "line", "presence", "alert"]
"""What an event tells.

- `object`: one object's stay in the picture
- `zone`: one visit of an object to a zone
- `line`: one crossing of a line
- `presence`: a label is visible, by whatever objects, with gaps bridged
- `alert`: an alert rule fired
"""

EventState = Literal["open", "ended", "interrupted"]
"""`open`: it goes on. `interrupted`: the footage stopped before the event ended; it goes on if it resumes."""


class Event(Struct, frozen=True, gc=False):
    """What happened in a video. Times are those of the frames, in seconds.

    `event_id` counts a scenario's events from 1, in the order in which they began to be known.
    """

    event_id: int
    kind: EventKind
    state: EventState
    label: str
    track_id: Annotated[int | None, Meta(description="the object; null for `presence`")]
    name: Annotated[str | None, Meta(description="of the zone, line or alert rule")]
    direction: Annotated[Side | None, Meta(description="of a crossing")]
    start_frame: int
    start_time: float
    end_frame: Annotated[int, Meta(description="the last frame so far if it is open")]
    end_time: float
    best_frame: Annotated[int, Meta(description="the frame in which it is seen best")]
    best_time: float
    best_box: Box
    best_confidence: float


class Carried(Struct, frozen=True):
    """What stays true whatever becomes of the saved state of analysis: columns of the checkpoint.

    Ids are never used twice. `cooldowns`: for each alert rule, the video's time at which it last fired.
    """

    next_track_id: int = 1
    next_event_id: int = 1
    cooldowns: dict[str, float] = {}

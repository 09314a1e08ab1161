"""Times in a query string: in seconds, or as a date of a live source."""

from datetime import UTC, datetime
from typing import Annotated

from asyncpg import Record
from msgspec import Meta

from ..scenarios.json_columns import decode_media
from .http.problems import BAD_REQUEST, ProblemError

_LAST = 253_402_214_400  # seconds: the beginning of the year 9999's last day
Time = Annotated[float, Meta(ge=0, le=_LAST)] | Annotated[datetime, Meta(tz=True)]


def to_seconds(time: Time | None) -> float | None:
    """Return the time in seconds of the video; a date is Unix time."""
    return time.timestamp() if isinstance(time, datetime) else time


def to_date(time: Time | None) -> datetime | None:
    """Return the time as a date; seconds are Unix time."""
    return time if time is None or isinstance(time, datetime) else datetime.fromtimestamp(time, UTC)


def check_times(row: Record, *, is_dated: bool | None = None, **times: Time | None) -> None:
    """Raise ProblemError (400) if a date is given for a recording, whose times begin with its first frame.

    `is_dated`: whether its times are dates; None: if its source is live.
    """
    media = decode_media(row["media"])
    if is_dated or (is_dated is None and (media is None or media.live)):
        return
    for name, time in times.items():
        if isinstance(time, datetime):
            detail = f"`{name}` must be in seconds from the start: the scenario's source is a recording."
            raise ProblemError(BAD_REQUEST, detail, field=name)

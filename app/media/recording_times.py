"""When a recording was made, as its name tells."""

import re
from datetime import UTC, datetime, tzinfo
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FIRST_YEAR, LAST_YEAR = 1900, 2999
_SAMPLE = datetime(2026, 11, 28, 21, 47, 53, 123456, tzinfo=UTC)


class RecordingTimeError(ValueError):
    """The pattern or the time zone is wrong. The message says what to do; `field` names which it is."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class RecordingTimes:
    """Reads the date at which a recording begins from its name.

    Local times that occur twice, when clocks are set back, are the first of both; those that do not exist
    are taken as if clocks had not yet been set forward.
    """

    def __init__(self, pattern: str, timezone: str | None) -> None:
        """`pattern`: as for strptime, without the ending of the name; each '/' adds the folder above.

        Raises RecordingTimeError.
        """
        self._pattern = pattern
        self._parts = pattern.count("/") + 1
        self._check(pattern)
        self._zone: tzinfo | None = None
        if timezone is not None:
            self._zone = _zone(timezone)
        elif "%z" not in pattern:
            raise RecordingTimeError(
                "timezone", 'The times in names need a time zone, as in "timezone": "Europe/Berlin".'
            )

    def find(self, path: str) -> datetime | None:
        """Return when the file of this path was recorded, None if its name does not tell."""
        parts = PurePosixPath(path).with_suffix("").parts[-self._parts :]
        try:
            found = datetime.strptime("/".join(parts), self._pattern)  # noqa: DTZ007 - the zone follows
            if not is_plausible(found):
                return None
            return (found if found.tzinfo else found.replace(tzinfo=self._zone)).astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    @staticmethod
    def _check(pattern: str) -> None:
        try:
            read = datetime.strptime(_SAMPLE.strftime(pattern), pattern)  # noqa: DTZ007
        except (ValueError, re.error) as error:  # re.error: something is told twice
            raise RecordingTimeError(
                "recorded_at", f"The pattern `recorded_at` cannot be used: {error}. Write it as for strptime."
            ) from None
        begins = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}
        known = [_SAMPLE.replace(tzinfo=None, **dict(list(begins.items())[n:])) for n in range(5)]
        if read.replace(tzinfo=None) not in known:
            raise RecordingTimeError(
                "recorded_at",
                "The pattern `recorded_at` must tell year, month and day, and of the time the hour before the"
                " minute, as in cam1_%Y%m%d-%H%M%S (with %I also %p).",
            )


def is_plausible(moment: datetime) -> bool:
    """Return whether a recording may be of this date: years beside these are those of unset clocks."""
    return FIRST_YEAR <= moment.year <= LAST_YEAR


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RecordingTimeError(
            "timezone",
            f"There is no time zone {name[:50]!r}. Give the name of one, such as Europe/Berlin or UTC.",
        ) from None

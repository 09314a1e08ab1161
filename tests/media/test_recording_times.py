"""When a recording was made, as its name tells."""

import pytest

from app.media.recording_times import RecordingTimeError, RecordingTimes


@pytest.mark.parametrize(
    ("pattern", "zone", "path", "found"),
    [
        ("cam1_%Y%m%d-%H%M%S", "Europe/Berlin", "yard/cam1_20260131-093000.mp4", "2026-01-31 08:30:00"),
        ("cam1_%Y%m%d-%H%M%S", "UTC", "cam1_20260131-093000.mp4", "2026-01-31 09:30:00"),
        ("%Y-%m-%d/%H/%M.%S", "Asia/Kolkata", "rec/2026-01-31/09/30.15.mp4", "2026-01-31 04:00:15"),
        ("%Y-%m-%d", "UTC", "2026-01-31.mkv", "2026-01-31 00:00:00"),
        ("%Y%m%dT%H%M%S%z", None, "20260131T093000+0200.mp4", "2026-01-31 07:30:00"),
        ("%Y%m%d %I%M%p", "UTC", "20260131 0930PM.mp4", "2026-01-31 21:30:00"),
        # Clocks are set back at 3:00: 2:30 occurs twice, and the first is summer time.
        ("%Y%m%d-%H%M", "Europe/Berlin", "20261025-0230.mp4", "2026-10-25 00:30:00"),
        # Clocks are set forward at 2:00: 2:30 does not exist.
        ("%Y%m%d-%H%M", "Europe/Berlin", "20260329-0230.mp4", "2026-03-29 01:30:00"),
        ("cam1_%Y%m%d", "UTC", "cam2_20260131.mp4", None),
        ("cam1_%Y%m%d", "UTC", "cam1_20260231.mp4", None),
        ("%Y%m%d", "UTC", "20260131-copy.mp4", None),
        ("%Y/%m%d", "UTC", "0131.mp4", None),
        ("%Y%m%d", "Asia/Tokyo", "00010101.mp4", None),
        ("%Y%m%d-%H%M%S", "America/New_York", "99991231-235959.mp4", None),
    ],
)
def test_a_name_tells_a_date(pattern: str, zone: str | None, path: str, found: str | None) -> None:
    date = RecordingTimes(pattern, zone).find(path)
    assert (None if date is None else str(date).removesuffix("+00:00")) == found


@pytest.mark.parametrize(
    ("pattern", "zone", "field", "reason"),
    [
        ("%Y%m%d", None, "timezone", "need a time zone"),
        ("%Y%m%d", "Europe/Bonn", "timezone", "There is no time zone 'Europe/Bonn'"),
        ("%Y%m%d", "../../etc/passwd", "timezone", "There is no time zone"),
        ("%Y%m%d", "Europe", "timezone", "There is no time zone"),
        ("cam1", "UTC", "recorded_at", "must tell year, month and day"),
        ("%H%M%S", "UTC", "recorded_at", "must tell year, month and day"),
        ("%Y%m%d-%I%M", "UTC", "recorded_at", "%I also %p"),
        ("%Y%m%d-%M", "UTC", "recorded_at", "must tell"),
        ("%Y%m%d %Q", "UTC", "recorded_at", "cannot be used: 'Q' is a bad directive"),
        ("%Y%m%d %", "UTC", "recorded_at", "cannot be used: stray %"),
        ("%Y%Y%m%d", "UTC", "recorded_at", "cannot be used: redefinition"),
    ],
)
def test_a_pattern_that_tells_no_date_is_refused(
    pattern: str, zone: str | None, field: str, reason: str
) -> None:
    with pytest.raises(RecordingTimeError, match=reason) as refused:
        RecordingTimes(pattern, zone)
    assert refused.value.field == field

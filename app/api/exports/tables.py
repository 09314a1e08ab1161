"""Predictions and events as comma-separated values (RFC 4180): a row for each detection, or event.

A spreadsheet may take a label that begins with `=` for a formula, so whoever opens labels of strangers in one
must import them as text.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from ...predictions.columns import DetectionColumns
from ..queries.events import StoredEvent
from .exported import ExportedVideo

BOM = "\ufeff".encode()

PREDICTION_COLUMNS = (
    "scenario_id", "scenario", "frame", "time", "at", "label", "confidence", "x1", "y1", "x2", "y2",
    "track_id", "class_id", "width", "height",
)  # fmt: skip
EVENT_COLUMNS = (
    "scenario_id", "scenario", "event_id", "kind", "state", "label", "name", "direction", "track_id", "at",
    "start_time", "end_time", "start_frame", "end_frame", "best_frame", "best_time", "best_confidence",
    "x1", "y1", "x2", "y2",
)  # fmt: skip

_encode = msgspec.json.Encoder().encode


def write_rows(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows; None is an empty field."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


@lru_cache(1024)
def _field(text: str) -> bytes:
    """Return a text as a field with a comma after it, quoted if it must be."""
    return write_rows([(text, None)])[:-2]


def number_texts(numbers: Sequence[float | None]) -> list[bytes]:
    """Return each number as text; None is empty. There must be at least one.

    They are encoded as one list of JSON, which takes a fifth of the time of `repr`.
    """
    return _encode(numbers)[1:-1].replace(b"null", b"").split(b",")


class CsvPredictions:
    """A row for each detection."""

    media_type = "text/csv; charset=utf-8"
    passes = 1

    def __init__(self, *, has_bom: bool) -> None:
        self._bom = BOM if has_bom else b""

    def begin(self, number: int) -> bytes:  # noqa: ARG002  there is one pass
        """Return the header."""
        return self._bom + write_rows([PREDICTION_COLUMNS])

    def frames(self, video: ExportedVideo, found: DetectionColumns) -> bytes:
        """Return the rows of these frames."""
        if not found.labels:
            return b""
        fixed = _field(str(video.scenario_id)) + _field(video.name)
        moments = [(video.moment(time) or "").encode() for time in found.times]
        columns = zip(found.frames, number_texts(found.times), moments, strict=True)
        heads = [b"%b%d,%b,%b," % (fixed, *column) for column in columns]
        tails = [
            b",%b,%b\r\n" % size
            for size in zip(number_texts(found.widths), number_texts(found.heights), strict=True)
        ]
        nothing = [b""] * len(found.labels)
        rows = zip(
            found.of_detections(heads),
            map(_field, found.labels),
            *map(number_texts, found.numbers.T.tolist()),
            number_texts(found.track_ids) if found.track_ids else nothing,
            number_texts(found.class_ids) if found.class_ids else nothing,
            found.of_detections(tails),
            strict=True,
        )
        return b"".join(map(b"%b%b%b,%b,%b,%b,%b,%b,%b%b".__mod__, rows))

    def end(self) -> bytes:
        """Return nothing."""
        return b""


class CsvEvents:
    """A row for each event."""

    media_type = CsvPredictions.media_type

    def __init__(self, *, has_bom: bool) -> None:
        self._bom = BOM if has_bom else b""

    def begin(self) -> bytes:
        """Return the header."""
        return self._bom + write_rows([EVENT_COLUMNS])

    def events(self, video: ExportedVideo, events: Sequence[StoredEvent]) -> bytes:
        """Return the rows of these events."""
        return write_rows([_row(video, event) for event in events])

    def end(self) -> bytes:
        """Return nothing."""
        return b""


def _row(video: ExportedVideo, event: StoredEvent) -> tuple[object, ...]:
    at = None if event.at is None else event.at.isoformat(timespec="milliseconds")
    return (
        event.scenario_id, video.name, event.event_id, event.kind, event.state, event.label, event.name,
        event.direction, event.track_id, at, event.start_time, event.end_time, event.start_frame,
        event.end_frame, event.best_frame, event.best_time, event.best_confidence, *event.best_box,
    )  # fmt: skip

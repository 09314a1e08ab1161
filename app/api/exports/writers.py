"""The formats of exports. Each writer turns frames, or events, into bytes, a part at a time.

Labels are written as they are: quoted as the format says, and never changed.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np

from ...domain.event import Event
from ...predictions.columns import DetectionColumns
from ..queries.events import StoredEvent
from .exported import ExportedVideo
from .tables import number_texts

_encode = msgspec.json.Encoder().encode


class PredictionWriter(Protocol):
    """A format of predictions. All frames are given `passes` times, in the same order."""

    media_type: str
    passes: int

    def begin(self, number: int) -> bytes:
        """Return what comes before the frames of a pass, which count from 1."""
        ...

    def frames(self, video: ExportedVideo, found: DetectionColumns) -> bytes:
        """Return frames of a video, which come in order, one video after the other."""
        ...

    def end(self) -> bytes:
        """Return what comes after the last pass."""
        ...


class EventWriter(Protocol):
    """A format of events."""

    media_type: str

    def begin(self) -> bytes:
        """Return what comes before the events."""
        ...

    def events(self, video: ExportedVideo, events: Sequence[StoredEvent]) -> bytes:
        """Return events of a video, which come in order, one video after the other."""
        ...

    def end(self) -> bytes:
        """Return what comes after the events."""
        ...


class JsonLinesPredictions:
    """A line for each sampled frame, as in GET /scenarios/{id}/predictions, with `scenario_id` and `at`."""

    media_type = "application/jsonl"
    passes = 1

    def begin(self, number: int) -> bytes:  # noqa: ARG002  there is one pass
        """Return nothing."""
        return b""

    def frames(self, video: ExportedVideo, found: DetectionColumns) -> bytes:
        """Return the lines of these frames."""
        start = b'{"scenario_id":"%s",' % str(video.scenario_id).encode()
        lines: list[bytes] = []
        for prediction in found.predictions():
            moment = video.moment(prediction.time)
            dated = b"" if moment is None else b'"at":"%s",' % moment.encode()
            lines += (start, dated, _encode(prediction)[1:], b"\n")
        return b"".join(lines)

    def end(self) -> bytes:
        """Return nothing."""
        return b""


_EVENT_FIELDS = [*Event.__struct_fields__, "scenario_id", "at"]


class JsonLinesEvents:
    """A line for each event, as in GET /scenarios/{id}/events, without its picture."""

    media_type = JsonLinesPredictions.media_type

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def events(self, video: ExportedVideo, events: Sequence[StoredEvent]) -> bytes:  # noqa: ARG002
        """Return the lines of these events."""
        lines = [_encode({name: getattr(event, name) for name in _EVENT_FIELDS}) for event in events]
        return b"\n".join([*lines, b""])

    def end(self) -> bytes:
        """Return nothing."""
        return b""


class MotWriter:
    """A line for each detection, as in the MOT Challenge: frames and positions count from 1.

    `frame, id, left, top, width, height, confidence, -1, -1, -1`; the id is -1 if nothing was followed.
    Source: https://motchallenge.net/instructions/
    """

    media_type = "text/plain; charset=utf-8"
    passes = 1

    def begin(self, number: int) -> bytes:  # noqa: ARG002  there is one pass
        """Return nothing."""
        return b""

    def frames(self, video: ExportedVideo, found: DetectionColumns) -> bytes:  # noqa: ARG002
        """Return the lines of these frames."""
        if not found.labels:
            return b""
        confidence, x1, y1, x2, y2 = found.numbers.T
        tracks = found.track_ids or [None] * len(found.labels)
        rows = zip(
            found.of_detections([frame + 1 for frame in found.frames]),
            [-1 if track is None else track for track in tracks],
            *[number_texts(np.round(each, 2).tolist()) for each in (x1 + 1, y1 + 1, x2 - x1, y2 - y1)],
            number_texts(confidence.tolist()),
            strict=True,
        )
        return b"".join(map(b"%d,%d,%b,%b,%b,%b,%b,-1,-1,-1\n".__mod__, rows))

    def end(self) -> bytes:
        """Return nothing."""
        return b""

"""The formats of exported predictions. Each writer turns frames into bytes, a part at a time.

Labels are written as they are: quoted as the format says, and never changed. A spreadsheet may take a label
that begins with `=` for a formula, so whoever opens labels of strangers in one must import them as text.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from ...domain.prediction import Prediction
from .exported import ExportedVideo

BOM = "\ufeff".encode()
_encode = msgspec.json.Encoder().encode


class PredictionWriter(Protocol):
    """A format. All frames are given `passes` times, in the same order."""

    media_type: str
    passes: int

    def begin(self, number: int) -> bytes:
        """Return what comes before the frames of a pass, which count from 1."""
        ...

    def frames(self, video: ExportedVideo, predictions: Sequence[Prediction]) -> bytes:
        """Return frames of a video, which come in order, one video after the other."""
        ...

    def end(self) -> bytes:
        """Return what comes after the last pass."""
        ...


class CsvTable:
    """Rows of comma-separated values as in RFC 4180, in UTF-8."""

    def __init__(self) -> None:
        self._text = io.StringIO(newline="")
        self._write = csv.writer(self._text).writerows

    def rows(self, rows: Iterable[Sequence[object]]) -> bytes:
        """Return rows; None is an empty field."""
        self._write(rows)
        content = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return content


class CsvWriter:
    """A row for each detection."""

    media_type = "text/csv; charset=utf-8"
    passes = 1
    columns = (
        "scenario_id", "scenario", "frame", "time", "at", "label", "confidence", "x1", "y1", "x2", "y2",
        "track_id", "class_id", "width", "height",
    )  # fmt: skip

    def __init__(self, *, has_bom: bool) -> None:
        self._table = CsvTable()
        self._bom = BOM if has_bom else b""

    def begin(self, number: int) -> bytes:  # noqa: ARG002  there is one pass
        """Return the header."""
        return self._bom + self._table.rows([self.columns])

    def frames(self, video: ExportedVideo, predictions: Sequence[Prediction]) -> bytes:
        """Return the rows of these frames."""
        scenario_id, name = str(video.scenario_id), video.name
        rows = []
        for found in predictions:
            if found.detections:
                head = (scenario_id, name, found.frame, found.time, video.moment(found.time))
                tail = (found.width, found.height)
                rows += [
                    (*head, each.label, each.confidence, *each.box, each.track_id, each.class_id, *tail)
                    for each in found.detections
                ]
        return self._table.rows(rows)

    def end(self) -> bytes:
        """Return nothing."""
        return b""


class JsonLinesWriter:
    """A line for each sampled frame, as in GET /scenarios/{id}/predictions, with `scenario_id` and `at`."""

    media_type = "application/jsonl"
    passes = 1

    def begin(self, number: int) -> bytes:  # noqa: ARG002  there is one pass
        """Return nothing."""
        return b""

    def frames(self, video: ExportedVideo, predictions: Sequence[Prediction]) -> bytes:
        """Return the lines of these frames."""
        start = b'{"scenario_id":"%s",' % str(video.scenario_id).encode()
        lines = []
        for found in predictions:
            moment = video.moment(found.time)
            dated = b"" if moment is None else b'"at":"%s",' % moment.encode()
            lines += [start, dated, _encode(found)[1:], b"\n"]
        return b"".join(lines)

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

    def frames(self, video: ExportedVideo, predictions: Sequence[Prediction]) -> bytes:  # noqa: ARG002
        """Return the lines of these frames."""
        lines = []
        for found in predictions:
            for each in found.detections:
                x1, y1, x2, y2 = each.box
                track = -1 if each.track_id is None else each.track_id
                size = f"{x2 - x1:.2f},{y2 - y1:.2f}"
                lines.append(
                    f"{found.frame + 1},{track},{x1 + 1:.2f},{y1 + 1:.2f},{size},{each.confidence},-1,-1,-1\n"
                )
        return "".join(lines).encode()

    def end(self) -> bytes:
        """Return nothing."""
        return b""


class CocoWriter:
    """One object as COCO's results and annotations have it, with `videos`, `track_id` and `score`.

    Pictures come in a first pass, annotations in a second one: so that neither is held. Categories are
    numbered in the order in which labels first appear, from 1.
    Source: https://cocodataset.org/#format-data
    """

    media_type = "application/json"
    passes = 2

    def __init__(self) -> None:
        self._pass = 0
        self._written = 0
        self._categories: dict[str, int] = {}
        self._videos: dict[int, ExportedVideo] = {}

    def begin(self, number: int) -> bytes:
        """Return the beginning of the list of pictures, or of annotations."""
        self._pass, self._written = number, 0
        if number == 1:
            return b'{"info":{"description":"exported by videoanalysis"},"images":['
        return b'],"annotations":['

    def frames(self, video: ExportedVideo, predictions: Sequence[Prediction]) -> bytes:
        """Return the pictures, or the annotations, of these frames."""
        if self._pass == 1:
            self._videos[video.number] = video
            return self._items([self._picture(video, found) for found in predictions])
        annotations: list[dict[str, object]] = []
        for found in predictions:
            self._annotate(video, found, annotations)
        return self._items(annotations)

    def end(self) -> bytes:
        """Return categories and videos."""
        categories = [{"id": number, "name": label} for label, number in self._categories.items()]
        videos = [
            {"id": video.number, "name": video.name, "scenario_id": video.scenario_id}
            for video in self._videos.values()
        ]
        return b'],"categories":' + _encode(categories) + b',"videos":' + _encode(videos) + b"}\n"

    def _items(self, items: Sequence[object]) -> bytes:
        if not items:
            return b""
        comma = b"," if self._written else b""
        self._written += len(items)
        return comma + _encode(items)[1:-1]

    def _picture(self, video: ExportedVideo, found: Prediction) -> dict[str, object]:
        media = video.media
        picture: dict[str, object] = {
            "id": video.picture_id(found.frame),
            "file_name": video.picture_name(found.frame),
            "width": found.width or (media.width if media else 0),
            "height": found.height or (media.height if media else 0),
            "video_id": video.number,
            "frame_id": found.frame,
            "time": found.time,
        }
        moment = video.moment(found.time)
        if moment is not None:
            picture["date_captured"] = moment
        return picture

    def _annotate(
        self, video: ExportedVideo, found: Prediction, annotations: list[dict[str, object]]
    ) -> None:
        picture_id = video.picture_id(found.frame)
        for each in found.detections:
            x1, y1, x2, y2 = each.box
            width, height = round(x2 - x1, 2), round(y2 - y1, 2)
            annotation: dict[str, object] = {
                "id": self._written + len(annotations) + 1,
                "image_id": picture_id,
                "category_id": self._categories.setdefault(each.label, len(self._categories) + 1),
                "bbox": [x1, y1, width, height],
                "area": round(width * height, 2),
                "iscrowd": 0,
                "score": each.confidence,
            }
            if each.track_id is not None:
                annotation["track_id"] = each.track_id
            annotations.append(annotation)

"""Predictions as one object of COCO, with videos and tracks."""

import msgspec
import numpy as np
from msgspec import Struct

from ...predictions.columns import DetectionColumns
from .exported import ExportedVideo

_encode = msgspec.json.Encoder().encode


class _Picture(Struct, frozen=True, omit_defaults=True, gc=False):
    id: int
    file_name: str
    width: int
    height: int
    video_id: int
    frame_id: int
    time: float
    date_captured: str | None = None


class _Annotation(Struct, frozen=True, omit_defaults=True, gc=False):
    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: int
    segmentation: list[float]
    score: float
    track_id: int | None = None


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

    def frames(self, video: ExportedVideo, found: DetectionColumns) -> bytes:
        """Return the pictures, or the annotations, of these frames."""
        if self._pass == 2:
            return self._items(self._annotations(video, found))
        self._videos[video.number] = video
        return self._items(_pictures(video, found))

    def end(self) -> bytes:
        """Return categories and videos."""
        categories = [{"id": number, "name": label} for label, number in self._categories.items()]
        videos = [
            {"id": video.number, "name": video.name, "scenario_id": video.scenario_id}
            for video in self._videos.values()
        ]
        return b'],"categories":' + _encode(categories) + b',"videos":' + _encode(videos) + b"}\n"

    def _items(self, items: list[_Picture] | list[_Annotation]) -> bytes:
        if not items:
            return b""
        comma = b"," if self._written else b""
        self._written += len(items)
        return comma + _encode(items)[1:-1]

    def _annotations(self, video: ExportedVideo, found: DetectionColumns) -> list[_Annotation]:
        known = self._categories
        count = len(found.labels)
        first = self._written + 1
        left, top, right, bottom = found.numbers.T[1:]
        width, height = np.round(right - left, 2), np.round(bottom - top, 2)
        return list(
            map(
                _Annotation,
                range(first, first + count),
                found.of_detections([video.picture_id(frame) for frame in found.frames]),
                [known.setdefault(label, len(known) + 1) for label in found.labels],
                zip(*(side.tolist() for side in (left, top, width, height)), strict=True),
                np.round(width * height, 4).tolist(),
                [0] * count,
                [[]] * count,  # CVAT's importer needs it
                found.numbers[:, 0].tolist(),
                found.track_ids or [None] * count,
            )
        )


def _pictures(video: ExportedVideo, found: DetectionColumns) -> list[_Picture]:
    media = video.media
    return [
        _Picture(
            video.picture_id(frame),
            video.picture_name(frame),
            width or (media.width if media else 0),
            height or (media.height if media else 0),
            video.number,
            frame,
            time,
            video.moment(time),
        )
        for frame, time, width, height in zip(
            found.frames, found.times, found.widths, found.heights, strict=True
        )
    ]

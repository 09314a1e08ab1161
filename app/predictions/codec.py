"""How predictions are stored: encoding many for one statement, decoding one row.

Numbers are stored in single precision, the most significant byte first; labels are parted by line breaks.
"""

import struct
from bisect import bisect_left
from itertools import accumulate, chain, pairwise
from typing import TypeVar

from msgspec import Struct

from ..domain.prediction import Detection, Prediction

BLOCK = 1024
"""Frames of a block, for which `label_blocks` says how sure detections of each label are at best."""

FRAME_END = "\x1e"
"""Ends a frame's labels. Labels are printable, so that none has it, nor a line break."""

_Value = TypeVar("_Value")

_pack_box = struct.Struct(">4f").pack


class Best(Struct, frozen=True):
    """The highest confidence of each label in each block, in lists beside each other; the label "" is any."""

    labels: list[str]
    blocks: list[int]
    confidences: list[float]


class Packed(Struct, frozen=True):
    """Frames, times and errors are one for each prediction; `borders` says before which of all detections
    each begins, and how many there are. Numbers are in single precision, the most significant byte first.

    The database takes long lists apart faster than a value for each field of a row is encoded here.
    """

    frames: list[int]
    times: list[float]
    borders: list[int]
    labels: str
    confidences: bytes
    boxes: bytes
    track_ids: list[int | None] | None
    errors: list[str | None] | None
    best: Best


def pack(predictions: list[Prediction]) -> Packed:
    """Predictions in the order of their frames, packed."""
    groups = [prediction.detections for prediction in predictions]
    found = list(chain.from_iterable(groups))
    frames = [prediction.frame for prediction in predictions]
    borders = list(accumulate(map(len, groups), initial=0))
    labels = [detection.label for detection in found]
    confidences = [detection.confidence for detection in found]
    join = "\n".join
    return Packed(
        frames,
        [prediction.time for prediction in predictions],
        borders,
        FRAME_END.join([*[join(labels[start:end]) for start, end in pairwise(borders)], ""]),
        struct.pack(f">{len(found)}f", *confidences),
        b"".join([_pack_box(*detection.box) for detection in found]),
        _unless_empty([detection.track_id for detection in found]),
        _unless_empty([prediction.error for prediction in predictions]),
        _best(frames, borders, labels, confidences),
    )


def _unless_empty(values: list[_Value | None]) -> list[_Value | None] | None:
    return None if values.count(None) == len(values) else values


def _best(frames: list[int], borders: list[int], labels: list[str], confidences: list[float]) -> Best:
    best = Best([], [], [])
    start = 0
    while start < len(frames):
        block = frames[start] // BLOCK
        end = bisect_left(frames, (block + 1) * BLOCK, start)
        highest: dict[str, float] = {}
        of_block = slice(borders[start], borders[end])
        for label, confidence in zip(labels[of_block], confidences[of_block], strict=True):
            if confidence > highest.get(label, -1.0):
                highest[label] = confidence
        if highest:
            highest[""] = max(highest.values())
            best.labels.extend(highest)
            best.blocks.extend([block] * len(highest))
            best.confidences.extend(highest.values())
        start = end
    return best


def decode(
    labels: str,
    confidences: bytes,
    boxes: bytes,
    track_ids: list[int] | None,
    *,
    label: str | None = None,
    min_confidence: float = 0.0,
) -> tuple[Detection, ...]:
    """Return the detections of one stored row that have this label, if one is given, and this confidence.

    Confidences are rounded to 4 decimals and edges to 2: single precision holds no more.
    """
    sure = unpack(confidences)
    if not sure:
        return ()
    edges = [round(edge, 2) for edge in unpack(boxes)]
    return tuple(
        Detection(
            found,
            round(sure[n], 4),
            (edges[4 * n], edges[4 * n + 1], edges[4 * n + 2], edges[4 * n + 3]),
            track_ids[n] if track_ids else None,
        )
        for n, found in enumerate(labels.split("\n"))
        if (label is None or found == label) and sure[n] >= min_confidence
    )


def unpack(numbers: bytes) -> tuple[float, ...]:
    """Return the numbers of one stored value."""
    return struct.unpack(f">{len(numbers) // 4}f", numbers)

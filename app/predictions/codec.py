"""Encode predictions for one statement, and decode a stored row.

A row holds a frame's detections as lists beside each other: `labels` is text with one label a line,
`confidences` and `boxes` are big-endian single-precision numbers, `track_ids` is an array of bigint. If the
detections have class numbers, these follow the boxes, as big-endian unsigned numbers of four bytes.
"""

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from ctypes import c_float
from functools import lru_cache
from itertools import accumulate, chain, pairwise, repeat
from operator import attrgetter
from typing import Any, Protocol

from msgspec import Struct

from ..domain.prediction import MAX_CLASS_ID, Detection, FrameSize, Prediction

FRAMES_PER_BLOCK = 1024
"""`label_blocks` holds the highest confidence of each label in each block of this many frames.

The functions of the migrations repeat this number; a test compares them with it.
"""

FRAME_END = "\x1e"
"""Ends each frame's labels. Labels are printable, so none of them contains it, or a line break."""

BOX_SIZE, CLASS_SIZE = 16, 4  # bytes
NO_CLASS = MAX_CLASS_ID + 1

_frame_of = attrgetter("frame")
_NO_SIZE = FrameSize(0, 0, 0)
_NO_BOX = (0.0, 0.0, 0.0, 0.0)
_pack_box = struct.Struct(">4f").pack


class Row(Protocol):
    """A stored row: frame, time, labels, confidences, boxes, track_ids and error by name."""

    def __getitem__(self, column: str, /) -> Any: ...


class LabelMaxima(Struct, frozen=True):
    """The highest confidence of each label in each block, as parallel lists; the label "" stands for any."""

    labels: list[str]
    blocks: list[int]
    confidences: list[float]


class EncodedRows(Struct, frozen=True):
    """Rows as lists that the database splits, which is faster than to encode each field of each row here.

    `frames`, `times`, `track_ids` and `errors` have one value for each row. `offsets` has the number of the
    first detection of each row and, as its last value, the number of detections. For each detection, `boxes`
    has `box_size` bytes.
    """

    frames: list[int]
    times: list[float]
    offsets: list[int]
    labels: str
    confidences: bytes
    boxes: bytes
    box_size: int
    track_ids: list[str | None] | None
    errors: list[str | None] | None
    maxima: LabelMaxima


def encode(predictions: Sequence[Prediction]) -> EncodedRows:
    """Return predictions, in the order of their frames, as rows.

    `track_ids` and `errors` are None if no prediction has any.
    """
    groups = [prediction.detections for prediction in predictions]
    detections = list(chain.from_iterable(groups))
    frames = [prediction.frame for prediction in predictions]
    offsets = list(accumulate(map(len, groups), initial=0))
    labels = [detection.label for detection in detections]
    confidences = [detection.confidence for detection in detections]
    track_ids = [detection.track_id for detection in detections]
    errors = [prediction.error for prediction in predictions]
    class_ids = [detection.class_id for detection in detections]
    boxes = b"".join([_pack_box(*detection.box) for detection in detections])
    has_tracks, has_errors, has_classes = _has_any(track_ids), _has_any(errors), _has_any(class_ids)
    join = "\n".join
    return EncodedRows(
        frames,
        [prediction.time for prediction in predictions],
        offsets,
        FRAME_END.join([*[join(labels[start:end]) for start, end in pairwise(offsets)], ""]),
        struct.pack(f">{len(detections)}f", *confidences),
        _with_class_ids(boxes, class_ids, offsets) if has_classes else boxes,
        BOX_SIZE + CLASS_SIZE if has_classes else BOX_SIZE,
        _as_arrays(track_ids, offsets) if has_tracks else None,
        errors if has_errors else None,
        _label_maxima(frames, offsets, labels, confidences),
    )


def _has_any(values: Sequence[object]) -> bool:
    return values.count(None) < len(values)


def _as_arrays(track_ids: list[int | None], offsets: list[int]) -> list[str | None]:
    """Return the ids of each row as PostgreSQL writes an array of numbers; None if each of them is None.

    The rows of a batch have mostly the same ids, so each id is written once (measured: 0.4 instead of 1.8 µs
    for a row of five).
    """
    texts = {number: "NULL" if number is None else str(number) for number in set(track_ids)}
    written = list(map(texts.__getitem__, track_ids))
    join = ",".join
    rows: list[str | None] = [f"{{{join(written[start:end])}}}" for start, end in pairwise(offsets)]
    if None not in texts and "{}" not in rows:
        return rows
    return [
        row if _has_any(track_ids[start:end]) else None
        for row, (start, end) in zip(rows, pairwise(offsets), strict=True)
    ]


def _with_class_ids(boxes: bytes, class_ids: list[int | None], offsets: list[int]) -> bytes:
    """Return for each row its boxes and then its class numbers."""
    known = [NO_CLASS if number is None else number for number in class_ids]
    packed = struct.pack(f">{len(known)}I", *known)
    return b"".join(
        [
            boxes[BOX_SIZE * start : BOX_SIZE * end] + packed[CLASS_SIZE * start : CLASS_SIZE * end]
            for start, end in pairwise(offsets)
        ]
    )


def _label_maxima(
    frames: list[int], offsets: list[int], labels: list[str], confidences: list[float]
) -> LabelMaxima:
    maxima = LabelMaxima([], [], [])
    start = 0
    while start < len(frames):
        block = frames[start] // FRAMES_PER_BLOCK
        end = bisect_left(frames, (block + 1) * FRAMES_PER_BLOCK, start)
        highest: dict[str, float] = {}
        of_block = slice(offsets[start], offsets[end])
        for label, confidence in zip(labels[of_block], confidences[of_block], strict=True):
            if confidence > highest.get(label, -1.0):
                highest[label] = confidence
        if highest:
            highest[""] = max(highest.values())
            maxima.labels.extend(highest)
            maxima.blocks.extend([block] * len(highest))
            maxima.confidences.extend(highest.values())
        start = end
    return maxima


def decode(
    row: Row,
    *,
    label: str | None = None,
    min_confidence: float = 0.0,
    sizes: Sequence[FrameSize] = (),
) -> Prediction:
    """Return a stored row, with the detections that have this label, if one is given, and this confidence.

    `sizes` are all of the scenario's.

    Confidences are rounded to 4 decimals and boxes to 2: single precision holds no more. `min_confidence` is
    compared in single precision, so that 0.9 finds what was stored as 0.9.
    """
    detections: tuple[Detection, ...] = ()
    confidences = _unpack(row["confidences"])
    if confidences:
        threshold = c_float(min_confidence).value if min_confidence else 0.0
        boxes, boxes_end = row["boxes"], BOX_SIZE * len(confidences)
        class_ids = _unpack_class_ids(boxes[boxes_end:]) if len(boxes) > boxes_end else None
        found = zip(
            row["labels"].split("\n"),
            confidences,
            _unpack_boxes(boxes[:boxes_end]),
            row["track_ids"] or repeat(None),
            class_ids or repeat(None),
            strict=False,  # what is not there is repeated for ever
        )
        detections = tuple(
            [
                Detection(own, round(1e4 * confidence) / 10_000, box, track_id, class_id)
                for own, confidence, box, track_id, class_id in found
                if (label is None or own == label) and confidence >= threshold
            ]
        )
    frame = row["frame"]
    size = size_at(sizes, frame)
    if not size.width:
        return Prediction(frame, row["time"], detections, row["error"])
    return Prediction(frame, row["time"], detections, row["error"], size.width, size.height)


def decode_labels(row: Row) -> Prediction:
    """Return a stored row whose detections have only a label and a confidence, which is not rounded."""
    confidences = _unpack(row["confidences"])
    detections: tuple[Detection, ...] = ()
    if confidences:
        detections = tuple(map(Detection, row["labels"].split("\n"), confidences, repeat(_NO_BOX)))
    return Prediction(row["frame"], row["time"], detections, row["error"])


def size_at(sizes: Sequence[FrameSize], frame: int) -> FrameSize:
    """Return the size of a frame, of all sizes of its scenario; one of 0 × 0 if it is not known."""
    if not sizes:
        return _NO_SIZE
    size = sizes[-1]
    if frame < size.frame:  # seldom: most frames have the last size, if there are several
        number = bisect_right(sizes, frame, key=_frame_of)
        size = sizes[number - 1] if number else _NO_SIZE
    return size


def as_stored(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    """Return detections as decode gives them back after they were stored: the values that analysis takes.

    Those of boxes up to 65,536 pixels are stored without any more change.
    """
    boxes = _unpack_boxes(b"".join([_pack_box(*one.box) for one in detections]))
    confidences = _unpack(struct.pack(f">{len(detections)}f", *[one.confidence for one in detections]))
    return tuple(
        [
            Detection(one.label, round(1e4 * confidence) / 10_000, box, one.track_id, one.class_id)
            for one, confidence, box in zip(detections, confidences, boxes, strict=True)
        ]
    )


def _unpack_boxes(numbers: bytes) -> Iterable[tuple[float, float, float, float]]:
    """Return boxes, rounded to 2 decimals.

    A number of single precision times 100 is exact in double precision, and so this is what `round` with 2
    decimals returns, in a quarter of the time.
    """
    unpacked = _unpack(numbers)
    try:
        sides = [round(100.0 * side) / 100 for side in unpacked]
    except (OverflowError, ValueError):  # infinite, or no number
        sides = [round(side, 2) for side in unpacked]
    return zip(sides[::4], sides[1::4], sides[2::4], sides[3::4], strict=True)


@lru_cache(1024)
def _numbers(count: int) -> struct.Struct:
    return struct.Struct(f">{count}f")


def _unpack(numbers: bytes) -> tuple[float, ...]:
    return _numbers(len(numbers) // 4).unpack(numbers)


def _unpack_class_ids(numbers: bytes) -> list[int | None]:
    """Return the class numbers; an empty list if the row has none."""
    return [
        None if number == NO_CLASS else number
        for number in struct.unpack(f">{len(numbers) // CLASS_SIZE}I", numbers)
    ]

"""Decode many stored rows at once, as columns: several times faster than to decode each detection."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, compress, pairwise
from typing import Any

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from ..domain.prediction import Detection, FrameSize, Prediction
from .codec import BOX_SIZE, CLASS_SIZE, NO_CLASS, Row, size_at

_AT_ONCE = 100
"""Frames that are decoded at once if each is looked at alone: more take as long, and more memory."""


class DetectionColumns(Struct, frozen=True):
    """Frames and their detections, as parallel lists.

    Each frame has an item in `frames`, `times` (seconds), `errors`, `widths` and `heights` (pixels; None if
    not known), and in `counts` the number of its detections. Each detection has an item in `labels`, a row
    in `numbers` ((n, 5) float64: confidence, x1, y1, x2, y2), and one in `track_ids` and `class_ids`, which
    are None if no detection has any.
    """

    frames: list[int]
    times: list[float]
    errors: list[str | None]
    widths: list[int | None]
    heights: list[int | None]
    counts: list[int]
    labels: list[str]
    numbers: NDArray[np.float64]
    track_ids: list[int | None] | None
    class_ids: list[int | None] | None

    def of_detections(self, values: Sequence[Any]) -> list[Any]:
        """Return a value of each frame once for each of its detections."""
        return [value for value, count in zip(values, self.counts, strict=True) for _ in range(count)]

    def ranges(self) -> list[tuple[int, int]]:
        """Return of each frame the number of its first detection, and of that after its last one."""
        return list(pairwise(accumulate(self.counts, initial=0)))

    def predictions(self) -> list[Prediction]:
        """Return the frames as `decode` does."""
        nothing = [None] * len(self.labels)
        confidences, *sides = self.numbers.T.tolist()  # not a list for each row: each waits for collection
        detections = list(
            map(
                Detection,
                self.labels,
                confidences,
                zip(*sides, strict=True),
                self.track_ids or nothing,
                self.class_ids or nothing,
            )
        )
        parts = [tuple(detections[start:end]) for start, end in self.ranges()]
        return list(map(Prediction, self.frames, self.times, parts, self.errors, self.widths, self.heights))


def decode_frames(rows: Sequence[Row], sizes: Sequence[FrameSize] = ()) -> Iterator[Prediction]:
    """Yield stored rows as `decode` returns them, in half the time if they are many."""
    for first in range(0, len(rows), _AT_ONCE):
        yield from decode_columns(rows[first : first + _AT_ONCE], sizes).predictions()


def decode_columns(
    rows: Sequence[Row],
    sizes: Sequence[FrameSize] = (),
    *,
    label: str | None = None,
    min_confidence: float = 0.0,
) -> DetectionColumns:
    """Return stored rows with the detections that have this label and confidence, as `decode` rounds them.

    `sizes` are all of the scenario's.
    """
    frames = [row["frame"] for row in rows]
    packed = [row["confidences"] for row in rows]
    counts = [len(each) // 4 for each in packed]
    total = sum(counts)
    labels = "\n".join([row["labels"] for row, count in zip(rows, counts, strict=True) if count]).split("\n")
    stored = np.frombuffer(b"".join(packed), ">f4")
    numbers = np.empty((total, 5))
    numbers[:, 0] = _rounded(stored, 10_000)
    boxes, class_ids = _boxes([row["boxes"] for row in rows], counts)
    numbers[:, 1:] = _rounded(boxes.reshape(-1, 4), 100)
    found_sizes = [size_at(sizes, frame) for frame in frames]
    columns = DetectionColumns(
        frames,
        [row["time"] for row in rows],
        [row["error"] for row in rows],
        [size.width or None for size in found_sizes],
        [size.height or None for size in found_sizes],
        counts,
        labels if total else [],
        numbers,
        _track_ids([row["track_ids"] for row in rows], counts),
        class_ids,
    )
    if label is None and not min_confidence:
        return columns
    wanted = stored >= np.float32(min_confidence)
    if label is not None:
        wanted &= np.fromiter((own == label for own in columns.labels), bool, total)
    return _choose(columns, wanted)


def _rounded(stored: NDArray[np.float32], scale: int) -> NDArray[np.float64]:
    """Return numbers of single precision, rounded to as many decimals as `scale` has zeros; never -0.0."""
    numbers: NDArray[np.float64] = np.rint(stored.astype(np.float64) * scale) / scale + 0.0
    return numbers


def _boxes(packed: Sequence[bytes], counts: list[int]) -> tuple[NDArray[np.float32], list[int | None] | None]:
    """Return the sides of all boxes, and the class numbers, if a detection has one."""
    sizes = [BOX_SIZE * count for count in counts]
    if sum(map(len, packed)) == sum(sizes):
        return np.frombuffer(b"".join(packed), ">f4"), None
    unknown = NO_CLASS.to_bytes(CLASS_SIZE, "big")
    numbers = b"".join(
        [each[size:] or unknown * (size // BOX_SIZE) for each, size in zip(packed, sizes, strict=True)]
    )
    boxes = b"".join([each[:size] for each, size in zip(packed, sizes, strict=True)])
    known = np.frombuffer(numbers, ">u4").tolist()
    return np.frombuffer(boxes, ">f4"), [None if number == NO_CLASS else number for number in known]


def _track_ids(arrays: Sequence[list[int | None] | None], counts: list[int]) -> list[int | None] | None:
    if not any(arrays):
        return None
    return list(
        chain.from_iterable(
            [None] * count if array is None else array for array, count in zip(arrays, counts, strict=True)
        )
    )


def _choose(columns: DetectionColumns, wanted: NDArray[np.bool_]) -> DetectionColumns:
    """Return all frames, with the wanted detections."""
    owners = np.repeat(np.arange(len(columns.counts)), columns.counts)
    tracks, classes = columns.track_ids, columns.class_ids
    return structs.replace(
        columns,
        counts=np.bincount(owners[wanted], minlength=len(columns.counts)).tolist(),
        labels=list(compress(columns.labels, wanted)),
        numbers=columns.numbers[wanted],
        track_ids=None if tracks is None else list(compress(tracks, wanted)),
        class_ids=None if classes is None else list(compress(classes, wanted)),
    )

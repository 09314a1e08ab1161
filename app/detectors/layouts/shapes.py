"""Tell from the shape of a network's first output how it holds boxes, or why it cannot be read."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...domain.model_input import LayoutName
from ..base import DetectorError
from .layout import Layout, Output, Size, Variant, describe
from .metadata import Metadata
from .yolo import count_cells

# The strides of grids that networks have. With more of them, the usual 300 boxes after NMS could be a grid.
_GRIDS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (4, 8, 16, 32, 64))
_SMALL_GRIDS = ((16, 32),)
_ANCHORS = 3  # per cell
_BOX = 4
_MOST_FINAL = 1000  # boxes of a network that needs no non-maximum suppression
_LARGEST_FRACTION = 2.0  # of a box in fractions of the picture, which may reach beyond its edge
_RAW = 1 / 8  # share of the input's side: all centres are nearer to 0 if they are places in cells
STATE_LAYOUT = "If you know which it is, state it as the detector's `layout`"


def layout_by_shape(outputs: Sequence[Output], size: Size, facts: Metadata) -> Layout:
    """Return the layout of the first output, for one picture whose input has this size.

    Raises:
        DetectorError: the outputs are of no known layout, or could be of several
    """
    first, others = outputs[0], outputs[1:]
    values = first.values
    if values is None or not first.is_float:
        kind = "a sequence" if values is None else values.dtype
        raise DetectorError(f"Its output {first} is {kind} instead of float32. Export a detection model.")
    if facts.task == "classify":
        raise DetectorError(
            f"Its task is to classify, but its output {first} is no row of scores. Export a detection model."
        )
    if len(first.shape) != 3 or first.shape[0] != 1 or not all(_is_ignored(each, first) for each in others):
        raise DetectorError(_describe(outputs))
    floats = values[0].astype(np.float32, copy=False)
    _, down, across = first.shape
    extras = _extra_values(others, size, facts)

    def found(name: LayoutName, before: int, width: int, variant: Variant = "plain") -> Layout:
        classes = _count_classes(first.shape, width - before, extras, facts)
        return Layout(name, classes, (first.name,), variant)

    if facts.is_rtdetr:
        if across == 6 and _are_whole_numbers(floats[:, 5]):
            return Layout("rtdetr_ultralytics", facts.named_classes, (first.name,), "end_to_end")
        return found("rtdetr_ultralytics", _BOX, across)
    if facts.task == "obb":
        if across == 7 and down <= _MOST_FINAL:
            return Layout("yolo_obb", facts.named_classes, (first.name,), "end_to_end")
        return found("yolo_obb", _BOX + 1, down)
    if _BOX < down < across != 6:
        return found("yolov8", _BOX, down)
    per_cell = _cell_counts(size, _GRIDS)
    if down in per_cell:
        return _one_row_per_cell(first, floats, size, extras, facts)
    has_anchors = down in {_ANCHORS * count for count in per_cell}
    if (across == 6 or (extras != 0 and across > 6)) and not has_anchors and _are_whole_numbers(floats[:, 5]):
        if across == 6 and _are_fractions_of_centres(floats):
            return Layout("rtdetr_ultralytics", facts.named_classes, (first.name,), "end_to_end")
        return Layout("yolov10", facts.named_classes, (first.name,))
    has_anchors |= down in {_ANCHORS * count for count in _cell_counts(size, _SMALL_GRIDS)}
    if has_anchors and across > _BOX + 1:
        return found("yolov5", _BOX + 1, across)
    if across > _BOX and down <= _MOST_FINAL and extras == 0 and _are_probabilities(floats):
        return found("rtdetr_ultralytics", _BOX, across)
    raise DetectorError(_describe(outputs))


def is_not_decoded(rows: NDArray[np.floating], size: Size) -> bool:
    """Return whether there is a row for each cell of YOLOX, whose centre is in cells instead of pixels."""
    return len(rows) == count_cells(size) and bool((np.abs(rows[:, :2]) <= _RAW * min(size)).all())


def _one_row_per_cell(
    first: Output, rows: NDArray[np.float32], size: Size, extras: int | None, facts: Metadata
) -> Layout:
    """Return the layout of one row for each cell of a grid: YOLOv6, YOLOX or a transposed YOLOv8.

    Raises:
        DetectorError: it could be several of them
    """
    across = rows.shape[1]
    if across > _BOX + 1:
        classes = across - _BOX - 1
        if (rows[:, _BOX] == 1).all():  # YOLOv6
            return Layout("yolov5", _count_classes(first.shape, classes, extras, facts), (first.name,))
        if is_not_decoded(rows, size) and (rows[:, :2] < 0).any():
            return Layout("yolox", _count_classes(first.shape, classes, extras, facts), (first.name,))
    if 0 < facts.named_classes == across - _BOX:
        return Layout("yolov8", facts.named_classes, (first.name,), "transposed")
    raise DetectorError(
        f"Its output {first} has one row for each cell of its grid: it is a decoded YOLOX, a transposed"
        f" YOLOv8 or a NanoDet, which cannot be told apart. {STATE_LAYOUT}: yolox_decoded or yolov8."
    )


def _is_ignored(other: Output, first: Output) -> bool:
    """Return whether it can be left aside: feature maps, masks, or an auxiliary head's equal output."""
    return len(other.shape) in (4, 5) or other.shape == first.shape


def _extra_values(others: Sequence[Output], size: Size, metadata: Metadata) -> int | None:
    """Return how many values of each box follow its scores; None if `names` must tell."""
    maps = [each.shape for each in others if len(each.shape) == 4]
    is_masked = len(maps) == 1 and maps[0][2:] == (size[0] // 4, size[1] // 4)
    masks = maps[0][1] if is_masked else 0
    if metadata.task == "pose":
        return metadata.key_point_values or None
    if metadata.task == "segment":
        return masks or None
    return masks


def _count_classes(shape: tuple[int, ...], values: int, extras: int | None, metadata: Metadata) -> int:
    """Return the number of classes if each box has so many values after its place and objectness.

    Raises:
        DetectorError: `names` has another number
    """
    named = metadata.named_classes
    if extras is None and 0 < named <= values:
        return named
    classes = values - (extras or 0)
    if extras is None or classes < 1:
        raise DetectorError(
            f"Its metadata does not tell its classes from the {values} values of each box."
            " Export it again with its class names, or export a detection model."
        )
    if named not in (0, classes):
        raise DetectorError(
            f"Its output has the shape {list(shape)}, which is no YOLO layout of {named}"
            f" {'class' if named == 1 else 'classes'}: it has {classes}, but there"
            f" {'is 1 name' if named == 1 else f'are {named} names'}. Correct the detector's `names`, or the"
            " entry `names` of its metadata; if the values are masks, key points or angles, export a"
            " detection model."
        )
    return classes


def _are_whole_numbers(column: NDArray[np.float32]) -> bool:
    return bool(((column == np.floor(column)) & (column >= -1)).all())


def _are_fractions_of_centres(rows: NDArray[np.float32]) -> bool:
    """Return whether boxes can only be centre and size in fractions of the picture."""
    boxes = rows[rows.any(axis=1), :4]
    if not len(boxes) or boxes.min() < 0 or boxes.max() > _LARGEST_FRACTION:
        return False
    return bool((boxes[:, 2:] < boxes[:, :2]).any())


def _are_probabilities(rows: NDArray[np.float32]) -> bool:
    """Return whether rows are centre and size in fractions, then scores."""
    scores = rows[:, _BOX:]
    return _are_fractions_of_centres(rows) and bool(scores.min() >= 0 and scores.max() <= 1)


def _cell_counts(size: Size, grids: Iterable[tuple[int, ...]]) -> set[int]:
    """Return how many cells each of the grids has."""
    return {count_cells(size, strides) for strides in grids}


def _are_boxes_and_scores(outputs: Sequence[Output]) -> bool:
    """Return whether one output is [1, boxes, 4], and the other has scores for each box."""
    shapes = [each.shape for each in outputs]
    if len(shapes) != 2 or any(len(shape) != 3 or shape[0] != 1 for shape in shapes):
        return False
    return any(
        boxes[2] == _BOX and boxes[1] > _MOST_FINAL and boxes[1] in scores[1:]
        for boxes, scores in (shapes, reversed(shapes))
    )


def _describe(outputs: Sequence[Output]) -> str:
    """Return why outputs of no known family cannot be read."""
    shape = outputs[0].shape
    if _are_boxes_and_scores(outputs):
        told = (
            "boxes and class scores without suppression, as of YOLO-NAS and PP-YOLOE, which are not known:"
            " export another kind of model"
        )
    elif len(shape) in (4, 5):
        told = "as feature maps have, whose boxes are not decoded: export it with their decoding"
    elif len(outputs) > 1:
        told = f"which are not known. {STATE_LAYOUT}"
    elif len(shape) == 2 and shape[0] != 1:
        told = "as of boxes after suppression, in an order that is not known: export it without suppression"
    elif len(shape) == 2:
        told = "as a classifier's: state the detector's `layout` as classifier, and its `input`"
    elif len(shape) == 3 and shape[0] == 1 and _BOX < shape[1] <= _MOST_FINAL and shape[2] > 6:
        told = f"as of an RT-DETR, or of boxes with masks or key points without metadata. {STATE_LAYOUT}"
    else:
        told = f"which is not known. {STATE_LAYOUT}, or export it as a YOLO detection model"
    has = f"output has the shape {list(shape)}" if len(outputs) == 1 else f"outputs are {describe(outputs)}"
    return f"Its {has}, {told}."

"""Tell how a network's outputs hold boxes, or why they cannot be read."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base import DetectorError, clean_label
from .metadata import Metadata
from .yolo import Layout

# The strides of grids that networks have. With more of them, the usual 300 boxes after NMS could be a grid.
_GRIDS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (4, 8, 16, 32, 64))
_SMALL_GRIDS = ((16, 32),)
_ANCHORS = 3  # per cell
_BOX = 4
_MOST_FINAL = 1000  # boxes of a network that needs no non-maximum suppression
_YOLO = "Export a YOLO detection model, for example: yolo export model=yolo11n.pt format=onnx."


class Output(NamedTuple):
    """An output of a network for one picture; `values` is None if it is no array."""

    name: str
    values: NDArray[np.generic] | None

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.values is None else self.values.shape

    def __str__(self) -> str:
        return f"{clean_label(self.name)!r} {list(self.shape)}"


def layout_of(outputs: Sequence[Output], height: int, width: int, metadata: Metadata) -> Layout:
    """Return the layout of the first output, for one picture of height × width.

    Raises:
        DetectorError: the outputs are of no known layout, or could be of several
    """
    first, others = outputs[0], outputs[1:]
    _check_family(outputs)
    values = first.values
    if values is None or values.dtype != np.float32:
        kind = "a sequence" if values is None else values.dtype
        raise DetectorError(f"Its output {first} is {kind} instead of float32. Export it with half=False.")
    floats = values.astype(np.float32, copy=False)
    if len(first.shape) != 3 or first.shape[0] != 1 or not all(_is_ignored(each, first) for each in others):
        raise DetectorError(_describe(outputs))
    _, down, across = first.shape
    extras = _extra_values(others, height, width, metadata)
    if _BOX < down < across != 6:
        return Layout("columns", _count_classes(first.shape, down - _BOX, extras, metadata))
    per_cell = _cell_counts(height, width, _GRIDS)
    if down in per_cell:
        if across > _BOX + 1 and (floats[0, :, _BOX] == 1).all():  # YOLOv6
            return Layout("rows", _count_classes(first.shape, across - _BOX - 1, extras, metadata))
        raise DetectorError(
            f"Its output {first} has one row for each cell of its grid: it is of YOLOX or NanoDet, or a"
            f" transposed YOLOv8, which cannot be told apart. {_YOLO}"
        )
    has_anchors = down in {_ANCHORS * count for count in per_cell}
    if (
        (across == 6 or (extras != 0 and across > 6))
        and not has_anchors
        and _are_whole_numbers(floats[0, :, 5])
    ):
        return Layout("end_to_end", metadata.named_classes)
    has_anchors |= down in {_ANCHORS * count for count in _cell_counts(height, width, _SMALL_GRIDS)}
    if has_anchors and across > _BOX + 1:
        return Layout("rows", _count_classes(first.shape, across - _BOX - 1, extras, metadata))
    raise DetectorError(_describe(outputs))


def _check_family(outputs: Sequence[Output]) -> None:
    """Raise DetectorError if the outputs are those of a family that is known, and not read."""
    names = {each.name.lower() for each in outputs}
    shapes = [each.shape for each in outputs]
    told = ""
    if {"dets", "labels"} <= names:
        detr = any(each.name.lower() == "labels" and len(each.shape) == 3 for each in outputs)
        told = "an RF-DETR network" if detr else "an MMDetection network"
    elif {"boxes", "labels", "scores"} <= names:
        told = "a torchvision or D-FINE network, which gives boxes, labels and scores in separate outputs"
    elif any("logits" in name or name.startswith("pred_") for name in names):
        told = "a DETR network (DETR, YOLOS, RT-DETR, D-FINE), which gives class scores and boxes separately"
    elif any(name.startswith(("num_det", "det_boxes", "nmsed")) for name in names) or (
        len(outputs) == 1 and len(shapes[0]) == 2 and shapes[0][1] == 7
    ):
        raise DetectorError(
            f"Its outputs, {_list(outputs)}, come from a non-maximum suppression that is not read."
            " Export it without (YOLOv7: export.py with --grid and without --end2end)."
        )
    if told:
        raise DetectorError(f"It is {told}: {_list(outputs)}. {_YOLO}")


def _is_ignored(other: Output, first: Output) -> bool:
    """Return whether it can be left aside: feature maps, masks, or an auxiliary head's equal output."""
    return len(other.shape) in (4, 5) or other.shape == first.shape


def _extra_values(others: Sequence[Output], height: int, width: int, metadata: Metadata) -> int | None:
    """Return how many values of each box follow its scores; None if `names` must tell.

    Raises:
        DetectorError: it has masks, and its metadata does not say how many classes
    """
    maps = [each.shape for each in others if len(each.shape) == 4]
    is_masked = len(maps) == 1 and maps[0][2:] == (height // 4, width // 4)
    masks = maps[0][1] if is_masked else 0
    if metadata.task == "pose":
        return metadata.key_point_values or None
    if metadata.task == "segment":
        return masks or None
    if masks and not metadata.names:
        raise DetectorError(
            "It is a segmentation network without metadata, so that its classes cannot be told from its mask"
            " coefficients. Export it again and keep the metadata, or export a detection model."
        )
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
            f" {'class' if named == 1 else 'classes'}: it has {classes}, but the metadata names {named}."
            " Correct its entry `names`; if the values are masks, key points or angles, export a detection"
            " model."
        )
    return classes


def _are_whole_numbers(column: NDArray[np.float32]) -> bool:
    return bool(((column == np.floor(column)) & (column >= -1)).all())


def _cell_counts(height: int, width: int, grids: Iterable[tuple[int, ...]]) -> set[int]:
    """Return how many cells each of the grids has."""
    return {sum(-(-height // stride) * -(-width // stride) for stride in strides) for strides in grids}


def _list(outputs: Sequence[Output]) -> str:
    text = ", ".join(map(str, outputs[:4]))
    return f"{text}, …" if len(outputs) > 4 else text


def _describe(outputs: Sequence[Output]) -> str:
    """Return why outputs of no known family cannot be read."""
    shape = outputs[0].shape
    if len(shape) in (4, 5):
        told = "as feature maps have, whose boxes are not decoded (YOLOv7: export.py with --grid)"
    elif len(outputs) > 1:
        told = "and boxes and scores in separate outputs are not read"
    elif len(shape) == 2:
        told = "as a classifier's, without boxes"
    elif len(shape) == 3 and shape[0] == 1 and _BOX < shape[1] <= _MOST_FINAL and shape[2] > 6:
        told = "as of an RT-DETR, or of boxes with masks or key points whose metadata is missing"
    else:
        told = "which is no YOLO layout"
    has = f"output has the shape {list(shape)}" if len(outputs) == 1 else f"outputs are {_list(outputs)}"
    return (
        f"Its {has}, {told}. Known are [1, 4 + classes, boxes], [1, boxes, 5 + classes] with 3 boxes per"
        f" cell, and [1, boxes, 6]. {_YOLO}"
    )

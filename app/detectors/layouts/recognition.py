"""Tell how a network's outputs hold boxes: as stated, by their names, or by their shapes."""

from collections.abc import Sequence

import numpy as np

from ...domain.model_input import LayoutName
from ..base import DetectorError
from .detr import softmax
from .final import are_of_one_label
from .layout import Layout, Output, Size, Variant, describe
from .metadata import Metadata
from .shapes import STATE_LAYOUT, is_not_decoded, layout_by_shape

_NAMED: dict[LayoutName, tuple[str, ...]] = {
    "yolov6_nms": ("num_dets", "det_boxes", "det_scores", "det_classes"),
    "tensorflow": ("detection_boxes", "detection_scores", "detection_classes"),
    "torchvision": ("boxes", "scores", "labels"),
    "dfine": ("boxes", "scores", "labels"),
    "rfdetr": ("labels", "dets"),
    "mmdetection": ("dets", "labels"),
    "detr": ("logits", "pred_boxes"),
    "rtdetr_transformers": ("logits", "pred_boxes"),  # never found by names: `detr` is asked first
}
_LIKELY = 0.5  # probability that a box sees nothing
_MOSTLY = 0.8  # share of the boxes that see nothing in the trial picture
_DFINE = (
    "are of RT-DETR, D-FINE, DEIM or DEIMv2, which see colours in different ways. State the detector's"
    " `layout` as dfine. For a DEIMv2 with a DINOv3 backbone, state its `input`, too: mean 0.485, 0.456,"
    " 0.406 and std 0.229, 0.224, 0.225."
)


def recognize(
    outputs: Sequence[Output], size: Size, facts: Metadata, stated: LayoutName | None = None
) -> Layout:
    """Return the layout of the outputs for one picture whose input has this size (height, width).

    Raises:
        DetectorError: the outputs are of no known layout, or could be of several, or not of the stated one
    """
    if not outputs:
        raise DetectorError(
            "It declares no outputs. Name them, with types and shapes, in the model's metadata."
        )
    if stated is not None:
        return _as_stated(outputs, size, facts, stated)
    found = _by_names(outputs)
    if found is None and len(outputs) == 1 and len(outputs[0].shape) == 2:
        found = _table(outputs[0], facts)
    if found is None:
        return layout_by_shape(outputs, size, facts)
    _check_names(found, facts)
    return found


def _by_names(outputs: Sequence[Output]) -> Layout | None:
    """Return the layout whose outputs have these names, or None."""
    for name, needed in _NAMED.items():
        chosen = _find(outputs, needed)
        if chosen and _has_shapes(name, chosen):
            if name == "dfine":
                raise DetectorError(f"Its outputs, {describe(outputs)}, {_DFINE}")
            return _by_logits(chosen) if name == "detr" else _layout(name, chosen)
    names = {_plain(each.name) for each in outputs}
    if {"dets", "labels"} <= names or {"boxes", "labels", "scores"} <= names or "pred_boxes" in names:
        raise DetectorError(
            f"Its outputs, {describe(outputs)}, have the names of a known network and other shapes."
            f" {STATE_LAYOUT}."
        )
    return None


def _layout(name: LayoutName, outputs: Sequence[Output], variant: Variant = "plain") -> Layout:
    classes = outputs[0].shape[-1] if name in ("rfdetr", "rtdetr_transformers") else 0
    classes = outputs[0].shape[-1] - 1 if name == "detr" else classes
    return Layout(name, classes, tuple(each.name for each in outputs), variant)


def _plain(name: str) -> str:
    """Return an output's name as families write it: without a colon and what follows."""
    plain = name.lower().partition(":")[0]
    return "logits" if plain == "pred_logits" else plain


def _find(outputs: Sequence[Output], names: Sequence[str]) -> list[Output]:
    """Return the outputs of these names in their order; nothing if one is missing."""
    by_name = {_plain(each.name): each for each in outputs}
    return [by_name[name] for name in names] if set(names) <= by_name.keys() else []


def _has_shapes(name: LayoutName, outputs: Sequence[Output]) -> bool:
    """Return whether the outputs, in the order of `_NAMED`, can be of this layout."""
    shapes = [each.shape for each in outputs]
    first = shapes[0]
    match name:
        case "yolov6_nms":
            boxes = shapes[1]
            return len(boxes) == 3 and boxes[2] == 4 and shapes[2] == shapes[3] == boxes[:2]
        case "tensorflow" | "dfine":
            return len(first) == 3 and first[2] == 4 and shapes[1] == shapes[2] == first[:2]
        case "torchvision":
            return len(first) == 2 and first[1] == 4 and shapes[1] == shapes[2] == first[:1]
        case "mmdetection":
            return len(first) == 3 and first[2] == 5 and shapes[1] == first[:2]
        case "rfdetr" | "detr" | "rtdetr_transformers":
            boxes = shapes[1]
            return len(first) == 3 and len(boxes) == 3 and boxes[2] == 4 and first[1] == boxes[1]
        case _:
            return True


def _by_logits(outputs: Sequence[Output]) -> Layout:
    """Return the layout of DETR and YOLOS, whose logits have a last class for nothing.

    Raises:
        DetectorError: they may have no such class: then colours are scaled in one of two ways
    """
    logits = np.asarray(outputs[0].values, np.float32)[0]
    if logits.shape[-1] > 1:
        # If the last class were one of a sigmoid, it would not be likely nearly everywhere, only likelier.
        is_nothing = (softmax(logits)[:, -1] > _LIKELY) & (logits[:, -1] > 0)
        if is_nothing.mean() >= _MOSTLY:
            return _layout("detr", outputs)
    raise DetectorError(
        f"Its outputs, {describe(outputs)}, do not tell how it was trained. State the detector's `layout`:"
        " rtdetr_transformers for RT-DETR and D-FINE; rfdetr for RF-DETR, LW-DETR, Deformable and Conditional"
        " DETR; detr for DETR and YOLOS."
    )


def _table(output: Output, facts: Metadata) -> Layout | None:
    """Return the layout of one output with two axes: a classifier's, or boxes with the picture's number."""
    rows = output.values
    if rows is None or not output.is_float:
        return None
    if facts.task == "classify" and len(rows) == 1 and rows.size:
        return _classifier(output)
    if rows.shape[1] == 7 and _are_numbered_boxes(np.asarray(rows, np.float32)):
        return Layout("yolov7_nms", facts.named_classes, (output.name,))
    return None


def _are_numbered_boxes(rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
    """Return whether rows begin with the number 0, and have corners, a class and a score."""
    return bool(
        (rows[:, 0] == 0).all()
        and (rows[:, 5] == np.floor(rows[:, 5])).all()
        and (rows[:, 3:5] > rows[:, 1:3]).all()  # not the zeros of a classifier that is certain
        and (rows[:, 6] >= 0).all()
        and (rows[:, 6] <= 1).all()
    )


def _classifier(output: Output) -> Layout:
    """Return the layout of class scores: probabilities of which one is true, or logits.

    Raises:
        DetectorError: they are probabilities of which several can be true, or there is one only
    """
    scores = np.asarray(output.values, np.float32).reshape(-1)
    if len(scores) == 1:
        raise DetectorError(
            f"Its output {output} has one score only, which does not tell one label from another. Export a"
            " classifier with a score for each of two or more labels."
        )
    are_probabilities = are_of_one_label(scores)
    if not are_probabilities and scores.min() >= 0 and scores.max() <= 1:
        raise DetectorError(
            f"The scores in its output {output} are from 0 to 1, but their sum is not 1: it gives a picture"
            " several labels. Export a classifier that gives one, or a detection model."
        )
    return Layout("classifier", len(scores), (output.name,), "plain" if are_probabilities else "logits")


def _check_names(layout: Layout, facts: Metadata) -> None:
    """Check that there are as many names as classes.

    Raises:
        DetectorError: there are more or fewer
    """
    named = facts.named_classes
    # RF-DETR has a last class for nothing, which has no name.
    allowed = {0, layout.classes} | ({layout.classes - 1} if layout.name == "rfdetr" else set())
    if layout.classes and named not in allowed:
        raise DetectorError(
            f"It has {layout.classes} classes, but {named} names. Correct the entry `names` of its metadata,"
            " or state the detector's `names`."
        )


def _as_stated(outputs: Sequence[Output], size: Size, facts: Metadata, stated: LayoutName) -> Layout:
    """Return the stated layout with the outputs that it reads.

    Raises:
        DetectorError: the outputs cannot be of this layout
    """
    wrong = DetectorError(f"Its outputs, {describe(outputs)}, are not those of the layout {stated}.")
    if stated in _NAMED:
        needed = _NAMED[stated]
        chosen = _find(outputs, needed) or _find(outputs, _NAMED["detr"]) or list(outputs[: len(needed)])
        if len(needed) > 2 and not _find(outputs, needed):  # their shapes do not tell scores from classes
            raise DetectorError(
                f"Its outputs, {describe(outputs)}, do not have the names of the layout {stated}:"
                f" {', '.join(needed)}. Export it with these names."
            )
        if len(chosen) < len(needed) or not _has_shapes(stated, chosen):
            raise wrong
        found = _layout(stated, chosen)
    else:
        found = _single(outputs[0], facts, stated, wrong)
        if stated == "yolox" and not is_not_decoded(np.asarray(outputs[0].values, np.float32)[0], size):
            raise DetectorError(
                f"The boxes in its output {outputs[0]} are in pixels, or not in the cells of a YOLOX with the"
                " strides 8, 16 and 32. If it was exported with --decode_in_inference, state its `layout` as"
                " yolox_decoded."
            )
    _check_names(found, facts)
    return found


def _single(output: Output, facts: Metadata, stated: LayoutName, wrong: DetectorError) -> Layout:
    """Return the stated layout of one output."""
    shape, named = output.shape, facts.named_classes
    if not output.is_float:
        raise wrong
    if stated == "classifier" and shape and 0 < np.prod(shape) == shape[-1]:
        return _classifier(output)
    if stated == "yolov7_nms" and len(shape) == 2 and shape[1] == 7:
        return Layout(stated, named, (output.name,))
    if stated in ("classifier", "yolov7_nms") or len(shape) != 3 or shape[0] != 1:
        raise wrong
    _, down, across = shape
    variant: Variant = "plain"
    match stated:
        case "yolov10":
            before, values, classes = 6, across, named
        case "rtdetr_ultralytics" | "yolo_obb" if across == 6 + (stated == "yolo_obb"):
            before, values, classes, variant = 6, across, named, "end_to_end"
        case "yolov8":
            variant = "plain" if down < across else "transposed"
            before, values = 4, min(down, across)
            classes = named or values - before
        case "yolo_obb":
            before, values = 5, down
            classes = values - before
        case "rtdetr_ultralytics":
            before, values = 4, across
            classes = named or values - before
        case _:
            before, values = 5, across
            classes = named or values - before
    if values < before or (before < 6 and not 0 < classes <= values - before):
        raise wrong
    if before < 6 and classes < values - before and facts.task not in ("segment", "pose"):
        _check_rest(output, stated, variant, before, classes)
    return Layout(stated, classes, (output.name,), variant)


def _check_rest(output: Output, stated: LayoutName, variant: Variant, before: int, classes: int) -> None:
    """Check that the values after the named classes are none of further classes.

    Raises:
        DetectorError: all are from 0 to 1, unlike those of masks and key points
    """
    has_columns = variant == "plain" and stated in ("yolov8", "yolo_obb")
    values = np.asarray(output.values, np.float32)[0]
    rest = (values.T if has_columns else values)[:, before + classes :]
    if rest.size and rest.min() >= 0 and rest.max() <= 1:
        raise DetectorError(
            f"It has {classes + rest.shape[1]} classes, but {classes} names. State all names, and choose with"
            " the detector's `labels`."
        )

"""What is known of each layout: how its outputs are read, and what its networks expect of a picture."""

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from ...domain.model_input import LayoutName, ModelInput
from . import detr, final, yolo
from .candidates import Candidates, Floats
from .layout import Layout, Size

Decode = Callable[[Sequence[Floats], Layout, Size, float], Candidates]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_STRETCHED = ModelInput(fit="stretch")


class Family(Struct, frozen=True):
    """How the outputs of one layout are read.

    `input`: how its networks were trained to see pictures; None if that differs from one to the next, so
    that the user must state it. `side` and `stride`: of the input in pixels, if the model takes any size.
    `needs_nms`: boxes overlap. `has_batch_axis`: outputs begin with an axis for the pictures.
    """

    decode: Decode
    input: ModelInput | None = ModelInput()
    side: int = 640
    stride: int = 32
    needs_nms: bool = False
    has_batch_axis: bool = True
    padding: float = 114


FAMILIES: dict[LayoutName, Family] = {
    "yolov5": Family(yolo.yolov5, needs_nms=True),
    "yolov8": Family(yolo.yolov8, needs_nms=True),
    "yolov10": Family(yolo.yolov10),
    "yolov7_nms": Family(yolo.yolov7_nms, has_batch_axis=False),
    "yolov6_nms": Family(final.yolov6_nms),
    "yolox": Family(yolo.yolox, ModelInput(fit="pad", colours="bgr", range=255), needs_nms=True),
    "yolox_decoded": Family(yolo.yolov5, ModelInput(fit="pad", colours="bgr", range=255), needs_nms=True),
    "yolo_obb": Family(yolo.yolo_obb, needs_nms=True),
    "rtdetr_ultralytics": Family(detr.rtdetr_ultralytics, _STRETCHED),
    "rtdetr_transformers": Family(detr.logits_and_boxes, _STRETCHED),
    "dfine": Family(final.boxes_scores_classes, _STRETCHED),
    "detr": Family(detr.detr, ModelInput(fit="pad", mean=_MEAN, std=_STD), side=1333, stride=1),
    "rfdetr": Family(detr.logits_and_boxes, ModelInput(fit="stretch", mean=_MEAN, std=_STD), side=560),
    "torchvision": Family(final.boxes_scores_classes, side=1333, stride=1, has_batch_axis=False, padding=0),
    "tensorflow": Family(final.tensorflow, ModelInput(range=255), side=1024, stride=1, padding=0),
    "mmdetection": Family(final.mmdetection, None),
    "classifier": Family(final.classifier, None, side=224),
}


@np.errstate(invalid="ignore", over="ignore")  # networks may give infinities; these are left out
def decode(outputs: Sequence[Floats], layout: Layout, size: Size, confidence: float) -> Candidates:
    """Return the boxes in the outputs for one picture that score at least `confidence`, in pixels.

    `outputs` are those that the layout names, with their batch axis; `size` is that of the input.
    """
    family = FAMILIES[layout.name]
    values = [np.asarray(each, np.float32) for each in outputs]
    if family.has_batch_axis:
        values = [each[0] for each in values]
    return family.decode(values, layout, size, confidence).finite()

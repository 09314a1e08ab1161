"""What a user may state of a model that its file does not tell: layout, input, names of its classes."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

LayoutName = Literal[
    "yolov5",
    "yolov8",
    "yolov10",
    "yolov7_nms",
    "yolov6_nms",
    "yolox",
    "yolox_decoded",
    "yolo_obb",
    "rtdetr_ultralytics",
    "rtdetr_transformers",
    "dfine",
    "detr",
    "rfdetr",
    "torchvision",
    "tensorflow",
    "mmdetection",
    "classifier",
]
"""How the outputs of a model hold what it finds: docs/models.md has a line for each."""

Fit = Literal["letterbox", "pad", "stretch", "crop"]
"""How a picture gets the input's size: with equal borders, with borders at the right and the bottom, out of
proportion, or by its middle part alone."""

Colours = Literal["rgb", "bgr"]
_Three = tuple[float, float, float]
_Deviation = Annotated[float, Meta(gt=0)]
_Side = Annotated[
    Annotated[int, Meta(ge=1, le=4096)] | None, Meta(description="in pixels, if the model takes any")
]


class ModelInput(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a picture becomes a model's input. What is left out is known from the model.

    A colour's value is (level · range / 255 − mean) / std, for levels from 0 to 255.
    """

    width: _Side = None
    height: _Side = None
    fit: Fit | None = None
    colours: Annotated[Colours | None, Meta(description="the order of the colours")] = None
    range: Annotated[Literal[1, 255] | None, Meta(description="the value of full brightness")] = None
    mean: Annotated[_Three | None, Meta(description="of each colour, in their order")] = None
    std: Annotated[
        tuple[_Deviation, _Deviation, _Deviation] | None, Meta(description="of each colour, in their order")
    ] = None


class StatedModel(Struct, frozen=True):
    """What the user states; nothing by default."""

    layout: LayoutName | None = None
    input: ModelInput = ModelInput()
    names: tuple[str, ...] | None = None

"""The configuration of each detector.

GET /detectors shows these docstrings: what it finds, then its labels, then the rest.
"""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from .coco import CocoGroup, CocoLabel
from .model_input import LayoutName, ModelInput, StatedModel
from .plugins import PluginConfig, load_plugins

Fraction = Annotated[float, Meta(ge=0, le=1)]
Label = Annotated[str, Meta(min_length=1, max_length=200)]


class _Config(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Unknown fields are rejected, so that a misspelt option is not ignored."""


class Motion(_Config, frozen=True, tag="motion"):
    """Moving regions by background subtraction (MOG2). Label: `motion`; confidence: the share that moves.

    Shadows count as motion. An object that stops becomes background after about 50 sampled frames. If most
    of the picture changes at once, the light or the view has changed: then nothing is reported, and a new
    background is learnt.
    """

    min_area: Annotated[Fraction, Meta(description="smallest region, as a share of the picture")] = 0.0005
    sensitivity: Annotated[float, Meta(ge=0.1, le=10, description="higher finds fainter changes")] = 1.0


class People(_Config, frozen=True, tag="people"):
    """Standing people by histograms of oriented gradients (OpenCV's HOG). Label: `person`.

    Finds people of at least 96 pixels in height if the picture's longer side is scaled to 640. Confidence
    ranks detections but is not a probability.
    """

    confidence: Annotated[Fraction, Meta(description="weaker detections are left out")] = 0.4


class Face(_Config, frozen=True, tag="face"):
    """Frontal faces by a Haar cascade (OpenCV's). Label: `face`.

    Finds faces of at least 24 pixels if the picture's longer side is scaled to 1280. It is faster if only
    larger faces are wanted. Confidence ranks detections but is not a probability.
    """

    min_size: Annotated[
        float, Meta(ge=0.02, le=1, description="smallest face, as a share of the picture's height")
    ] = 0.08
    confidence: Annotated[Fraction, Meta(description="weaker detections are left out")] = 0.3


class Marker(_Config, frozen=True, tag="marker"):
    """Printed codes. Labels: `aruco:<id>` and `qr:<text>`.

    Each picture is read at full resolution. QR codes take about 2.5 times as long as ArUco markers.
    """

    codes: Annotated[tuple[Literal["aruco", "qr"], ...], Meta(min_length=1, max_length=2)] = ("aruco",)
    dictionary: Literal[
        "4x4_50", "4x4_100", "4x4_250", "4x4_1000",
        "5x5_50", "5x5_100", "5x5_250", "5x5_1000",
        "6x6_50", "6x6_100", "6x6_250", "6x6_1000",
        "7x7_50", "7x7_100", "7x7_250", "7x7_1000",
        "original", "apriltag_16h5", "apriltag_25h9", "apriltag_36h10", "apriltag_36h11",
    ] = "5x5_1000"  # fmt: skip


class Objects(_Config, frozen=True, tag="objects"):
    """People, vehicles, animals and things of COCO's 80 classes. Labels: COCO's, such as `person` and `car`.

    The model comes with the service: SSDLite on MobileNetV2, small and fast. It finds what is at least about
    a tenth of the picture high; `tiles` finds smaller objects. A larger model (`onnx`) finds more.
    """

    labels: Annotated[
        Annotated[tuple[Literal[CocoLabel, CocoGroup], ...], Meta(min_length=1, max_length=100)] | None,
        Meta(description="keep only these; `people`, `vehicles` and `animals` stand for their groups"),
    ] = None
    confidence: Annotated[Fraction, Meta(description="weaker detections are left out")] = 0.5
    tiles: Annotated[
        int,
        Meta(
            ge=1,
            le=4,
            description="also look at n × n overlapping parts of the picture, which finds objects of 1/n the"
            " size and takes 1 + n² times as long; 1: only the whole picture",
        ),
    ] = 1


class Onnx(_Config, frozen=True, tag="onnx"):
    """A model in an ONNX file below the model folder. Labels: from its metadata or `names`, else `class:<n>`.

    It can be a YOLO, DETR, SSD or another model that docs/models.md lists, or a classifier. It is understood
    or rejected, never guessed at: then `layout`, `input` and `names` can say what its file does not.
    """

    model: Annotated[
        str,
        Meta(
            min_length=1, max_length=500, description="a file below VA_MODEL_ROOT", examples=["yolov8n.onnx"]
        ),
    ]
    confidence: Annotated[Fraction, Meta(description="weaker detections are left out")] = 0.25
    iou: Annotated[
        Fraction,
        Meta(description="of two boxes of one label that overlap more, one is kept (Ultralytics uses 0.7)"),
    ] = 0.45
    labels: Annotated[tuple[Label, ...] | None, Meta(description="keep only these labels")] = None
    layout: Annotated[
        LayoutName | UnsetType, Meta(description="how its outputs hold boxes, if the file does not tell")
    ] = UNSET
    input: Annotated[
        ModelInput | UnsetType, Meta(description="how pictures become its input, if the file does not tell")
    ] = UNSET
    names: Annotated[
        Annotated[tuple[Label, ...], Meta(min_length=1, max_length=10_000)] | UnsetType,
        Meta(description="the names of its classes by number, from 0"),
    ] = UNSET  # left out when it is stored, because release 0.1.0 rejects unknown fields

    @property
    def stated(self) -> StatedModel:
        """What is stated of the model besides its file."""
        return StatedModel(self.layout or None, self.input or ModelInput(), self.names or None)


ModelUrl = Annotated[
    str,
    Meta(
        max_length=1000,
        pattern=r"^https?://[^\s/?#@]+(/[\w.~%-]+)*/v2/models(/[\w.~%-]+)+$",
        description="like https://gpu:8000/v2/models/yolo, or with /versions/3 behind it",
    ),
]


class Remote(_Config, frozen=True, tag="remote"):
    """A model on a server of the Open Inference Protocol, such as Triton. Labels: `names`, else `class:<n>`.

    The scenario waits while the server is away. A server on this machine must be in VA_INFERENCE_URLS.
    """

    url: Annotated[ModelUrl, Meta(examples=["https://gpu:8000/v2/models/yolo"])]
    more_urls: Annotated[
        tuple[ModelUrl, ...], Meta(max_length=15, description="the same model on other servers")
    ] = ()
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=600, description="longest wait for an answer; then the frame is sent again")
    ] = 30.0
    confidence: Annotated[Fraction, Meta(description="weaker detections are left out")] = 0.25
    iou: Annotated[
        Fraction,
        Meta(description="of two boxes of one label that overlap more, one is kept (Ultralytics uses 0.7)"),
    ] = 0.45
    labels: Annotated[tuple[Label, ...] | None, Meta(description="keep only these labels")] = None
    layout: Annotated[LayoutName | None, Meta(description="how its outputs hold boxes")] = None
    input: Annotated[ModelInput | None, Meta(description="how pictures become its input")] = None
    names: Annotated[
        Annotated[tuple[Label, ...], Meta(min_length=1, max_length=100_000)] | None,
        Meta(description="the names of its classes by number, from 0"),
    ] = None


class Mock(_Config, frozen=True, tag="mock"):
    """Made-up detections from a seeded generator, to try the service without a model. Label: `mock`."""

    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    max_detections: Annotated[int, Meta(ge=0, le=1000)] = 3


class Stored(_Config, frozen=True, tag="stored"):
    """What another scenario stored, for a source `scenario:<id>` alone. Labels: those that are stored.

    Nothing is detected: tracking, presence, zones, lines and alerts are applied to the stored detections,
    thousands of frames a second.
    """

    track_ids: Annotated[
        Literal["stored", "new"],
        Meta(
            description="stored: objects are those of the stored `track_id`; `tracking` follows objects if"
            " none is stored; new: `tracking` follows them in any case"
        ),
    ] = "stored"


BuiltIn = Objects | Motion | People | Face | Marker | Onnx | Remote | Mock | Stored

PLUGINS = load_plugins(str(config.__struct_config__.tag) for config in get_args(BuiltIn))

if TYPE_CHECKING:
    DetectorConfig = BuiltIn | PluginConfig
else:
    DetectorConfig = reduce(or_, PLUGINS.configs, BuiltIn)

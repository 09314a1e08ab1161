"""The 80 classes of the COCO data set, by class number, and groups of them."""

from typing import Literal, get_args

CocoLabel = Literal[
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase",
    "scissors", "teddy bear", "hair drier", "toothbrush",
]  # fmt: skip

CocoGroup = Literal["people", "vehicles", "animals"]

COCO_LABELS: tuple[str, ...] = get_args(CocoLabel)
"""Class number n is the n-th label, from 0: as in YOLO models, without the gaps of COCO's own ids."""

COCO_GROUPS: dict[str, tuple[str, ...]] = {
    "people": ("person",),
    "vehicles": COCO_LABELS[1:9],  # bicycle to boat
    "animals": COCO_LABELS[14:24],  # bird to giraffe
}

"""Tiny Faster R-CNN and SSD of torchvision (BSD-3-Clause), with random weights."""

import torch
import torchvision
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD, SSDHead

from tools.exported_models.common import FOLDER, picture, write

CLASSES = 4  # the first of which is the background


class Backbone(nn.Sequential):
    """Features of 8 channels, 16 pixels apart."""

    out_channels = 8

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 7, stride=4, padding=3), nn.ReLU(), nn.Conv2d(8, 8, 7, stride=4, padding=3)
        )


class Outputs(nn.Module):
    """A detector of one picture, with its outputs by name."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        (found,) = self.model(list(images))
        return found["boxes"], found["labels"], found["scores"]


def make(name: str, model: nn.Module, confidence: float) -> None:
    """Export a detector, and write what its own code finds in the picture."""
    outputs = Outputs(model).eval()
    pixels = torch.from_numpy(picture()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        boxes, labels, scores = outputs(pixels)
    torch.onnx.export(
        outputs,
        (pixels,),
        FOLDER / f"{name}.onnx",
        input_names=["images"],
        output_names=["boxes", "labels", "scores"],
        opset_version=17,
        dynamo=False,
    )
    found = [
        each
        for each in zip(labels.tolist(), scores.tolist(), boxes.tolist(), strict=True)
        if each[1] >= confidence
    ]
    print(name, len(found), scores[:5])
    write(name, f"torchvision {torchvision.__version__}", {"confidence": confidence}, found)


def main() -> None:
    """Make both."""
    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(0)
    anchors = AnchorGenerator(sizes=((32, 64),), aspect_ratios=((0.5, 1.0),))
    make(
        "faster_rcnn",
        FasterRCNN(
            Backbone(), rpn_anchor_generator=anchors, min_size=192, max_size=256,
            box_roi_pool=torchvision.ops.MultiScaleRoIAlign(["0"], 3, 2),
            box_head=torchvision.models.detection.faster_rcnn.TwoMLPHead(8 * 9, 16),
            box_predictor=torchvision.models.detection.faster_rcnn.FastRCNNPredictor(16, CLASSES),
            box_detections_per_img=20,
        ),
        0.1,
    )  # fmt: skip
    backbone = nn.ModuleDict({"features": Backbone()})
    backbone.forward = lambda images: {"0": backbone["features"](images)}
    generator = DefaultBoxGenerator([[2]])
    head = SSDHead([8], generator.num_anchors_per_location(), CLASSES)
    ssd = SSD(backbone, generator, (128, 128), CLASSES, head=head, detections_per_img=20, iou_thresh=0.9)
    make("ssd", ssd, 0.1)


if __name__ == "__main__":
    main()

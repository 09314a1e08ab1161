"""A tiny YOLOX (Apache-2.0) with random weights, exported as by default: boxes are not decoded.

Needs a checkout of YOLOX on the path, torch, onnx, loguru, tabulate, pycocotools and
opencv-python-headless.
"""

import cv2
import numpy as np
import torch
from torch import nn
from yolox.data.data_augment import preproc
from yolox.models import YOLOPAFPN, YOLOX, YOLOXHead
from yolox.utils.demo_utils import demo_postprocess, multiclass_nms

from tools.exported_models.common import FOLDER, picture, write

SIDE = 128
CLASSES = 3
CONFIDENCE = 0.45


def shake(model: nn.Module) -> None:
    """Give a model weights that let its outputs depend on its input."""
    for parameter in model.parameters():
        if parameter.dim() == 4:
            nn.init.normal_(parameter, std=(1.8 / parameter[0].numel()) ** 0.5)
    for layers, bias in (
        (model.head.obj_preds, -1.0),
        (model.head.cls_preds, 0.0),
        (model.head.reg_preds, 0.0),
    ):
        for layer in layers:
            layer.weight.data *= 0.05
            nn.init.constant_(layer.bias, bias)


def main() -> None:
    """Export it, and write what YOLOX's own example finds in the picture."""
    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(1)
    model = YOLOX(YOLOPAFPN(0.33, 0.0625), YOLOXHead(CLASSES, 0.0625)).eval()
    shake(model)
    model.head.decode_in_inference = False
    pixels, ratio = preproc(cv2.cvtColor(picture(), cv2.COLOR_RGB2BGR), (SIDE, SIDE))
    inputs = torch.from_numpy(pixels)[None]
    torch.onnx.export(
        model, (inputs,), FOLDER / "yolox.onnx", input_names=["images"], output_names=["output"],
        opset_version=17, dynamo=False,
    )  # fmt: skip
    with torch.no_grad():
        output = model(inputs).numpy()
    predictions = demo_postprocess(output, (SIDE, SIDE))[0]
    boxes, scores = predictions[:, :4], predictions[:, 4:5] * predictions[:, 5:]
    scores = scores * (scores == scores.max(axis=1, keepdims=True))
    corners = np.hstack((boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2)) / ratio
    # Nothing is suppressed: YOLOX counts each side of a box a pixel longer, which matters for small ones.
    found = multiclass_nms(corners, scores, nms_thr=1.0, score_thr=CONFIDENCE, class_agnostic=False)
    detections = [(int(row[5]), float(row[4]), row[:4].tolist()) for row in found]
    write("yolox", "YOLOX 0.3.0", {"confidence": CONFIDENCE, "iou": 1.0}, detections)


if __name__ == "__main__":
    main()

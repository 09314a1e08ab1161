"""Tiny DETR, YOLOS and RT-DETR of Transformers (Apache-2.0), with random weights."""

from typing import Any

import torch
import transformers
from PIL import Image
from torch import nn

from tools.exported_models.common import FOLDER, HEIGHT, WIDTH, picture, write

SIDE = 128
CLASSES = 5


class Outputs(nn.Module):
    """A model whose outputs are logits and boxes alone, as exporters name them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.model(pixel_values=pixel_values)
        return outputs.logits, outputs.pred_boxes


def make(name: str, model: nn.Module, processor: Any, detector: dict[str, Any]) -> None:
    """Export a model, and write what its own code finds in the picture."""
    model.eval()
    image = Image.fromarray(picture())
    inputs = processor(images=image, return_tensors="pt")
    pixels = inputs["pixel_values"]
    with torch.no_grad():
        outputs = model(pixel_values=pixels)
        (found,) = processor.post_process_object_detection(
            outputs, threshold=detector["confidence"], target_sizes=[(HEIGHT, WIDTH)]
        )
    print(name, tuple(pixels.shape), outputs.logits.min().item(), outputs.logits.max().item())
    torch.onnx.export(
        Outputs(model).eval(),
        (pixels,),
        FOLDER / f"{name}.onnx",
        input_names=["pixel_values"],
        output_names=["logits", "pred_boxes"],
        dynamo=True,
        external_data=False,
    )
    boxes = zip(found["labels"].tolist(), found["scores"].tolist(), found["boxes"].tolist(), strict=True)
    write(name, f"transformers {transformers.__version__}", detector, boxes)


def spread(layer: nn.Linear, bias: float, last: float | None = None) -> None:
    """Give the class head scores like those of a trained one: mostly unlikely, and different."""
    nn.init.normal_(layer.weight, std=0.3 if last is not None else 1.0)
    nn.init.constant_(layer.bias, bias)
    if last is not None:
        with torch.no_grad():
            layer.bias[-1] = last


def shake(model: nn.Module) -> None:
    """Give a model weights that let its outputs depend on its input."""
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)


def resnet() -> Any:
    return transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip


def detr() -> None:
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone_config=resnet(), backbone=None,
        num_queries=20, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_labels=CLASSES,
    )  # fmt: skip
    model = transformers.DetrForObjectDetection(config)
    shake(model)
    spread(model.class_labels_classifier, 0, 3.5)
    processor = transformers.DetrImageProcessor(size={"height": SIDE, "width": SIDE}, do_pad=False)
    # Its input has other proportions than the picture, and Transformers stretches it to fixed sides.
    detector = {"confidence": 0.02, "input": {"fit": "stretch"}}
    make("detr", model, processor, detector)


def yolos() -> None:
    config = transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=[SIDE, SIDE], patch_size=16, num_detection_tokens=20, num_labels=CLASSES,
        use_mid_position_embeddings=False,
    )  # fmt: skip
    model = transformers.YolosForObjectDetection(config)
    shake(model)
    spread(model.class_labels_classifier.layers[-1], 0, 3.5)
    processor = transformers.YolosImageProcessor(size={"height": SIDE, "width": SIDE}, do_pad=False)
    make("yolos", model, processor, {"confidence": 0.02, "input": {"fit": "stretch"}})


def rt_detr() -> None:
    config = transformers.RTDetrConfig(
        backbone_config=transformers.RTDetrResNetConfig(
            embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        encoder_hidden_dim=16, encoder_in_channels=[8, 16, 16], encoder_ffn_dim=16,
        encoder_attention_heads=2, d_model=16, num_queries=20, decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16, decoder_layers=1, decoder_attention_heads=2, decoder_n_points=2,
        num_labels=CLASSES, anchor_image_size=None,
    )  # fmt: skip
    model = transformers.RTDetrForObjectDetection(config)
    shake(model)
    for head in model.model.decoder.class_embed:
        spread(head, -3)
    processor = transformers.RTDetrImageProcessor(size={"height": SIDE, "width": SIDE})
    make("rt_detr", model, processor, {"confidence": 0.02, "layout": "rtdetr_transformers"})


def main() -> None:
    """Make all of them."""
    FOLDER.mkdir(exist_ok=True)
    for number, function in enumerate((detr, yolos, rt_detr)):
        torch.manual_seed(number)
        function()


if __name__ == "__main__":
    main()

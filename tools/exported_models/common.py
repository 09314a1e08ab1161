"""The picture that exported models are tried with, and how what they find is written."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

FOLDER = Path(__file__).parents[2] / "tests/detectors/layouts/exported"
WIDTH, HEIGHT = 256, 192

Found = Iterable[tuple[int, float, Iterable[float]]]
"""Class, score and box of each detection."""


def picture() -> NDArray[np.uint8]:
    """Return a smooth picture, shape (192, 256, 3), red first: its colours and its sides differ."""
    down, across = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    planes = [
        120 + 100 * np.sin(across / 37) * np.cos(down / 23),
        90 + 80 * np.cos(across / 29 + down / 41),
        150 + 90 * np.sin(down / 31),
    ]
    return np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)


def clean(name: str) -> None:
    """Remove what exporters tell of their own code and of this machine."""
    path = FOLDER / f"{name}.onnx"
    model = onnx.load(path)
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    path.write_bytes(model.SerializeToString())


def write(name: str, exporter: str, detector: dict[str, Any], found: Found) -> None:
    """Write what is found with these options of the detector `onnx`, beside the model."""
    detections = [
        {"class": number, "score": round(score, 6), "box": [round(side, 3) for side in box]}
        for number, score, box in found
    ]
    clean(name)
    if len(detections) < 3:
        raise SystemExit(f"{name}: only {len(detections)} detections")
    text = json.dumps({"exporter": exporter, "detector": detector, "detections": detections}, indent=1)
    (FOLDER / f"{name}.json").write_text(text + "\n")

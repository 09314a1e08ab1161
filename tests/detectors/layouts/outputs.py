"""Outputs of networks without a network, and what they are read as."""

from collections.abc import Mapping

import numpy as np

from app.detectors.layouts.candidates import Floats
from app.detectors.layouts.layout import Layout, Output, Variant
from app.detectors.layouts.metadata import Metadata, read_metadata
from app.detectors.layouts.recognition import recognize
from app.domain.model_input import LayoutName

V5_ANCHORS, V8_ANCHORS = 25200, 8400  # of a 640×640 input


def metadata(names: int = 0, **entries: str) -> Metadata:
    return read_metadata({"names": str({number: f"n{number}" for number in range(names)}), **entries})


def values(*shape: int) -> Floats:
    """Return values with a class score of 0.5 in the sixth column, so that it is no class number."""
    output = np.zeros(shape, np.float32)
    output[..., 5:6] = 0.5
    return output


def layout_of_first(name: LayoutName, classes: int, variant: Variant = "plain") -> Layout:
    return Layout(name, classes, ("output0",), variant)


def layout(output: Floats, facts: Metadata, *others: Floats, size: tuple[int, int] = (640, 640)) -> Layout:
    outputs = [Output("output0", output), *(Output(f"output{n}", each) for n, each in enumerate(others, 1))]
    return recognize(outputs, size, facts)


def outputs_of(shapes: Mapping[str, tuple[int, ...]], nothing: float = 9) -> list[Output]:
    """Return outputs of zeros, in whose logits the last class has the value `nothing`."""
    outputs = [Output(name, np.zeros(shape, np.float32)) for name, shape in shapes.items()]
    for each in outputs:
        if "logits" in each.name and isinstance(each.values, np.ndarray):
            each.values[..., -1] = nothing
    return outputs

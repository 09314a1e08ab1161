"""A network that costs as much as a YOLO nano (8.7 GFLOP at 640×640), with random weights.

It has the widths, strides and blocks of YOLOv8n. Constants added at its end make it report the same five
objects in each picture, so that the stages after inference have realistic work.
"""

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CLASSES = 80
OBJECTS = 5

# If it reports its features: their deviation becomes 1, one box in fifty has a class, and boxes move by up to
# 8 pixels.
_DEVIATION = np.array(0.0043, np.float32)
_RARE = np.array([0] * 4 + [5] * CLASSES, np.float32)[None, :, None]
_REACH = np.array([8] * 4 + [1] * CLASSES, np.float32)[None, :, None]


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._numbers = count()
        self._random = np.random.default_rng(0)

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Return the name of the node's output or, if it has several, their common prefix."""
        name = f"t{next(self._numbers)}"
        names = [name] if outputs == 1 else [f"{name}.{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return name

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"w{next(self._numbers)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> str:
        """Add a convolution and SiLU."""
        plain = self.plain_conv(x, inputs, outputs, kernel, stride)
        return self.add("Mul", plain, self.add("Sigmoid", plain))

    def plain_conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> str:
        scale = (2 / (inputs * kernel * kernel)) ** 0.5
        weights = self._random.normal(0, scale, (outputs, inputs, kernel, kernel)).astype(np.float32)
        pads = [kernel // 2] * 4
        return self.add("Conv", x, self.constant(weights), strides=[stride, stride], pads=pads)

    def c2f(self, x: str, inputs: int, outputs: int, blocks: int, *, shortcut: bool) -> str:
        """Add a split, a chain of bottlenecks, and a join of all their outputs."""
        half = outputs // 2
        parts = self.add("Split", self.conv(x, inputs, outputs, 1), outputs=2, axis=1, num_outputs=2)
        joined = [f"{parts}.0", f"{parts}.1"]
        for _ in range(blocks):
            y = self.conv(self.conv(joined[-1], half, half, 3), half, half, 3)
            joined.append(self.add("Add", joined[-1], y) if shortcut else y)
        return self.conv(self.add("Concat", *joined, axis=1), half * len(joined), outputs, 1)

    def sppf(self, x: str, channels: int) -> str:
        pooled = [self.conv(x, channels, channels // 2, 1)]
        for _ in range(3):
            pooled.append(
                self.add("MaxPool", pooled[-1], kernel_shape=[5, 5], strides=[1, 1], pads=[2, 2, 2, 2])
            )
        return self.conv(self.add("Concat", *pooled, axis=1), 2 * channels, channels, 1)

    def doubled(self, x: str) -> str:
        sizes = self.constant(np.array([1, 1, 2, 2], np.float32))
        return self.add("Resize", x, "", sizes, mode="nearest")

    def head(self, x: str, channels: int, cells: int) -> str:
        """Add the box and class scores of one scale: (1, 4 + CLASSES, cells)."""
        boxes = self.conv(self.conv(x, channels, 64, 3), 64, 64, 3)
        scores = self.conv(self.conv(x, channels, CLASSES, 3), CLASSES, CLASSES, 3)
        both = self.add(
            "Concat", self.plain_conv(boxes, 64, 4, 1), self.plain_conv(scores, CLASSES, CLASSES, 1), axis=1
        )
        return self.add("Reshape", both, self.constant(np.array([1, 4 + CLASSES, cells])))


def save(path: Path, height: int, width: int, *, reports_features: bool = False) -> Path:
    """Write the network for pictures of one size, both sides multiples of 32.

    With `reports_features`, it reports what its random features make of the picture: boxes and scores that
    depend on every layer, to compare what backends compute.
    """
    graph = _Graph()
    x = graph.conv(graph.conv("images", 3, 16, 3, 2), 16, 32, 3, 2)
    x = graph.conv(graph.c2f(x, 32, 32, 1, shortcut=True), 32, 64, 3, 2)
    eighth = graph.c2f(x, 64, 64, 2, shortcut=True)
    sixteenth = graph.c2f(graph.conv(eighth, 64, 128, 3, 2), 128, 128, 2, shortcut=True)
    x = graph.c2f(graph.conv(sixteenth, 128, 256, 3, 2), 256, 256, 1, shortcut=True)
    deep = graph.sppf(x, 256)
    x = graph.add("Concat", graph.doubled(deep), sixteenth, axis=1)
    middle = graph.c2f(x, 384, 128, 1, shortcut=False)
    x = graph.add("Concat", graph.doubled(middle), eighth, axis=1)
    fine = graph.c2f(x, 192, 64, 1, shortcut=False)
    x = graph.add("Concat", graph.conv(fine, 64, 64, 3, 2), middle, axis=1)
    middle = graph.c2f(x, 192, 128, 1, shortcut=False)
    x = graph.add("Concat", graph.conv(middle, 128, 128, 3, 2), deep, axis=1)
    coarse = graph.c2f(x, 384, 256, 1, shortcut=False)
    heads = [
        graph.head(part, channels, height * width // stride**2)
        for part, channels, stride in ((fine, 64, 8), (middle, 128, 16), (coarse, 256, 32))
    ]
    cells = height * width * 21 // 1024
    answers = graph.add("Concat", *heads, axis=2)
    if reports_features:
        spread = graph.add("Div", answers, graph.constant(_DEVIATION))
        answers = graph.add("Sub", spread, graph.constant(_RARE))
    squashed = graph.add("Sigmoid", answers)
    scale = _REACH if reports_features else np.array(1e-4, np.float32)
    added = _grid(height, width) if reports_features else _objects(cells, height, width)
    scaled = graph.add("Mul", squashed, graph.constant(scale))
    graph.nodes.append(helper.make_node("Add", [scaled, graph.constant(added)], ["output0"]))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "nano",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, height, width])],
            [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + CLASSES, cells])],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    path.write_bytes(model.SerializeToString())
    return path


def _grid(height: int, width: int) -> NDArray[np.float32]:
    """Return a square of four cells' width around the centre of each cell, without scores."""
    grids = []
    for stride in (8, 16, 32):
        rows, columns = np.mgrid[: height // stride, : width // stride].reshape(2, -1)
        centres = (columns + 0.5) * stride, (rows + 0.5) * stride
        grids.append(np.stack([*centres, *[np.full(rows.size, 4.0 * stride)] * 2]))
    boxes = np.concatenate(grids, axis=1)
    return np.pad(boxes, ((0, CLASSES), (0, 0)))[None].astype(np.float32)


def _objects(cells: int, height: int, width: int) -> NDArray[np.float32]:
    """Return the reported objects: five separate boxes, each with one class and in its own cell."""
    answer = np.zeros((1, 4 + CLASSES, cells), np.float32)
    side = min(height, width) / 8
    for number in range(OBJECTS):
        answer[0, :4, 97 * number] = (number + 0.5) * width / OBJECTS, height / 2, side, side
        answer[0, 4 + number, 97 * number] = 0.5 + 0.08 * number
    return answer

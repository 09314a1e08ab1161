"""Convert the network to ONNX: RGB planes from 0 to 1 in, boxes and class scores as columns out.

The layout is that of YOLOv8: [batch, 4 + 80, boxes], with centre and size in pixels of the input.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from app.domain.coco import COCO_LABELS
from tools.coco_ssd.package import Graph

SIDE = 300  # pixels of the input
CLASSES = 91  # of the network; number 0 is "nothing"
UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # COCO's ids from 1 to 90 without a class
OPSET, IR_VERSION = 17, 8

Array = NDArray[Any]


class Converter:
    """Writes the graph as ONNX, with channels before height and width; in TensorFlow they are last."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._names: dict[str, str] = {}

    def convert(self) -> ModelProto:
        """Return the whole network."""
        picture = self.add("Mul", "images", self.constant(np.float32(2)))
        self._names["Preprocessor/sub"] = self.add("Sub", picture, self.constant(np.float32(1)))
        boxes = self._boxes(self.converted("concat"))
        ids = [number for number in range(1, CLASSES) if number not in UNUSED]
        logits = self.add("Gather", self.converted("concat_1"), self.constant(np.array(ids)), axis=2)
        scores = self.add("Sigmoid", self.add("Transpose", logits, perm=[0, 2, 1]))
        self.add("Concat", boxes, scores, axis=1, output="output0")
        return self._model(len(ids))

    def _boxes(self, encodings: str) -> str:
        """Return centre x, centre y, width and height of each box, [batch, 4, boxes], in pixels.

        The encodings, [batch, boxes, 4], are y, x, height and width in relation to the box's anchor, whose
        corners y1, x1, y2 and x2 are fractions of the picture.
        """
        constants = self._graph.constants
        anchors = constants["Postprocessor/ExpandDims"][0].T[[1, 0, 3, 2]] * np.float32(SIDE)
        sizes = anchors[2:] - anchors[:2]
        centres = anchors[:2] + sizes / 2
        columns = self.add("Transpose", encodings, perm=[0, 2, 1])
        moved = self.add("Gather", columns, self.constant(np.array([1, 0])), axis=1)
        stretched = self.add("Gather", columns, self.constant(np.array([3, 2])), axis=1)
        step = sizes * constants["ConstantFolding/Postprocessor/Decode/div_recip"]
        scale = constants["ConstantFolding/Postprocessor/Decode/div_2_recip"]
        factor = self.add("Exp", self.add("Mul", stretched, self.constant(scale)))
        return self.add(
            "Concat",
            self.add("Add", self.add("Mul", moved, self.constant(step)), self.constant(centres)),
            self.add("Mul", factor, self.constant(sizes)),
            axis=1,
        )

    def converted(self, name: str) -> str:
        """Return the name of what the node of this name gives, after writing what it needs."""
        if name not in self._names:
            node = self._graph.nodes[name]
            write: Callable[[dict[str, Any]], str] = getattr(self, f"_{node['op'].lower()}")
            self._names[name] = write(node)
        return self._names[name]

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Write a node, and return the name of its output."""
        name = output or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Array | np.float32) -> str:
        """Write a constant, and return its name."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _conv2d(self, node: dict[str, Any]) -> str:
        weights = self._graph.constants[node["input"][1]].transpose(3, 2, 0, 1)
        return self._convolution(node, weights, 1)

    def _depthwiseconv2dnative(self, node: dict[str, Any]) -> str:
        weights = self._graph.constants[node["input"][1]].transpose(2, 3, 0, 1)
        return self._convolution(node, weights, len(weights))

    def _convolution(self, node: dict[str, Any], weights: Array, groups: int) -> str:
        """Weights are stored in half precision, which makes the file half as large."""
        strides = list(map(int, node["attr"]["strides"]["list"]["i"][1:3]))
        stored = self.constant(weights.astype(np.float16))
        return self.add(
            "Conv",
            self.converted(node["input"][0]),
            self.add("Cast", stored, to=TensorProto.FLOAT),
            auto_pad="SAME_UPPER",
            group=groups,
            strides=strides,
        )

    def _relu6(self, node: dict[str, Any]) -> str:
        limits = self.constant(np.float32(0)), self.constant(np.float32(6))
        return self.add("Clip", self.converted(node["input"][0]), *limits)

    def _add(self, node: dict[str, Any]) -> str:
        return self.add("Add", *map(self._operand, node["input"]))

    def _mul(self, node: dict[str, Any]) -> str:
        return self.add("Mul", *map(self._operand, node["input"]))

    _addn = _biasadd = _add

    def _operand(self, name: str) -> str:
        """Return what a node gives, or a constant with one value for each channel."""
        values = self._graph.constants.get(name)
        return self.converted(name) if values is None else self.constant(values.reshape(-1, 1, 1))

    def _fusedbatchnorm(self, node: dict[str, Any]) -> str:
        scale, offset, mean, variance = [self._graph.constants[name] for name in node["input"][1:]]
        factor = scale / np.sqrt(variance + np.float32(node["attr"]["epsilon"]["f"]))
        scaled = self.add("Mul", self.converted(node["input"][0]), self.constant(factor.reshape(-1, 1, 1)))
        return self.add("Add", scaled, self.constant((offset - mean * factor).reshape(-1, 1, 1)))

    def _reshape(self, node: dict[str, Any]) -> str:
        """Write the reshaping of a predictor's output to [batch, boxes, values of each]."""
        values = CLASSES if "Reshape_1" in node["name"] else 4
        last = self.add("Transpose", self.converted(node["input"][0]), perm=[0, 2, 3, 1])
        return self.add("Reshape", last, self.constant(np.array([0, -1, values])))

    def _concatv2(self, node: dict[str, Any]) -> str:
        return self.add("Concat", *map(self.converted, node["input"][:-1]), axis=1)

    def _model(self, classes: int) -> ModelProto:
        boxes = self._graph.constants["Postprocessor/ExpandDims"].shape[1]
        graph = helper.make_graph(
            self._nodes,
            "ssdlite_mobilenet_v2_coco",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
            [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 4 + classes, boxes])],
            self._constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        names = dict(enumerate(COCO_LABELS))
        helper.set_model_props(model, {"task": "detect", "names": str(names), "imgsz": str([SIDE, SIDE])})
        checker.check_model(model)
        return model

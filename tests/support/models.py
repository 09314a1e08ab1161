"""Small ONNX models in the layouts of the YOLO family, whose answers can be worked out from the picture.

Each looks through windows of 32×32 pixels, 8 apart. Class 0, `bright`, scores a window's mean brightness,
0 to 1; class 1, `red`, how much redder than green and blue it is. A window's box is the window itself, so
that a white square of 32 pixels at a multiple of 8 is found exactly, with confidence 1.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import parser
from onnxruntime.quantization import CalibrationDataReader, quantize_static

NAMES = "{0: 'bright', 1: 'red'}"  # as Ultralytics writes them

Size = tuple[int, int]  # height, width

# scores [N, 2, windows]; centres, corners [N, 4, windows]; ones [N, 1, windows]
_WINDOWS = """
    zero = Constant <value = float {0.0}> ()
    half = Constant <value = float {0.5}> ()
    one = Constant <value = float {1.0}> ()
    step = Constant <value = float {8.0}> ()
    side = Constant <value = float {32.0}> ()
    down = Constant <value = int64 {2}> ()
    across = Constant <value = int64 {3}> ()
    rows_of_1 = Constant <value = int64[3] {0, 1, -1}> ()
    rows_of_2 = Constant <value = int64[3] {0, 2, -1}> ()
    rows_of_4 = Constant <value = int64[3] {0, 4, -1}> ()

    means = AveragePool <kernel_shape = [32, 32], strides = [8, 8]> (images)
    looks = Conv (means, weights)
    clipped = Clip (looks, zero, one)
    scores = Reshape (clipped, rows_of_2)

    plane = ReduceMax <axes = [1], keepdims = 1> (clipped)
    nothing = Mul (plane, zero)
    ones_plane = Add (nothing, one)
    ones = Reshape (ones_plane, rows_of_1)
    column = CumSum <exclusive = 1> (ones_plane, across)
    row = CumSum <exclusive = 1> (ones_plane, down)
    x1 = Mul (column, step)
    y1 = Mul (row, step)
    x2 = Add (x1, side)
    y2 = Add (y1, side)
    corner_planes = Concat <axis = 1> (x1, y1, x2, y2)
    corners = Reshape (corner_planes, rows_of_4)
    extent = Mul (ones_plane, side)
    radius = Mul (half, side)
    x = Add (x1, radius)
    y = Add (y1, radius)
    centre_planes = Concat <axis = 1> (x, y, extent, extent)
    centres = Reshape (centre_planes, rows_of_4)
"""


def yolov8(path: Path, size: Size | None = (640, 640), metadata: Mapping[str, str] | None = None) -> Path:
    """[N, 4 + classes, windows]: centre, size and class scores. `size` None: any size is taken."""
    return _save(path, size, metadata, "N, 6, M", "output0 = Concat <axis = 1> (centres, scores)")


def yolov5(path: Path, size: Size | None = (640, 640), metadata: Mapping[str, str] | None = None) -> Path:
    """[N, boxes, 5 + classes]: each window's objectness is 0.5, which halves what its classes score.

    Rows of zeros follow, up to three boxes for each cell of grids with the strides 8, 16 and 32.
    """
    steps = """
        objectness = Mul (ones, half)
        columns = Concat <axis = 1> (centres, objectness, scores)
        rows = Transpose <perm = [0, 2, 1]> (columns)
        area = Size (images)
        of_area = Constant <value = int64[1] {21}> ()
        by_area = Constant <value = int64[1] {1024}> ()
        boxes_of_area = Mul (area, of_area)
        boxes = Div (boxes_of_area, by_area)
        second = Constant <value = int64[1] {1}> ()
        third = Constant <value = int64[1] {2}> ()
        shape = Shape (rows)
        windows_only = Slice (shape, second, third)
        missing = Sub (boxes, windows_only)
        before = Constant <value = int64[4] {0, 0, 0, 0}> ()
        after = Constant <value = int64[1] {0}> ()
        pads = Concat <axis = 0> (before, missing, after)
        output0 = Pad (rows, pads)
    """
    return _save(path, size, metadata, "N, M, 7", steps)


def end_to_end(path: Path, size: Size | None = (640, 640), metadata: Mapping[str, str] | None = None) -> Path:
    """[N, 5, 6]: corners, score and class of the five brightest windows, as if suppression had been done."""
    steps = """
        first = Constant <value = int64[1] {0}> ()
        second = Constant <value = int64[1] {1}> ()
        five = Constant <value = int64[1] {5}> ()
        four_rows = Constant <value = int64[3] {1, 4, 1}> ()
        bright = Slice (scores, first, second, second)
        best, places = TopK <axis = 2> (bright, five)
        places_4 = Expand (places, four_rows)
        best_corners = GatherElements <axis = 2> (corners, places_4)
        class = Mul (best, zero)
        rows = Concat <axis = 1> (best_corners, best, class)
        output0 = Transpose <perm = [0, 2, 1]> (rows)
    """
    return _save(path, size, metadata, "N, 5, 6", steps)


def quantized(path: Path, metadata: Mapping[str, str] | None = None) -> Path:
    """A yolov8 whose convolution is of 8-bit integers, as ONNX Runtime's own tool makes one."""
    whole = yolov8(path.with_stem("whole"), (640, 640), metadata)
    half_white = np.zeros((1, 3, 640, 640), np.float32)
    half_white[..., :320] = 1
    pictures = iter([{"images": half_white}])

    class Pictures(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(pictures, None)

    quantize_static(whole, path, Pictures(), op_types_to_quantize=["Conv"])
    return path


def rigid(path: Path, metadata: Mapping[str, str] | None = None) -> Path:
    """A yolov8 that declares to take any size, and fails on all but 640×640."""
    steps = """
        shape = Constant <value = int64[3] {1, 1, 5929}> ()
        one_size = ConstantOfShape (shape)
        flexible = Concat <axis = 1> (centres, scores)
        output0 = Add (flexible, one_size)
    """
    return _save(path, None, metadata, "N, 6, M", steps)


def classifier(path: Path, size: Size = (224, 224)) -> Path:
    """Write a classifier: it outputs [N, classes] and no boxes."""
    return _save(path, size, None, "N, 2", "output0 = ReduceMax <axes = [2], keepdims = 0> (scores)")


def two_inputs(path: Path) -> Path:
    """A network that wants more than a picture."""
    return _write(path, "add (float[1,3,8,8] a, float[1,3,8,8] b) => (float[1,3,8,8] c) { c = Add (a, b) }")


def rows_of_all(path: Path) -> Path:
    """A network that returns the rows of all pictures after each other, as one with suppression inside."""
    graph = "rows (float[N, 4, 2] images) => (float[rows, 2] output0) {"
    steps = " shape = Constant <value = int64[2] {-1, 2}> () output0 = Reshape (images, shape) }"
    return _write(path, graph + steps)


def taking(path: Path, declared: str) -> Path:
    """A network with an input of this type and shape, such as `float16[1,3,8,8]`."""
    return _write(path, f"same ({declared} images) => ({declared} c) {{ c = Identity (images) }}")


def answering(
    path: Path,
    outputs: Mapping[str, NDArray[np.generic]],
    size: Size = (640, 640),
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A network that gives the same outputs for every picture."""
    images = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, *size])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", [f"{name}_value"], [name]) for name in outputs],
        "answering",
        [images],
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(values.dtype), values.shape
            )
            for name, values in outputs.items()
        ],
        [onnx.numpy_helper.from_array(values, f"{name}_value") for name, values in outputs.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    return _finish(path, onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), metadata)


def of_version(path: Path, *, ir: int = 8, opset: int = 17, operation: str = "Identity") -> Path:
    """A network of another version of ONNX, or with another operation, which nothing checks."""
    graph = f"same (float[1,3,8,8] images) => (float[1,3,8,8] c) {{ c = {operation} (images) }}"
    opsets = f'"": {opset}, "TRT": 1, "custom": 1'
    model = parser.parse_model(f"<ir_version: {ir}, opset_import: [{opsets}]> {graph}")
    path.write_bytes(model.SerializeToString())
    return path


def outside_weights(path: Path, location: str) -> Path:
    """A yolov8 that takes its weights from the first bytes of the file `location`."""
    model = onnx.load(yolov8(path, (64, 64)))
    (weights,) = model.graph.initializer
    weights.ClearField("float_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "24")):
        weights.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def not_a_model(path: Path) -> Path:
    """A text file under a model's name."""
    path.write_text("This is no model.\n" * 20)
    return path


def _save(path: Path, size: Size | None, metadata: Mapping[str, str] | None, output: str, steps: str) -> Path:
    height, width = size or ("H", "W")
    batch = "1" if size else "N"
    graph = f"""
        windows (float[{batch}, 3, {height}, {width}] images) => (float[{output}] output0)
        <float[2, 3, 1, 1] weights = {{0.3333333, 0.3333333, 0.3333333, 1.0, -0.5, -0.5}}>
        {{ {_WINDOWS} {steps} }}
    """
    return _write(path, graph, metadata)


def _write(path: Path, graph: str, metadata: Mapping[str, str] | None = None) -> Path:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {graph}')
    onnx.checker.check_model(model, full_check=True)
    return _finish(path, model, metadata)


def _finish(path: Path, model: onnx.ModelProto, metadata: Mapping[str, str] | None) -> Path:
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def taking_otherwise(
    path: Path, dtype: str = "float32", *, is_channels_last: bool = False, batch: int = 1
) -> Path:
    """A yolov8 of 640×640 with another input: uint8 is 0 to 255, and outputs of float16 are that, too."""
    model = onnx.load(yolov8(path))
    graph = model.graph
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    shape = [batch, 640, 640, 3] if is_channels_last else [batch, 3, 640, 640]
    steps = [onnx.helper.make_node("Cast", ["given"], ["whole"], to=onnx.TensorProto.FLOAT)]
    last = "whole"
    if dtype == "uint8":
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(1 / 255, np.float32), "level"))
        steps.append(onnx.helper.make_node("Mul", [last, "level"], ["scaled"]))
        last = "scaled"
    permutation = [0, 3, 1, 2] if is_channels_last else [0, 1, 2, 3]
    steps.append(onnx.helper.make_node("Transpose", [last], ["images"], perm=permutation))
    nodes = [*steps, *graph.node]
    output, output_kind = "output0", onnx.TensorProto.FLOAT
    if dtype == "float16":
        output, output_kind = "half_output", kind
        nodes.append(onnx.helper.make_node("Cast", ["output0"], [output], to=kind))
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.append(onnx.helper.make_tensor_value_info("given", kind, shape))
    graph.output.append(onnx.helper.make_tensor_value_info(output, output_kind, [batch, 6, "M"]))
    return _finish(path, model, {"names": NAMES})


def with_input(path: Path, name: str, shape: Sequence[int]) -> Path:
    """Add an input of int64 to a model of `answering`, with which its first output is multiplied."""
    model = onnx.load(path)
    graph = model.graph
    graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, shape))
    first = graph.output[0].name
    graph.node[0].output[0] = "unscaled"
    graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(len(shape), np.int64), "begin"))
    graph.initializer.append(onnx.numpy_helper.from_array(np.ones(len(shape), np.int64), "end"))
    graph.node.extend(
        [
            onnx.helper.make_node("Slice", [name, "begin", "end"], ["one"]),
            onnx.helper.make_node("Cast", ["one"], ["factor"], to=onnx.TensorProto.FLOAT),
            onnx.helper.make_node("Reshape", ["factor", "single"], ["scalar"]),
            onnx.helper.make_node("Mul", ["unscaled", "scalar"], [first]),
        ]
    )
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "single"))
    path.write_bytes(model.SerializeToString())
    return path

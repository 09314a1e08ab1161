"""A detection network in an ONNX file: its input, its labels and the layout of its output."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base import DetectorError, clean_label
from .yolo import layout_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Floats = NDArray[np.float32]

DEFAULT_SIDE = 640  # pixels
LARGEST_SIDE = 4096  # pixels
STRIDE = 32
LARGEST_METADATA = 1_000_000  # characters of one entry


class Model:
    """Finds boxes in RGB pictures of shape (3, height, width), 0 to 1. Threads may share it.

    `height` and `width` are the input's. If `has_dynamic_shape`, it also takes smaller sides, in multiples of
    `stride`.
    """

    def __init__(self, session: "InferenceSession", digest: str) -> None:
        """Find out what the network takes and gives. `digest` is the file's SHA-256.

        Raises:
            DetectorError: it is not a detection network of a known layout
        """
        metadata = session.get_modelmeta().custom_metadata_map
        if (task := metadata.get("task", "detect")) not in ("detect", "segment", "pose"):
            raise DetectorError(f"It was made to {task}. Export a detection model.")
        self._session = session
        self.digest = digest
        self._input, sides = _input(session)
        self._output = session.get_outputs()[0].name
        self.labels = _labels(metadata)
        self.stride = max(STRIDE, _stride(metadata))
        self.height, self.width = (
            side or -(-wanted // self.stride) * self.stride
            for side, wanted in zip(sides, _sizes(metadata), strict=True)
        )
        if max(self.height, self.width) > LARGEST_SIDE:
            raise DetectorError(
                f"Its input is {self.width}×{self.height}, more than {LARGEST_SIDE}. Export a smaller one."
            )
        try:
            output = self.infer(np.zeros((1, 3, self.height, self.width), np.float32))
        except Exception as error:
            raise DetectorError(f"It fails on an empty picture: {_reason(error)}") from error
        self.layout = layout_of(
            output.shape, self.height, self.width, len(self.labels), has_extras=task != "detect"
        )
        self.has_dynamic_shape = sides == (None, None) and self._takes_half_the_height()

    def infer(self, pictures: Floats) -> Floats:
        """Return the output for pictures of shape (batch, 3, height, width): (batch, …), in `layout`."""
        output: Floats = self._session.run([self._output], {self._input: pictures})[0]
        return output

    def label(self, number: int) -> str:
        """Return the name of the class with this number."""
        return self.labels.get(number, f"class:{number}")

    def _takes_half_the_height(self) -> bool:
        """Try a smaller input: some networks declare dynamic axes, but were exported for one size."""
        half = -(-self.height // 2 // self.stride) * self.stride
        try:
            self.infer(np.zeros((1, 3, half, self.width), np.float32))
        except Exception:
            return False
        return True


def open_session(path: Path) -> "InferenceSession":
    """Return a session that computes in the thread that calls it.

    Raises:
        DetectorError: the file is not an ONNX model, or ONNX Runtime is not installed
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise DetectorError("ONNX Runtime is not installed: run pip install onnxruntime.") from error
    options = onnxruntime.SessionOptions()
    # Several threads share a session and compute alone: twice as fast (measured) as one thread with helpers.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.log_severity_level = 4  # errors come as exceptions, with the same text
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DetectorError(f"It cannot be loaded as an ONNX model: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return ONNX Runtime's message as one line, without paths of this machine.

    Its exceptions have no base class of their own.
    """
    message = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip().partition("\n")[0])
    return re.sub(r"(?<![\w.])/[^\s\"']+", "…", message)


def _input(session: "InferenceSession") -> tuple[str, tuple[int | None, int | None]]:
    """Return the input's name, height and width; a side is None if it is dynamic."""
    inputs = session.get_inputs()
    if len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) == 4:
        batch, channels, height, width = (
            side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape
        )
        if batch in (1, None) and channels in (3, None):
            return inputs[0].name, (height, width)
    takes = " and ".join(f"{each.type} {each.shape}" for each in inputs) or "nothing"
    raise DetectorError(
        f"It takes {takes}, not one picture. Export it with an input of float32 [1, 3, height, width]."
    )


def _labels(metadata: Mapping[str, str]) -> dict[int, str]:
    """Return class names from the entry `names`, a mapping or a list as Python or JSON writes it."""
    names = _literal(metadata, "names")
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        return {}
    return {int(number): clean_label(str(name)) for number, name in names.items() if str(number).isdecimal()}


def _sizes(metadata: Mapping[str, str]) -> tuple[int, int]:
    """Return height and width from the entry `imgsz`, a number or a pair."""
    size = _literal(metadata, "imgsz")
    pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(pair) == 2 and all(isinstance(side, int) and side > 0 for side in pair):
        return pair
    return DEFAULT_SIDE, DEFAULT_SIDE


def _stride(metadata: Mapping[str, str]) -> int:
    """Return the number that divides each side, from the entry `stride`; 0 if there is none."""
    stride = _literal(metadata, "stride")
    return stride if isinstance(stride, int) and stride <= LARGEST_SIDE else 0


def _literal(metadata: Mapping[str, str], key: str) -> object:
    """Return the entry's value, None if it cannot be read: models come from anywhere."""
    text = metadata.get(key, "")
    if len(text) > LARGEST_METADATA:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None

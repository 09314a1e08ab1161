"""Model files: found below the model root, loaded once, and shared by every run of this process."""

import ast
import re
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from ..base import DetectorError, clean_label
from .yolo import layout_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Floats = NDArray[np.float32]

DEFAULT_SIDE = 640
LARGEST_SIDE = 4096
STRIDE = 32
LARGEST_FILE = 2**31 - 1  # bytes: no ONNX message is larger
LARGEST_METADATA = 1_000_000  # characters of one entry

_models: "WeakValueDictionary[tuple[Path, int, int], Model]" = WeakValueDictionary()
_recent: "deque[Model]" = deque(maxlen=2)
"""Kept though nothing uses them: to load a model takes longer than a short clip."""

_loading = Lock()


def load_model(root: Path, name: str) -> "Model":
    """The model in the file `name` below `root`. It is not loaded again while anything holds it, nor where it
    is one of the two that were used last.

    Raises DetectorError where there is no such file, or where it is no model that can be used.
    """
    path = _below(root, name)
    status = path.stat()
    key = (path, status.st_mtime_ns, status.st_size)
    with _loading:
        model = _models.get(key)
        if model is None:
            try:
                if status.st_size > LARGEST_FILE:
                    raise DetectorError("It is larger than 2 GiB.")
                model = _models[key] = Model(_session(path))
            except DetectorError as error:
                raise DetectorError(f"The model {name!r} cannot be used. {error}") from error.__cause__
        if model in _recent:
            _recent.remove(model)
        _recent.append(model)
        return model


class Model:
    """A network that takes RGB pictures, 0 to 1, planes first, and finds boxes. Threads may share it.

    `height` and `width` are its input's. An `elastic` one takes smaller sides as well, in multiples of
    `stride`.
    """

    def __init__(self, session: "InferenceSession") -> None:
        """Raises DetectorError where the network is no detection network of a known layout."""
        metadata = session.get_modelmeta().custom_metadata_map
        if (task := metadata.get("task", "detect")) not in ("detect", "segment", "pose"):
            raise DetectorError(f"It is made to {task}: export a detection model.")
        self._session = session
        self._input, sides = _input(session)
        self._output = session.get_outputs()[0].name
        self.labels = _labels(metadata)
        self.stride = max(STRIDE, _stride(metadata))
        self.height, self.width = (
            side or -(-wanted // self.stride) * self.stride
            for side, wanted in zip(sides, _sizes(metadata), strict=True)
        )
        if max(self.height, self.width) > LARGEST_SIDE:
            raise DetectorError(f"It takes pictures of {self.width}×{self.height}: export a smaller one.")
        try:
            answer = self.infer(np.zeros((1, 3, self.height, self.width), np.float32))
        except Exception as error:
            raise DetectorError(f"It fails on an empty picture: {_reason(error)}") from error
        more = task != "detect"
        self.layout = layout_of(answer.shape, self.height, self.width, len(self.labels), more=more)
        self.elastic = sides == (None, None) and self._takes_half_the_height()

    def infer(self, pictures: Floats) -> Floats:
        """The answer to a batch of shape (batch, 3, height, width): (batch, …), each in `layout`."""
        answer: Floats = self._session.run([self._output], {self._input: pictures})[0]
        return answer

    def label(self, number: int) -> str:
        """What the class with this number is called."""
        return self.labels.get(number, f"class:{number}")

    def _takes_half_the_height(self) -> bool:
        """Some networks that declare to take any size were exported with one inside."""
        half = -(-self.height // 2 // self.stride) * self.stride
        try:
            self.infer(np.zeros((1, 3, half, self.width), np.float32))
        except Exception:
            return False
        return True


def _below(root: Path, name: str) -> Path:
    """The file `name` names, with every link followed. Raises DetectorError where it is not below `root`."""
    asked = Path(name)
    outside = DetectorError(f"The model {name!r} lies outside the model folder (VA_MODEL_ROOT).")
    if asked.is_absolute() or ".." in asked.parts:
        raise outside
    try:
        path = (root / asked).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise _missing(name) from error
    if not path.is_relative_to(root.resolve()):
        raise outside
    if not path.is_file():
        raise _missing(name)
    return path


def _missing(name: str) -> DetectorError:
    return DetectorError(
        f"There is no model {name!r} in the model folder (VA_MODEL_ROOT): put the file there."
    )


def _session(path: Path) -> "InferenceSession":
    """A session that runs in the thread that calls it. Raises DetectorError where `path` is no model."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DetectorError("ONNX Runtime is not installed: install videoanalysis[onnx].") from error
    options = onnxruntime.SessionOptions()
    # Several threads share a session, each computing alone: twice the work of one thread helped by another.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.log_severity_level = 4  # what goes wrong comes as an exception, which says it already
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DetectorError(f"It is no ONNX model that can be loaded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """One line of what ONNX Runtime said, whose exceptions share no base, without this machine's paths."""
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip().partition("\n")[0])
    return re.sub(r"(?<![\w.])/[^\s\"']+", "…", said)


def _input(session: "InferenceSession") -> tuple[str, tuple[int | None, int | None]]:
    """The input's name, and its height and width, None where any is taken."""
    inputs = session.get_inputs()
    if len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) == 4:
        batch, channels, height, width = (
            side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape
        )
        if batch in (1, None) and channels in (3, None):
            return inputs[0].name, (height, width)
    takes = " and ".join(f"{each.type} {each.shape}" for each in inputs) or "nothing"
    raise DetectorError(f"It takes {takes}, not one picture: export it with an input [1, 3, height, width].")


def _labels(metadata: Mapping[str, str]) -> dict[int, str]:
    """Class names from the entry `names`, a mapping or a list in Python's or JSON's spelling."""
    names = _literal(metadata, "names")
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        return {}
    return {int(number): clean_label(str(name)) for number, name in names.items() if str(number).isdecimal()}


def _sizes(metadata: Mapping[str, str]) -> tuple[int, int]:
    """Height and width from the entry `imgsz`, a number or a pair."""
    size = _literal(metadata, "imgsz")
    pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(pair) == 2 and all(isinstance(side, int) and side > 0 for side in pair):
        return pair
    return DEFAULT_SIDE, DEFAULT_SIDE


def _stride(metadata: Mapping[str, str]) -> int:
    """What the sides must be multiples of, from the entry `stride`; 0 where it does not say."""
    stride = _literal(metadata, "stride")
    return stride if isinstance(stride, int) and stride <= LARGEST_SIDE else 0


def _literal(metadata: Mapping[str, str], key: str) -> object:
    """The entry's value, None where it is none: models come from anywhere."""
    text = metadata.get(key, "")
    if len(text) > LARGEST_METADATA:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None

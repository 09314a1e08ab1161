"""Load an ONNX file into ONNX Runtime, or say in plain words why it cannot be loaded."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..base import DetectorError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# The first bytes of files that people name .onnx, and what they are.
_OTHER_FORMATS = {
    b"PK\x03\x04": "a PyTorch file (or another ZIP archive)",
    b"\x80\x02": "a PyTorch file",
    b"version https://git-lfs": "a Git LFS pointer (run git lfs pull)",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML file, as OpenVINO writes it",
    b"\x89HDF\r\n": "a Keras file (HDF5)",
    b"ORTM": "a model in ONNX Runtime's own format",
}
_MAGIC = 32  # bytes

# In ONNX Runtime's messages, and what to tell instead.
_EXPLAINED = {
    r"Unsupported model IR version: (\d+), max supported IR version: (\d+)": (
        "It has version {} of ONNX's file format (IR), and this ONNX Runtime reads at most {}."
        " Export it with an older onnx package, or update onnxruntime."
    ),
    r"Opset (\d+) is under development.* for domain ai\.onnx is till opset (\d+)": (
        "It has opset {}, and this ONNX Runtime knows at most {}."
        " Export it with opset=17, or update onnxruntime."
    ),
    r"EfficientNMS_TRT|BatchedNMS\w*_TRT|TRT:(?:\w+_TRT)": (
        "Its non-maximum suppression is for TensorRT alone. Export it without it:"
        " YOLOv7's export.py without --end2end and with --grid."
    ),
    r"(?:error: |: )([\w.:]+)\(-?\d+\) is not a registered function/op": (
        "It has the operation {}, which ONNX Runtime does not know. Export it with standard operations."
    ),
    r"External data path does not exist: \"(?:.*/)?([^/\"]+)\"": (
        "Its weights are in the file {!r}, which is missing. Put it beside the model."
    ),
    r"Protobuf parsing failed|No graph was found": (
        "It cannot be loaded as an ONNX model: the file is damaged, incomplete or of another format."
        " Copy or export it again."
    ),
}


def open_session(path: Path, weights: Mapping[str, bytes]) -> "InferenceSession":
    """Return a session that computes in the thread that calls it.

    `weights` are the contents of the files beside it that it names.

    Raises:
        DetectorError: the file is not an ONNX model, or ONNX Runtime is not installed
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise DetectorError("ONNX Runtime is not installed: run pip install onnxruntime.") from error
    _check_format(path)
    options = onnxruntime.SessionOptions()
    # Several threads share a session and compute alone: twice as fast (measured) as one thread with helpers.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.log_severity_level = 4  # errors come as exceptions, with the same text
    if weights:
        options.add_external_initializers_from_files_in_memory(
            list(weights), list(weights.values()), [len(content) for content in weights.values()]
        )
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DetectorError(_explain(error)) from error


def reason(error: Exception) -> str:
    """Return ONNX Runtime's message as one line, without paths of this machine.

    Its exceptions have no base class of their own.
    """
    message = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip().partition("\n")[0])
    return re.sub(r"(?<![\w.])/[^\s\"']+", "…", message)


def _check_format(path: Path) -> None:
    """Raise DetectorError if the file's first bytes are those of another format."""
    with path.open("rb") as file:
        begin = file.read(_MAGIC)
    if not begin:
        raise DetectorError("It cannot be loaded as an ONNX model: the file is empty. Copy it again.")
    kinds = [kind for magic, kind in _OTHER_FORMATS.items() if begin.startswith(magic)]
    if begin[4:8] == b"TFL3":
        kinds = ["a TensorFlow Lite file"]
    if kinds:
        raise DetectorError(
            f"It is {kinds[0]}, not an ONNX model. Export it to ONNX,"
            " for YOLO with: yolo export model=weights.pt format=onnx."
        )


def _explain(error: Exception) -> str:
    for pattern, text in _EXPLAINED.items():
        if found := re.search(pattern, str(error)):
            return text.format(*found.groups())
    return f"It cannot be loaded as an ONNX model: {reason(error)}"

"""ONNX Runtime, with the providers that it has; or in plain words why it cannot load a file."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base import DetectorError
from .session import Array, BackendError, InferenceError, Precision, TensorSpec

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


_PACKAGES = {"cuda": " (onnxruntime-gpu)", "tensorrt": " (onnxruntime-gpu, with TensorRT)"}
_PROVIDERS = {
    "onnxruntime": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
_TYPES = {"float": "float32", "double": "float64", "string": "object"}  # where NumPy has another name

# A network that returns its input, a float32: to see at the start whether a provider works here.
_PROBE = (
    b'\x08\x08:/\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0b\n\x01x\x12\x06\n\x04\x08\x01\x12\x00'
    b"b\x0b\n\x01y\x12\x06\n\x04\x08\x01\x12\x00B\x04\n\x00\x10\x11"
)


class OnnxRuntime:
    """ONNX Runtime with the execution provider that the user chose."""

    def __init__(self, name: str = "onnxruntime", precision: Precision = "fp32") -> None:
        """Check that this ONNX Runtime has the provider, and that it works on this machine.

        Raises:
            BackendError: it does not, or does not compute with this precision
        """
        self.name = name
        self.precision: str = precision
        self._providers = _providers(name, precision)
        if name != "onnxruntime":
            self._check()

    def open(self, path: Path, weights: Mapping[str, bytes]) -> "OnnxRuntimeSession":
        check_format(path)
        session = load(path, weights, self._providers)
        if session.get_providers()[0] != _PROVIDERS[self.name]:
            raise DetectorError(f"ONNX Runtime cannot compute it with {self.name}: see its log.")
        return OnnxRuntimeSession(session, self)

    def _check(self) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError(
                f"VA_INFERENCE={self.name} needs ONNX Runtime, which is not installed"
            ) from error
        provider = _PROVIDERS[self.name]
        if provider not in onnxruntime.get_available_providers():
            raise BackendError(
                f"VA_INFERENCE={self.name} is not possible: this ONNX Runtime has no {provider}."
                f" Install one that has it{_PACKAGES.get(self.name, '')}, or leave VA_INFERENCE out"
            )
        try:
            session = load(_PROBE, {}, self._providers)
            is_used = session.get_providers()[0] == provider
            if is_used:
                OnnxRuntimeSession(session, self).run({"x": np.zeros((), np.float32)})
        except (DetectorError, InferenceError) as error:
            raise BackendError(f"VA_INFERENCE={self.name} does not work here: {error}") from error
        if not is_used:  # ONNX Runtime falls back to the processor
            raise BackendError(
                f"VA_INFERENCE={self.name} does not work here: ONNX Runtime has {provider}"
                " but cannot start it. Check the driver and its libraries"
            )


class OnnxRuntimeSession:
    """A session that computes in the thread that calls it."""

    def __init__(self, session: "InferenceSession", backend: OnnxRuntime) -> None:
        self._session = session
        self.backend = backend.name
        self.precision = backend.precision
        self.inputs, self.outputs, self.metadata = describe(session)

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Any]:
        try:
            values: list[Any] = self._session.run(outputs, feeds)
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            raise InferenceError(_reason(error)) from error
        return values


def load(
    model: Path | bytes, weights: Mapping[str, bytes], providers: Sequence[object]
) -> "InferenceSession":
    """Return ONNX Runtime's own session for an ONNX file or its content.

    Raises:
        DetectorError: it is not an ONNX model, or ONNX Runtime is not installed
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
    if weights:
        options.add_external_initializers_from_files_in_memory(
            list(weights), list(weights.values()), [len(content) for content in weights.values()]
        )
    try:
        return onnxruntime.InferenceSession(model, options, providers=list(providers))
    except Exception as error:
        raise DetectorError(_explain(error)) from error


def describe(
    session: "InferenceSession",
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...], Mapping[str, str]]:
    """Return a session's inputs, outputs and metadata."""
    inputs, outputs = (
        tuple(TensorSpec(each.name, _dtype(each.type), tuple(each.shape or ())) for each in declared)
        for declared in (session.get_inputs(), session.get_outputs())
    )
    return inputs, outputs, session.get_modelmeta().custom_metadata_map


def _providers(name: str, precision: Precision) -> list[object]:
    """Return the providers in ONNX Runtime's form, the wanted one first.

    Raises:
        BackendError: the provider does not compute with this precision
    """
    options: dict[str, str] = {}
    if name == "cuda":
        options = {"use_tf32": "0"}  # TensorFloat-32 has 10 bits of a number's 23
    elif name == "tensorrt" and precision != "fp32":
        options = {f"trt_{precision}_enable": "1"}
    if precision != "fp32" and name != "tensorrt":
        raise BackendError(
            f"VA_INFERENCE_PRECISION={precision} is not possible with VA_INFERENCE={name}:"
            " it computes in fp32. Convert the model, or use openvino or tensorrt"
        )
    chosen = (_PROVIDERS[name], options) if options else _PROVIDERS[name]
    return [chosen] if name == "onnxruntime" else [chosen, "CPUExecutionProvider"]


def _dtype(declared: str) -> str:
    """Return NumPy's name for a type like `tensor(float)`."""
    if not declared.startswith("tensor("):
        return declared
    kind = declared.removeprefix("tensor(").removesuffix(")")
    return _TYPES.get(kind, kind)


def _reason(error: Exception) -> str:
    """Return ONNX Runtime's message as one line, without paths of this machine."""
    message = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip().partition("\n")[0])
    return re.sub(r"(?<![\w.])/[^\s\"']+", "…", message)


def check_format(path: Path) -> None:
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
    return f"It cannot be loaded as an ONNX model: {_reason(error)}"

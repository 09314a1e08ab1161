"""Choose the inference backend that VA_INFERENCE names."""

import structlog

from .onnx_runtime import OnnxRuntime
from .openvino import OpenVino
from .remote import RemoteBackend
from .session import Backend, BackendError, Precision

log = structlog.get_logger()


def make_backend(name: str, precision: Precision, cores: int) -> Backend:
    """Return the backend `name`.

    It is `onnxruntime`, `openvino[:device]`, `remote`, `cuda`, `tensorrt` or `coreml`.
    `cores` are those that this process may use. Call it in a thread: it may load large libraries.

    Raises:
        BackendError: it cannot be used on this machine
    """
    if name == "remote":
        return RemoteBackend()
    kind, _, device = name.partition(":")
    if kind == "openvino":
        return OpenVino(device.upper() or "CPU", precision, cores)
    return OnnxRuntime(name, precision)


def make_local_backend(name: str, precision: Precision, cores: int) -> Backend:
    """Return the backend `name`, or ONNX Runtime if this process itself cannot compute with it.

    It is for showing and trying models: runners may have what this process has not. Call it in a thread.
    """
    if name == "remote":
        return OnnxRuntime()
    try:
        return make_backend(name, precision, cores)
    except BackendError as error:
        log.warning("models are tried with onnxruntime", reason=str(error))
        return OnnxRuntime()

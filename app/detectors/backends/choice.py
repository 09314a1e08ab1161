"""Choose the inference backend that VA_INFERENCE names."""

from .onnx_runtime import OnnxRuntime
from .openvino import OpenVino
from .remote import RemoteBackend
from .session import Backend, Precision


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

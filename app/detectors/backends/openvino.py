"""OpenVINO: faster than ONNX Runtime on Intel's processors, and on their graphics units.

It is an extra: `pip install videoanalysis[openvino]`.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Any

from ...concurrency.threads import DedicatedThread
from ..base import DetectorError
from .onnx_runtime import check_format, describe, load
from .session import Array, BackendError, InferenceError, Precision

if TYPE_CHECKING:
    from openvino import CompiledModel, Core, InferRequest

_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16"}


class OpenVino:
    """OpenVINO on one device, such as `CPU`, `GPU` or `GPU.1`."""

    def __init__(self, device: str, precision: Precision, cores: int) -> None:
        """Check that the device is there and computes with this precision. It uses at most `cores` cores.

        Raises:
            BackendError: OpenVINO is not installed, or it or the device cannot be used
        """
        try:
            import openvino
        except ImportError as error:
            raise BackendError(
                "VA_INFERENCE=openvino needs OpenVINO, which is not installed:"
                f" run {sys.executable} -m pip install openvino, or leave VA_INFERENCE out"
            ) from error
        self._core: Core = openvino.Core()
        self._device = device
        self.name = f"openvino:{device}"
        self.precision: str = precision
        _check_device(self._core, device, precision)
        self._options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
        if device == "CPU":
            # One stream with one thread for each worker: as many as the process may use, not as there are.
            self._options |= {
                "NUM_STREAMS": cores,
                "INFERENCE_NUM_THREADS": cores,
                "ENABLE_CPU_PINNING": False,
            }
        self._core.set_property({"ENABLE_MMAP": False})  # an overwritten file would change a loaded model

    def open(self, path: Path, weights: Mapping[str, bytes]) -> "OpenVinoSession":
        check_format(path)
        # ONNX Runtime says what the file takes and gives, and what is wrong with it, for every backend alike.
        described = load(path, weights, ["CPUExecutionProvider"])
        # OpenVINO's own threads get the niceness of the thread that starts them.
        compile_model = DedicatedThread("compile", self._core.compile_model)
        try:
            compiled = compile_model(str(path), self._device, self._options)
        except RuntimeError as error:
            raise DetectorError(f"OpenVINO cannot compute it on {self._device}: {_reason(error)}") from error
        finally:
            compile_model.close()
        return OpenVinoSession(compiled, described, self)


class OpenVinoSession:
    """A compiled network. Each thread has an inference request of its own."""

    def __init__(self, compiled: "CompiledModel", described: Any, backend: OpenVino) -> None:
        self._compiled = compiled
        self._requests = local()
        self.backend = backend.name
        self.precision = backend.precision
        self.inputs, self.outputs, self.metadata = describe(described)
        self._positions = {tensor.name: place for place, tensor in enumerate(self.outputs)}

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Any]:
        names = [tensor.name for tensor in self.outputs] if outputs is None else outputs
        request = self._request()
        try:
            request.infer(dict(feeds), share_inputs=True)
            return [request.get_output_tensor(self._positions[name]).data.copy() for name in names]
        except (RuntimeError, TypeError, ValueError) as error:
            raise InferenceError(_reason(error)) from error

    def _request(self) -> "InferRequest":
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        request: InferRequest = self._requests.own
        return request


def _check_device(core: "Core", device: str, precision: Precision) -> None:
    known = core.available_devices
    if not any(each == device or each.partition(".")[0] == device for each in known):
        raise BackendError(
            f"VA_INFERENCE=openvino:{device} is not possible: OpenVINO finds {', '.join(known)} here."
            " Name one of these, or install the device's driver"
        )
    capable = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    if _CAPABILITIES[precision] not in capable:
        raise BackendError(
            f"VA_INFERENCE_PRECISION={precision} is not possible: the device {device} does not compute"
            " with it. Leave VA_INFERENCE_PRECISION out"
        )


def _reason(error: Exception) -> str:
    """Return OpenVINO's message as one line; its last line is the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

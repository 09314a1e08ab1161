"""What every inference backend provides: sessions, which compute a network's outputs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct
from numpy.typing import NDArray

Array = NDArray[Any]
Precision = Literal["fp32", "bf16", "fp16"]
"""In what a backend computes the float32 parts of a network: fp32 is what the file says."""


class TensorSpec(Struct, frozen=True):
    """An input or an output of a network.

    `dtype` is NumPy's name, such as `float32`; of an output that is no tensor, it is ONNX Runtime's, such as
    `seq(tensor(float))`. In `shape`, a dynamic axis is its name or None.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


class InferenceError(Exception):
    """A session could not compute. The text is one line without paths of this machine."""


class BackendError(Exception):
    """The backend that VA_INFERENCE names cannot be used. The text tells the user what to do."""


class Session(Protocol):
    """A network that is ready to compute. Threads may share it."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]
    """What the exporter wrote beside the network."""
    backend: str
    precision: str

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Any]:
        """Return the named outputs, or all in their order, for the inputs in `feeds`.

        Raises:
            InferenceError: it cannot compute with these inputs
        """


class Backend(Protocol):
    """Opens sessions. `name` and `precision` are pinned with each scenario and shown."""

    name: str
    precision: str

    def open(self, path: Path, weights: Mapping[str, bytes]) -> Session:
        """Return a session for the ONNX file at `path`.

        `weights` are the contents of the files beside it that it names.

        Raises:
            DetectorError: the file is not an ONNX model, or this backend cannot compute it
        """

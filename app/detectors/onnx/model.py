"""A network in an ONNX file, and how it is read as far as the user states something of it."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from ...domain.model_input import StatedModel
from ..backends.session import Array, InferenceError, TensorSpec
from ..layouts.understanding import UnderstoodModel, understand
from .session import reason

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_TYPES = {"float": "float32", "double": "float64"}  # where NumPy has another name


class Model:
    """A network that is ready to compute. Threads may share it. `digest` is the SHA-256 of its files."""

    def __init__(self, session: "InferenceSession", digest: str) -> None:
        self._session = OrtSession(session)
        self._understood: dict[StatedModel, UnderstoodModel] = {}
        self._trying = Lock()
        self.digest = digest

    def understood(self, stated: StatedModel) -> UnderstoodModel:
        """Return how it is read. It is tried once for all that is stated of it.

        Raises:
            DetectorError: it cannot be read with certainty; the text says what to do
        """
        with self._trying:
            if stated not in self._understood:
                self._understood[stated] = understand(self._session, stated)
            return self._understood[stated]

    def infer(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Any]:
        """Return these outputs for the inputs in `feeds`."""
        return self._session.run(feeds, outputs)


class OrtSession:
    """ONNX Runtime's session as a `Session`."""

    backend = "onnxruntime"
    precision = "fp32"

    def __init__(self, session: "InferenceSession") -> None:
        self._session = session
        self.inputs, self.outputs = (
            tuple(TensorSpec(each.name, _dtype(each.type), tuple(each.shape or ())) for each in declared)
            for declared in (session.get_inputs(), session.get_outputs())
        )
        self.metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Any]:
        """Return the named outputs, or all in their order."""
        try:
            values: list[Any] = self._session.run(outputs, feeds)
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            raise InferenceError(reason(error)) from error
        return values


def _dtype(declared: str) -> str:
    """Return NumPy's name for a type like `tensor(float)`."""
    kind = declared.removeprefix("tensor(").removesuffix(")")
    return _TYPES.get(kind, kind)

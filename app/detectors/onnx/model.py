"""A network in an ONNX file, and how it is read as far as the user states something of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from ...domain.model_input import StatedModel
from ..backends.session import Array, Session
from ..layouts.understanding import UnderstoodModel, understand


class ModelSource(Protocol):
    """Loads models by name, from files or from inference servers."""

    def load(self, name: str) -> "Model":
        """Return the model. Raises DetectorError if there is none, or it cannot be used."""

    def load_file(self, path: Path, name: str) -> "Model":
        """Return the model in the file at `path`, whose name is `name`. Raises DetectorError."""


_MOST_STATED = 16  # ways to read one model that are remembered


class Model:
    """A network that is ready to compute. Threads may share it. `digest` is the SHA-256 of its files."""

    def __init__(self, session: Session, digest: str) -> None:
        self._session = session
        self._understood: dict[StatedModel, UnderstoodModel] = {}
        self._trying = Lock()
        self.digest = digest
        self.backend, self.precision = session.backend, session.precision

    def understood(self, stated: StatedModel) -> UnderstoodModel:
        """Return how it is read. It is tried once for all that is stated of it.

        Raises:
            DetectorError: it cannot be read with certainty; the text says what to do
        """
        with self._trying:
            if stated not in self._understood:
                understood = understand(self._session, stated)
                if len(self._understood) >= _MOST_STATED:
                    del self._understood[next(iter(self._understood))]
                self._understood[stated] = understood
            return self._understood[stated]

    def infer(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Any]:
        """Return these outputs for the inputs in `feeds`."""
        return self._session.run(feeds, outputs)

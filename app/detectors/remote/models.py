"""Models on inference servers, as a detector loads them."""

from collections.abc import Callable
from hashlib import file_digest
from pathlib import Path

from ...domain.model_input import StatedModel
from ..base import UnusableError
from ..layouts.families import FAMILIES
from ..layouts.understanding import UnderstoodModel
from ..onnx.model import Model
from .session import RemoteSession


class RemoteModel(Model):
    """A network that a session on inference servers computes."""

    def __init__(self, session: RemoteSession) -> None:
        super().__init__(session, session.digest)
        self._remote = session

    def understood(self, stated: StatedModel) -> UnderstoodModel:
        found = super().understood(stated)
        self.digest = self._remote.digest  # the version is known since the trial
        self._remote.has_fixed_shapes = FAMILIES[found.layout.name].needs_nms
        return found


class RemoteModels:
    """Opens one session for one detector, which must be closed."""

    def __init__(self, open_session: Callable[[str], RemoteSession]) -> None:
        """`open_session` is given the name of a model."""
        self._open = open_session
        self._session: RemoteSession | None = None
        self._is_closed = False

    def load(self, name: str) -> Model:
        """Return the model with this name.

        Raises:
            PostponedError: no server answers now
            UnusableError: the servers have several models of this name
        """
        if self._session is None:
            self._session = self._open(name)
        if self._is_closed:
            self._session.close()
        self._session.prepare()
        return RemoteModel(self._session)

    def load_file(self, path: Path, name: str) -> Model:
        """Return the model with this name, which must be that of the file at `path`.

        Raises:
            PostponedError: no server answers now
            UnusableError: the servers have another model of this name
        """
        model = self.load(name)
        with path.open("rb") as file:
            expected = file_digest(file, "sha256").hexdigest()
        if model.digest != expected:
            raise UnusableError(
                f"the inference servers have another model {name!r} than this runner: run one version of the"
                " service everywhere"
            )
        return model

    @property
    def tries(self) -> int:
        """How often the servers failed since they worked last."""
        return 0 if self._session is None else self._session.tries

    def close(self) -> None:
        """Abandon every request, those under way too. May be called twice."""
        self._is_closed = True
        if self._session is not None:
            self._session.close()

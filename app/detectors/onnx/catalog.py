"""The models below the model folder, each with how it is understood, or why it is not."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from ...domain.detector_config import Onnx
from ...domain.model_input import Colours, Fit, LayoutName, StatedModel
from ...domain.picture import Picture
from ...domain.prediction import Detection
from ..backends.onnx_runtime import OnnxRuntime
from ..backends.session import Backend
from ..base import DetectorError
from ..layouts.understanding import UnderstoodModel
from .cache import ModelCache
from .detector import OnnxDetector
from .files import stamp_of

MOST_MODELS = 1000
_MOST_ENTRIES = 20_000  # of the folder and the folders in it

_SUFFIX = ".onnx"


class InputInfo(Struct, frozen=True):
    """How a picture becomes the model's input: a colour is (level · range / 255 − mean) / std."""

    width: int
    height: int
    is_dynamic: Annotated[bool, Meta(description="smaller sides are taken, too")]
    dtype: str
    channels: Literal["first", "last"]
    batch: Annotated[int, Meta(description="pictures that it takes at once; all but one are empty")]
    fit: Fit
    colours: Colours
    range: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class ModelInfo(Struct, frozen=True, kw_only=True):
    """A file below the model folder. What is null is not known, because it was rejected or not examined."""

    name: Annotated[str, Meta(description="the `model` of the detector `onnx`")]
    size: Annotated[int, Meta(description="in bytes, without weights in other files")]
    modified: datetime
    state: Literal["understood", "rejected", "not_examined"]
    error: Annotated[str | None, Meta(description="why it is rejected, and what to do")] = None
    digest: Annotated[str | None, Meta(description="SHA-256 of its files")] = None
    layout: LayoutName | None = None
    input: InputInfo | None = None
    backend: Annotated[str | None, Meta(description="what computes it here")] = None
    precision: Annotated[str | None, Meta(description="in what it is computed here")] = None
    classes: Annotated[int | None, Meta(description="their number, 0 if its outputs do not tell")] = None
    labels: Annotated[
        dict[str, str] | UnsetType, Meta(description="by class number; left out in a list of models")
    ] = UNSET


class ModelCatalog:
    """Examines models, one at a time. Its methods take time: call them in a thread.

    The backend is opened when a model is first examined, because that may load large libraries.
    """

    def __init__(self, root: Path, open_backend: Callable[[], Backend] = OnnxRuntime) -> None:
        self._root = root
        self._open_backend = open_backend
        self._opened: ModelCache | None = None
        self._opening = Lock()
        self._known: dict[str, tuple[object, ModelInfo]] = {}
        self._examining = Lock()

    @property
    def backend(self) -> Backend:
        """What computes the models."""
        return self._models.backend

    @property
    def _models(self) -> ModelCache:
        with self._opening:
            if self._opened is None:
                self._opened = ModelCache(self._root, self._open_backend(), recent=1)
            return self._opened

    def find_all(self, may_go_on: Callable[[], bool]) -> list[ModelInfo]:
        """Return every model by name, at most MOST_MODELS, without labels.

        Models are examined while `may_go_on()` is true; the others are `not_examined`, until another call.
        """
        found = []
        names = sorted(self._names())[:MOST_MODELS]
        self._known = {name: known for name, known in self._known.items() if name in names}
        for name in names:
            try:
                info = self.describe(name, examine=may_go_on())
            except FileNotFoundError:  # it was removed
                continue
            found.append(replace(info, labels=UNSET))
        return found

    def describe(self, name: str, *, examine: bool = True) -> ModelInfo:
        """Return how a model is understood, or why it is rejected.

        Raises:
            FileNotFoundError: there is no such file below the model folder
        """
        path = self._path(name)
        stamp = stamp_of(path)
        plain = ModelInfo(
            name=name,
            size=stamp.size,
            modified=datetime.fromtimestamp(stamp.modified / 1e9, UTC),
            state="not_examined",
        )
        with self._examining:
            known = self._known.get(name)
            if known is None and not examine:  # its stamps would take as long as reading the file
                return plain
            try:
                stamps = self._models.stamps(path)
            except FileNotFoundError:
                raise
            except OSError as error:
                return replace(plain, state="rejected", error=f"It cannot be read: {error.strerror}.")
            if known is None or known[0] != stamps:
                if not examine:
                    return plain
                known = self._known[name] = stamps, self._examine(plain)
            return known[1]

    def detect(self, config: Onnx, picture: Picture) -> tuple[Detection, ...]:
        """Return what a model finds in a picture.

        Raises:
            FileNotFoundError: there is no such file below the model folder
            DetectorError: the model cannot be used
        """
        self._path(config.model)
        with self._examining:
            return OnnxDetector(config, self._models).detect(picture, 0)

    def _examine(self, plain: ModelInfo) -> ModelInfo:
        try:
            model = self._models.load(plain.name)
            plain = replace(plain, digest=model.digest)
            understood = model.understood(StatedModel())
        except DetectorError as error:
            return replace(plain, state="rejected", error=str(error))
        return replace(
            plain,
            state="understood",
            layout=understood.layout.name,
            input=_describe_input(understood),
            backend=model.backend,
            precision=model.precision,
            classes=understood.layout.classes or len(understood.labels),
            labels={str(number): label for number, label in sorted(understood.labels.items())},
        )

    def _path(self, name: str) -> Path:
        """Return the path of a model. Raises FileNotFoundError if there is none of this name."""
        try:
            path = self._models.path_of(name)
        except DetectorError as error:
            raise FileNotFoundError(name) from error
        if path.suffix.lower() != _SUFFIX and not name.lower().endswith(_SUFFIX):
            raise FileNotFoundError(name)
        return path

    def _names(self) -> Iterator[str]:
        """Return the names of files that may be models, in the order of the folders."""
        entries = 0
        for folder, folders, files in os.walk(self._root):
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            entries += len(folders) + len(files)
            if entries > _MOST_ENTRIES:
                return
            for file in files:
                if file.lower().endswith(_SUFFIX) and not file.startswith("."):
                    yield (Path(folder) / file).relative_to(self._root).as_posix()


def _describe_input(model: UnderstoodModel) -> InputInfo:
    form = model.form
    return InputInfo(
        width=form.width,
        height=form.height,
        is_dynamic=form.has_dynamic_shape,
        dtype=form.dtype,
        channels="last" if form.is_channels_last else "first",
        batch=form.batch,
        fit=form.fit,
        colours=form.colours,
        range=form.range,
        mean=form.mean,
        std=form.std,
    )

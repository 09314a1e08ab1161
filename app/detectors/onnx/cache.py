"""Model files below the model folder, loaded once and shared by all runs of a runner."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from ..backends.onnx_runtime import OnnxRuntime
from ..backends.session import Backend, Session
from ..base import DetectorError
from .files import LARGEST_FILE, FileStamp, digest, find_weights, read_weights, stamp_of, weight_names
from .model import Model

RECENT = 2
"""Models that are kept although no run uses them: loading one takes longer than a short clip."""


Loaded = TypeVar("Loaded")


class FileCache(Generic[Loaded]):
    """Loads the ONNX files below `root`. One stays loaded while it is used, and if it is a recent one.

    `make` gets the session of a file and the SHA-256 of its content, and returns what `load` does.
    """

    def __init__(
        self, root: Path, backend: Backend, make: Callable[[Session, str], Loaded], recent: int = RECENT
    ) -> None:
        self._root = root
        self.backend = backend
        self._make = make
        self._weight_names: dict[Path, tuple[FileStamp, tuple[str, ...]]] = {}
        self._models: WeakValueDictionary[tuple[FileStamp, ...], Loaded] = WeakValueDictionary()
        self._recent: deque[Loaded] = deque(maxlen=recent)
        self._loading = Lock()

    def load(self, name: str) -> Loaded:
        """Return the model in the file `name`. It is loaded again if that or its weights have changed.

        Raises:
            DetectorError: there is no such file below the model folder, or it is not a usable model
        """
        return self.load_file(self.path_of(name), name)

    def path_of(self, name: str) -> Path:
        """Return the path of the file `name`. Raises DetectorError as `load` does."""
        return _below(self._root, name)

    def stamps(self, path: Path) -> tuple[FileStamp, ...]:
        """Return the stamps of a file and of the weights beside it: others if one has changed."""
        stamp, files = self._files(path)
        return (stamp, *map(stamp_of, files.values()))

    def load_file(self, path: Path, name: str) -> Loaded:
        """Return the model in the file at `path`, which errors call `name`.

        Raises:
            DetectorError: it is not a usable model
        """
        with self._loading:
            try:
                model = self._load(path)
            except DetectorError as error:
                raise DetectorError(f"The model {name!r} cannot be used. {error}") from error.__cause__
            except OSError as error:
                raise DetectorError(f"The model {name!r} cannot be read: {error.strerror}.") from error
            if model in self._recent:
                self._recent.remove(model)
            self._recent.append(model)
            return model

    def _load(self, path: Path) -> Loaded:
        stamp, files = self._files(path)
        if stamp.size > LARGEST_FILE:
            raise DetectorError("It is larger than 2 GiB.")
        key = (stamp, *map(stamp_of, files.values()))
        model = self._models.get(key)
        if model is None:
            weights = read_weights(files)
            model = self._make(self.backend.open(path, weights), digest(path, weights))
            if key != tuple(map(stamp_of, (path, *files.values()))):
                raise DetectorError("It changed while it was loaded. Try again when it is complete.")
            self._models[key] = model
        return model

    def _files(self, path: Path) -> tuple[FileStamp, dict[str, Path]]:
        """Return the stamp of the file at `path`, and the files beside it that hold its weights."""
        stamp = stamp_of(path)
        known = self._weight_names.get(path)
        if known is None or known[0] != stamp:
            names = weight_names(path) if stamp.size <= LARGEST_FILE else ()
            known = self._weight_names[path] = stamp, names
        return stamp, find_weights(path, known[1])


class ModelCache(FileCache[Model]):
    """The detection networks below `root`, computed by `backend`: ONNX Runtime if none is given."""

    def __init__(self, root: Path, backend: Backend | None = None, recent: int = RECENT) -> None:
        super().__init__(root, backend or OnnxRuntime(), Model, recent)


def _below(root: Path, name: str) -> Path:
    """Return the path of the file `name`, with every symbolic link followed.

    Raises:
        DetectorError: there is no such file, or it is not below `root`
    """
    relative = Path(name)
    outside = DetectorError(f"The model {name!r} is outside the model folder (VA_MODEL_ROOT).")
    if relative.is_absolute() or ".." in relative.parts:
        raise outside
    try:
        path = (root / relative).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise _missing(name) from error
    if not path.is_relative_to(root.resolve()):
        raise outside
    if not path.is_file():
        raise _missing(name)
    return path


def _missing(name: str) -> DetectorError:
    return DetectorError(
        f"There is no model {name!r} in the model folder (VA_MODEL_ROOT). Put the file there."
    )

"""Model files below the model folder, loaded once and shared by all runs of a runner."""

import hashlib
from collections import deque
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

from ..base import DetectorError
from .model import Model, open_session

LARGEST_FILE = 2**31 - 1  # bytes: no ONNX message is larger
RECENT = 2
"""Models that are kept although no run uses them: loading one takes longer than a short clip."""


class ModelCache:
    """Loads the models below `root`. A model stays loaded while a run uses it, and if it is a recent one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._models: WeakValueDictionary[tuple[Path, int, int], Model] = WeakValueDictionary()
        self._recent: deque[Model] = deque(maxlen=RECENT)
        self._loading = Lock()

    def load(self, name: str) -> Model:
        """Return the model in the file `name`. It is loaded again if the file has changed.

        Raises:
            DetectorError: there is no such file below the model folder, or it is not a usable model
        """
        path = _below(self._root, name)
        status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size)
        with self._loading:
            model = self._models.get(key)
            if model is None:
                try:
                    if status.st_size > LARGEST_FILE:
                        raise DetectorError("It is larger than 2 GiB.")
                    model = self._models[key] = Model(open_session(path), _digest(path))
                except DetectorError as error:
                    raise DetectorError(f"The model {name!r} cannot be used. {error}") from error.__cause__
            if model in self._recent:
                self._recent.remove(model)
            self._recent.append(model)
            return model


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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

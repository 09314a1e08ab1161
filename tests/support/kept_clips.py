"""Clips that are encoded once in a test session, in whichever of its processes needs them first."""

import os
import shutil
from collections.abc import Callable
from fcntl import LOCK_EX, flock
from functools import wraps
from hashlib import blake2b
from pathlib import Path
from typing import Concatenate, ParamSpec

FOLDER = "VA_TEST_CLIPS"
"""The environment variable that names the folder of a session's clips. Without it, nothing is kept."""

_How = ParamSpec("_How")
_Make = Callable[Concatenate[Path, _How], Path]


def kept(make: _Make[_How]) -> _Make[_How]:
    """Have `make` write its file once for each set of arguments, and copy it after that."""

    @wraps(make)
    def copy(path: Path, /, *args: _How.args, **how: _How.kwargs) -> Path:
        folder = os.environ.get(FOLDER)
        if folder is None or path.suffix == ".m3u8":  # a playlist is written beside its segments
            return make(path, *args, **how)
        key = blake2b(repr((make.__name__, path.suffix, args, sorted(how.items()))).encode()).hexdigest()[:32]
        original = Path(folder) / f"{key}{path.suffix}"
        with (Path(folder) / key).open("w") as lock:
            flock(lock, LOCK_EX)
            if not original.exists():
                make(original.with_stem(f"{key}-unfinished"), *args, **how).rename(original)
        shutil.copyfile(original, path)
        return path

    return copy

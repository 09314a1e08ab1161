"""The backend that opens no file, because inference servers compute all models."""

from collections.abc import Mapping
from pathlib import Path

from ..base import DetectorError
from .session import Session


class RemoteBackend:
    """Names what computes the networks of a runner with VA_INFERENCE=remote."""

    name = "remote"
    precision = ""

    def open(self, path: Path, weights: Mapping[str, bytes]) -> Session:  # noqa: ARG002 - as all backends
        """Refuse."""
        raise DetectorError(
            f"{path.name} is not opened here: the servers of VA_INFERENCE_URLS compute all models."
        )

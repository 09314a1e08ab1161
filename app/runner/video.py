"""Opening any source as a Recording or a Camera. Synchronous: for a thread that a run has to itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from app.runner.video_container import TruncatedError, VideoError
from app.runner.video_live import Camera, Received, SourceState
from app.runner.video_recording import Eligible, Recording, Sampled, Settled
from app.source import Source

__all__ = [
    "Camera", "Eligible", "Received", "Recording", "Sampled", "Settled", "SourceState", "TruncatedError",
    "VideoError", "open_video",
]  # fmt: skip


@contextmanager
def open_video(
    source: Source,
    media_root: Path,
    *,
    stop: Event,
    persistent: bool = False,
    open_timeout: float = 10.0,
    read_timeout: float = 5.0,
) -> Iterator[Recording | Camera]:
    """Open `source`; whatever was opened is closed on the way out.

    `stop` ends a Camera's frames, and its waits at once; no single read outlasts its timeout (seconds).
    Raises VideoError; where `persistent`, a live source that cannot be opened is a Camera that reconnects.
    """
    raise NotImplementedError
    yield

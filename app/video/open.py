"""Opening any source as a Recording or a Camera. Synchronous: for a thread that a run has to itself."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event

from ..domain.networks import Networks
from ..domain.source import Source
from ..domain.spec import CandidateFrames
from .camera import Camera, Received, SourceState
from .container import open_container
from .errors import TruncatedError, VideoError
from .recording import Recording, Sampled, Settled

__all__ = [
    "Camera", "CandidateFrames", "Received", "Recording", "Sampled", "Settled", "SourceState",
    "TruncatedError", "VideoError", "open_video",
]  # fmt: skip


@contextmanager
def open_video(
    source: Source,
    media_root: Path,
    networks: Networks,
    *,
    stop: Event,
    persistent: bool = False,
    open_timeout: float = 8.0,
    read_timeout: float = 5.0,
) -> Iterator[Recording | Camera]:
    """Open `source`, a file below `media_root` or something on `networks`; it is closed on the way out.

    `stop` ends a Camera's frames, and its waits at once; no single read outlasts its timeout (seconds).
    Raises VideoError; where `persistent`, a live source that cannot be opened is a Camera that reconnects.
    """
    connect = partial(
        open_container,
        source,
        media_root,
        networks,
        stop=stop,
        open_timeout=open_timeout,
        read_timeout=read_timeout,
    )
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(connect())
        except VideoError:
            if not (persistent and source.live):
                raise
            opened = None
        if opened is None or opened.is_live:
            yield Camera(source, connect, stop, stack, opened)
        else:
            yield Recording(opened, source)

"""Open any source as a Recording or a Camera. Synchronous: a run has a thread for it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event

from ..domain.networks import Networks
from ..domain.source import Source
from .camera import Camera
from .container import open_container
from .errors import VideoError
from .recording import Recording
from .transport.read_segments import ReadSegments


@contextmanager
def open_video(
    source: Source,
    media_root: Path,
    networks: Networks,
    *,
    stop: Event,
    is_persistent: bool = False,
    open_timeout: float = 8.0,
    read_timeout: float = 5.0,
    patience: float | None = None,
) -> Iterator[Recording | Camera]:
    """Open `source`, a file below `media_root` or a host on `networks`, and close it on the way out.

    `stop` ends a Camera's frames, and its waits at once; no single read outlasts its timeout (seconds). If
    `is_persistent`, a live source that cannot be opened is a Camera that reconnects. `source.live` may be set
    for an http source that was live before, and `patience` if it is known for how long it may be silent.

    Raises:
        VideoError: the source cannot be opened.
    """
    connect = partial(
        open_container,
        source,
        media_root,
        networks,
        stop=stop,
        open_timeout=open_timeout,
        segments=ReadSegments(),
    )
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(connect(read_timeout=patience or read_timeout))
        except VideoError:
            if not (is_persistent and source.live):
                raise
            opened = None
        if opened is None or opened.is_live or source.live:
            yield Camera(
                source,
                connect,
                stop,
                stack,
                opened,
                is_persistent=is_persistent,
                read_timeout=read_timeout,
                patience=patience,
            )
        else:
            yield Recording(opened, source)

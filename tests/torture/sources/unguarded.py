"""A service that waits too long for sources."""

from functools import partial

from app.service import create
from app.supervision import Asgi
from app.video import container, reader
from app.video.open import open_video
from tests.torture.guards import replace_name

_AN_HOUR = 3600.0


def endless_reads() -> Asgi:
    """Build a service whose reads of sources have no deadline."""
    replace_name(container, "HTTP_TIMEOUT", _AN_HOUR)
    replace_name(reader, "open_video", partial(open_video, open_timeout=_AN_HOUR, read_timeout=_AN_HOUR))
    return create()

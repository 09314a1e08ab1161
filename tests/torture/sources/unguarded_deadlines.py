"""The service, whose reads of sources never come to an end by themselves."""

from app.video import container as video_container
from app.video import open as video

_AN_HOUR = 3600.0

vars(video_container)["_HTTP_TIMEOUT"] = _AN_HOUR
deadlines = vars(video.open_video)["__wrapped__"].__kwdefaults__
deadlines.update(open_timeout=_AN_HOUR, read_timeout=_AN_HOUR)

from app.main import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]

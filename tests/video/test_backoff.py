"""How long a camera that is away is left alone between two tries."""

from contextlib import ExitStack
from threading import Event
from typing import NoReturn

from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video.camera import Camera, CameraStatus
from app.video.errors import VideoError


class Waits(Event):
    """Notes each wait instead of waiting; is set after 50."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        if len(self.seconds) == 50:
            self.set()
        return self.is_set()


def waits(retry_after: float = 0.0) -> list[float]:
    """Return the seconds between the tries to open a camera that is away."""

    def connect(**_: object) -> NoReturn:
        raise VideoError("it is away", retryable=True, retry_after=retry_after)

    stop = Waits()
    source = parse_source("rtsp://camera/live")
    camera = Camera(source, connect, stop, ExitStack(), None, is_persistent=True, read_timeout=1.0)
    assert all(isinstance(each, CameraStatus) for each in camera.frames(EveryFrame()))
    return stop.seconds


def test_the_backoff_doubles_up_to_four_seconds_and_is_spread() -> None:
    """Cameras that a switch cut off at once must not all be opened at the same moment."""
    seconds = waits()
    for tries, each in enumerate(seconds):
        longest = min(4.0, 0.25 * 2**tries)
        assert longest / 2 <= each <= longest
    assert len(set(seconds[4:])) > 1
    assert seconds != waits()


def test_a_camera_that_asks_for_patience_is_not_tried_earlier() -> None:
    assert min(waits(retry_after=300.0)) == 300.0

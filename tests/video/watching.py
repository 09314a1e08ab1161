"""What the tests of camera share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import cv2

from app.domain.networks import Networks
from app.domain.picture import Picture
from app.domain.source import parse_source
from app.video.camera import Camera, CameraStatus
from app.video.open import open_video
from app.video.reading import SampledFrame, Watermark

FRAMES = 120
LOOPBACK = Networks("loopback")
GOP = 30
Entry = SampledFrame | Watermark | CameraStatus


@contextmanager
def watched(
    url: str, stop: Event, *, is_persistent: bool = False, patience: float | None = None
) -> Iterator[Camera]:
    with open_video(
        parse_source(url),
        Path(),
        LOOPBACK,
        stop=stop,
        is_persistent=is_persistent,
        open_timeout=4,
        read_timeout=2,
        patience=patience,
    ) as video:
        assert isinstance(video, Camera)
        yield video


def marker(entry: SampledFrame | Watermark) -> int | None:
    picture = picture_of(entry)
    assert picture is not None
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000))
    found, ids, _ = detector.detectMarkers(picture.gray())
    return int(ids[0][0]) if found else None


def picture_of(entry: SampledFrame | Watermark) -> Picture | None:
    return entry.picture if isinstance(entry, SampledFrame) else None


def take(frames: Iterator[Entry], count: int) -> list[SampledFrame | Watermark]:
    """The next frames, past changes of state."""
    taken: list[SampledFrame | Watermark] = []
    while len(taken) < count:
        entry = next(frames)
        if not isinstance(entry, CameraStatus):
            taken.append(entry)
    return taken


def state(frames: Iterator[Entry], wanted: str) -> CameraStatus:
    """The next change to this state, past frames and other changes."""
    for entry in frames:
        if isinstance(entry, CameraStatus) and entry.state == wanted:
            return entry
    raise AssertionError(f"the source never was {wanted}")


def why(lost: CameraStatus) -> str:
    assert lost.loss
    return lost.loss.error


def live_playlist(folder: Path, seconds: float) -> None:
    """live.m3u8, of which one.ts is all there is so far."""
    (folder / "live.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{round(seconds)}\n#EXT-X-MEDIA-SEQUENCE:0\n"
        f"#EXTINF:{seconds},\none.ts\n"
    )

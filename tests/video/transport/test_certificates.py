"""Sources over https whose server has a certificate of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import pytest

from app.domain.networks import Networks
from app.domain.sampling import EveryFrame, FixedRate
from app.domain.source import parse_source
from app.video.camera import Camera
from app.video.errors import VideoError
from app.video.open import open_video
from app.video.reading import SampledFrame
from tests.support import clips
from tests.support.http_cameras import MULTIPART, Reply, headed, http_camera, jpeg
from tests.support.tls_front import FINGERPRINT, in_tls
from tests.support.web_server import web_server

COLONS = ":".join(FINGERPRINT[place : place + 2] for place in range(0, 64, 2)).upper()


def mjpeg(_: object) -> Reply:
    return Reply({"Content-Type": MULTIPART}, map(headed(), map(jpeg, count())))


def snapshot(_: object) -> Reply:
    return Reply({"Content-Type": "image/jpeg"}, iter([jpeg(1)]), interval=0)


@contextmanager
def folder_server(folder: Path) -> Iterator[str]:
    clips.marker_clip(folder / "clip.mp4", frames=60, size=(256, 192))
    clips.marker_clip(folder / "part.ts", frames=60, size=(256, 192))
    (folder / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\npart.ts\n#EXT-X-ENDLIST\n"
    )
    with web_server(folder) as server:
        yield server.url


@contextmanager
def stream_server(folder: Path) -> Iterator[str]:
    clips.marker_clip(folder / "live.ts", frames=60, size=(256, 192))
    with web_server(folder) as server:
        server.endless = True
        yield server.url


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "mjpeg": (lambda _: http_camera(mjpeg), "/video"),
    "snapshot": (lambda _: http_camera(snapshot), "/picture"),
    "hls": (folder_server, "/list.m3u8"),
    "file": (folder_server, "/clip.mp4"),
    "stream": (stream_server, "/live.ts"),
}


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a source of each kind, whose server has a self-signed certificate."""
    serve, path = KINDS[request.param]
    with ExitStack() as stack:
        plain: str = stack.enter_context(serve(tmp_path))  # type: ignore[arg-type]
        port = stack.enter_context(in_tls(urlsplit(plain).port or 0))
        yield f"https://127.0.0.1:{port}{path}"


def frames_read(url: str, wanted: int = 5) -> int:
    with open_video(
        parse_source(url), Path(), Networks("loopback"), stop=Event(), open_timeout=10, read_timeout=5
    ) as video:
        if isinstance(video, Camera):
            entries = video.frames(FixedRate(20) if "picture" in url else EveryFrame())
        else:
            entries = video.frames(EveryFrame(), "all")
        frames = (entry for entry in entries if isinstance(entry, SampledFrame))
        return sum(1 for _, _ in zip(range(wanted), frames, strict=False))


@pytest.mark.parametrize("fingerprint", [FINGERPRINT, COLONS], ids=["plain", "colons"])
def test_it_is_read_if_its_fingerprint_is_in_the_address(address: str, fingerprint: str) -> None:
    assert frames_read(f"{address}#sha256={fingerprint}") == 5


def test_without_its_fingerprint_it_is_refused_and_the_error_says_how_to_name_it(address: str) -> None:
    for end in ("", "#sha256=0"):
        with pytest.raises(VideoError, match=r"has no valid certificate.*add #sha256=") as caught:
            frames_read(address + end)
        assert not caught.value.retryable


def test_another_certificate_is_refused(address: str) -> None:
    with pytest.raises(VideoError, match="has another certificate than the one in the address") as caught:
        frames_read(f"{address}#sha256={64 * '0'}")
    assert not caught.value.retryable

"""Snapshot addresses: one JPEG for each request, polled at the sampling rate."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from threading import Event, Timer

import pytest

from app.domain.networks import Networks
from app.domain.sampling import EveryFrame, FixedRate, KeyframesOnly, Sampling
from app.domain.source import parse_source
from app.video.camera import Camera, CameraStatus
from app.video.errors import VideoError
from app.video.open import open_video
from app.video.reading import SampledFrame, Watermark
from app.video.recording import Recording
from app.video.transport import snapshots
from tests.support.http_cameras import SIZE, Reply, http_camera, jpeg
from tests.support.web_server import web_server


class Snapper:
    """Answers each request with the next picture, and keeps when each request came."""

    def __init__(
        self, media_type: str | None = "image/jpeg", delay: float = 0.0, *, has_length: bool = True
    ) -> None:
        self.requests: list[float] = []
        self.headers = {"Content-Type": media_type} if media_type else {}
        self.has_length = has_length
        self.status = 200
        self.delay = delay
        self.body: bytes | None = None

    def answer(self, _: BaseHTTPRequestHandler) -> Reply:
        self.requests.append(time.monotonic())
        time.sleep(self.delay)
        body = self.body if self.body is not None else jpeg(len(self.requests))
        headers = self.headers | ({"Content-Length": str(len(body))} if self.has_length else {})
        return Reply(headers, iter([body]), self.status, interval=0)


@contextmanager
def watched(url: str, stop: Event, timeout: float = 10.0) -> Iterator[Camera]:
    """Open a camera. `timeout` is in seconds, for opening it and for each picture."""
    source, networks = parse_source(url), Networks("loopback")
    with open_video(source, Path(), networks, stop=stop, open_timeout=timeout, read_timeout=timeout) as video:
        assert isinstance(video, Camera)
        yield video


def entries(
    snapper: Snapper,
    sampling: Sampling,
    wanted: int,
    path: str = "/snapshot.cgi",
    timeout: float = 10.0,
) -> list[SampledFrame | Watermark | CameraStatus]:
    with http_camera(snapper.answer) as url, watched(url + path, Event(), timeout) as video:
        frames = video.frames(sampling)
        return [next(frames) for _ in range(wanted)]


@pytest.mark.parametrize("sampling", [FixedRate(10), FixedRate(4)])
def test_each_picture_is_sampled_and_asked_for_at_the_sampling_rate(sampling: FixedRate) -> None:
    snapper = Snapper()
    first, *frames = entries(snapper, sampling, 9)
    assert isinstance(first, CameraStatus)
    assert first.media
    assert (first.media.width, first.media.height, first.media.live) == (*SIZE, True)
    assert [frame.frame for frame in frames if isinstance(frame, SampledFrame)] == list(range(8))
    taken = snapper.requests[7] - snapper.requests[0]
    assert 0.7 * 7 / sampling.fps < taken < 6  # a busy machine is late, but seven seconds are one a second
    assert len(snapper.requests) <= 9


@pytest.mark.parametrize("sampling", [EveryFrame(), KeyframesOnly()])
def test_without_a_rate_it_is_one_a_second(sampling: Sampling) -> None:
    snapper = Snapper()
    frames = entries(snapper, sampling, 4)[1:]
    assert all(isinstance(frame, SampledFrame) for frame in frames)
    assert 1.6 < snapper.requests[2] - snapper.requests[0] < 7


def test_a_slow_sampling_rate_outlasts_the_deadline_of_a_read() -> None:
    frames = entries(Snapper(), FixedRate(0.25), 3, timeout=3)[1:]
    assert all(isinstance(frame, SampledFrame) for frame in frames)


def test_at_a_very_slow_rate_not_all_pictures_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder process must show that it works, so the pause between two requests has a limit."""
    monkeypatch.setattr(snapshots, "_MAX_INTERVAL", 0.1)
    _, first, others = entries(Snapper(), FixedRate(0.05), 3)
    assert isinstance(first, SampledFrame)
    assert isinstance(others, Watermark)  # pictures that came before the next one that is sampled


def test_a_slow_camera_is_not_asked_to_catch_up() -> None:
    snapper = Snapper(delay=0.2)
    entries(snapper, FixedRate(10), 7)
    gaps = [after - before for before, after in pairwise(snapper.requests)]
    assert min(gaps) > 0.19


@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/plain", "text/html", None])
@pytest.mark.parametrize("has_length", [True, False])
def test_content_tells_that_it_is_a_picture(media_type: str | None, has_length: bool) -> None:
    snapper = Snapper(media_type, has_length=has_length)
    frames = entries(snapper, FixedRate(20), 4)[1:]
    assert all(isinstance(frame, SampledFrame) for frame in frames)


def test_bytes_after_the_picture_do_not_matter() -> None:
    snapper = Snapper("application/octet-stream")
    snapper.body = jpeg(1) + bytes(1000)
    assert all(isinstance(frame, SampledFrame) for frame in entries(snapper, FixedRate(20), 4)[1:])


def test_a_file_of_many_pictures_is_a_recording(tmp_path: Path) -> None:
    (tmp_path / "clip.mjpeg").write_bytes(b"".join(map(jpeg, range(20))))
    for has_ranges in (True, False):
        with web_server(tmp_path) as server:
            server.ranges = has_ranges
            source = parse_source(f"{server.url}/clip.mjpeg")
            with open_video(
                source, Path(), Networks("loopback"), stop=Event(), open_timeout=10, read_timeout=10
            ) as video:
                assert isinstance(video, Recording)
                frames = [
                    each for each in video.frames(EveryFrame(), "all") if isinstance(each, SampledFrame)
                ]
        assert len(frames) == 20


@pytest.mark.parametrize(
    ("media_type", "path"),
    [("image/jpg", "/x"), ("application/octet-stream", "/still.JPG"), ("image/jpeg", "/live.m3u8")],
)
def test_type_or_name_tells_that_it_is_a_picture(media_type: str, path: str) -> None:
    frames = entries(Snapper(media_type), FixedRate(20), 4, path)[1:]
    assert all(isinstance(frame, SampledFrame) for frame in frames)


def test_a_snapshot_that_fails_is_a_lost_camera_that_returns() -> None:
    snapper = Snapper()
    with http_camera(snapper.answer) as url, watched(f"{url}/x.jpg", Event()) as video:
        frames = video.frames(FixedRate(20))
        next(frames)
        snapper.status = 503
        lost = next(entry for entry in frames if isinstance(entry, CameraStatus))
        assert lost.loss
        assert "fails with a server error (503)" in lost.loss.error
        snapper.status = 200
        assert any(isinstance(entry, CameraStatus) and entry.state == "open" for entry in frames)
        snapper.body, snapper.headers = b"<html>log in</html>", {"Content-Type": "text/html"}
        lost = next(entry for entry in frames if isinstance(entry, CameraStatus))
        assert lost.loss
        assert "answers with text/html instead of a JPEG picture: check the address" in lost.loss.error


def test_a_picture_that_is_cut_off_is_told() -> None:
    def answer(_: object) -> Reply:
        return Reply({"Content-Type": "image/jpeg", "Content-Length": "9999999"}, iter([jpeg(1)]))

    with (
        http_camera(answer) as url,
        pytest.raises(VideoError, match=r"was lost after \d+ of 9999999") as caught,
        watched(f"{url}/x.jpg", Event()),
    ):
        pass
    assert caught.value.retryable


def test_waiting_for_the_next_picture_ends_at_once_when_told() -> None:
    snapper, stop = Snapper(), Event()
    with http_camera(snapper.answer) as url, watched(f"{url}/x.jpg", stop) as video:
        frames = video.frames(FixedRate(0.1))
        next(frames)
        next(frames)
        Timer(0.1, stop.set).start()
        begun = time.monotonic()
        assert list(frames) == []
        assert time.monotonic() - begun < 9

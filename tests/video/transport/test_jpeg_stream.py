"""MJPEG over HTTP: every camera's parts are read, whatever their heads say."""

import random
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from itertools import chain, count, repeat
from pathlib import Path
from threading import Event

import cv2
import pytest

from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video.camera import Camera, CameraStatus
from app.video.errors import VideoError
from app.video.open import open_video
from app.video.reading import SampledFrame
from app.video.transport import jpeg_splitter
from app.video.transport.jpeg_splitter import JpegSplitter
from tests.support import clips
from tests.support.http_cameras import MULTIPART, PARTS, SIZE, Part, Reply, headed, http_camera, jpeg


def entries(url: str) -> Iterator[SampledFrame | CameraStatus]:
    """Yield what a live source gives, with short deadlines."""
    with open_video(
        parse_source(url), Path(), Networks("loopback"), stop=Event(), open_timeout=4, read_timeout=2
    ) as video:
        assert isinstance(video, Camera)
        for entry in video.frames(EveryFrame()):
            if isinstance(entry, SampledFrame | CameraStatus):
                yield entry


def markers(url: str, wanted: int) -> list[int]:
    """Return the markers in the first pictures of a live source."""
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000))
    found: list[int] = []
    for entry in entries(url):
        if isinstance(entry, CameraStatus):
            assert entry.state == "open", entry.loss
            assert entry.media
            assert entry.media.fps is None  # no MJPEG camera tells it
        elif entry.picture:
            found.append(int(detector.detectMarkers(entry.picture.gray())[1][0][0]))
            if len(found) == wanted:
                break
    return found


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_pictures_are_found_whatever_the_heads_of_the_parts_say(part: Part) -> None:
    def answer(_: object) -> Reply:
        return Reply({"Content-Type": MULTIPART}, map(part, map(jpeg, count())))

    with http_camera(answer) as url:
        assert markers(url, 12) == list(range(12))


@pytest.mark.parametrize("media_type", ["application/octet-stream", "video/x-motion-jpeg", "text/html"])
def test_pictures_without_parts_are_a_camera_whatever_their_type(media_type: str) -> None:
    with http_camera(lambda _: Reply({"Content-Type": media_type}, map(jpeg, count()))) as url:
        assert markers(url, 12) == list(range(12))


def test_the_first_part_may_come_without_a_boundary() -> None:
    def answer(_: object) -> Reply:
        first = b"Content-Type: image/jpeg\r\n\r\n" + jpeg(0) + b"\r\n"
        return Reply({"Content-Type": MULTIPART}, chain([first], map(headed(length=0), map(jpeg, count(1)))))

    with http_camera(answer) as url:
        assert markers(url, 12) == list(range(12))


@pytest.mark.parametrize("length", [0, 5000, 2**31 - 1, 2**32 - 1, 2**63 - 1])
@pytest.mark.parametrize("has_ranges", [False, True])
def test_a_camera_is_a_stream_whatever_its_length(length: int, has_ranges: bool) -> None:
    def answer(_: object) -> Reply:
        headers = {"Content-Type": MULTIPART, "Content-Length": str(length)}
        if has_ranges:
            headers["Content-Range"] = f"bytes 0-{length - 1}/{length}"
        pictures = map(headed(length=0), map(jpeg, count()))
        return Reply(headers, pictures, status=206 if has_ranges else 200)

    with http_camera(answer) as url:
        assert markers(url, 12) == list(range(12))


@pytest.mark.parametrize("status", [400, 406, 416, 501])
def test_a_camera_that_rejects_ranges_is_asked_without(status: int) -> None:
    def answer(request: BaseHTTPRequestHandler) -> Reply:
        if request.headers["Range"]:
            return Reply({"Content-Length": "0"}, iter(()), status)
        return Reply({"Content-Type": MULTIPART}, map(headed(length=0), map(jpeg, count())))

    with http_camera(answer) as url:
        assert markers(url, 3) == [0, 1, 2]


def test_a_picture_comes_as_soon_as_it_is_whole() -> None:
    """Waiting for the boundary after it would delay each picture by one interval."""
    shown = Event()

    def pieces() -> Iterator[bytes]:
        yield headed(length=0)(jpeg(0)).rstrip()
        assert shown.wait(4)
        yield from map(headed(length=0), map(jpeg, count(1)))

    with http_camera(lambda _: Reply({"Content-Type": MULTIPART}, pieces())) as url:
        for entry in entries(url):
            if isinstance(entry, SampledFrame):
                shown.set()
                break


def test_parts_that_are_no_pictures_are_told() -> None:
    def answer(_: object) -> Reply:
        return Reply(
            {"Content-Type": MULTIPART}, repeat(b"--x\r\nContent-Type: text/plain\r\n\r\nbusy\r\n", 9)
        )

    with http_camera(answer) as url, pytest.raises(VideoError, match="sends no JPEG pictures"):
        next(entries(url))


def split(data: bytes, size: int) -> list[bytes]:
    splitter = JpegSplitter()
    return [
        bytes(picture)
        for start in range(0, len(data), size)
        for picture in splitter.push(data[start : start + size])
    ]


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
def test_pictures_are_split_whichever_pieces_they_come_in(size: int) -> None:
    inner = jpeg(99)  # a thumbnail in the head of a picture
    head = b"\xff\xd8\xff\xe1" + (len(inner) + 2).to_bytes(2) + inner
    first, third = head + jpeg(1)[2:], jpeg(3)
    progressive = cv2.imencode(".jpg", clips.marker_picture(2, SIZE), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1]
    second = progressive.tobytes().replace(b"\xff\xda", b"\xff\xff\xff\xda", 1)  # with fill bytes
    data = b"\xff\xd9\xff" + first + b"\xff" + second + b"\r\n--x\r\n" + third + b"--"
    assert split(data, size) == [first, second, third]


@pytest.mark.parametrize("size", [1, 1000])
def test_a_picture_that_is_cut_off_costs_no_other(size: int) -> None:
    pictures = [jpeg(number) for number in range(4)]
    cut = pictures[1][: len(pictures[1]) // 2]
    assert split(pictures[0] + cut + b"\r\n--x\r\n\r\n" + pictures[2] + pictures[3], size) == [
        pictures[0],
        *pictures[2:],
    ]


def test_random_bytes_hold_no_picture_and_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(5)
    splitter = JpegSplitter()
    for _ in range(50):
        assert list(splitter.push(chance.randbytes(10_000))) == []
    monkeypatch.setattr(jpeg_splitter, "MAX_PICTURE", 100_000)
    splitter = JpegSplitter()
    assert list(splitter.push(b"\xff\xd8\xff\xda\0\2" + bytes(90_000))) == []
    with pytest.raises(ValueError, match="too long"):
        list(splitter.push(bytes(10_000)))

"""Real clips, encoded when needed, whose frames show their own number as a marker."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Literal, TypedDict, Unpack, cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from app.domain.picture import Image
from tests.support.kept_clips import kept

Codec = Literal[
    "h264", "hevc", "mpeg2", "mpeg4", "mjpeg", "vp8", "vp9", "av1", "ffv1", "gif", "h263p", "wmv2"
]  # fmt: skip
Box = tuple[int, int, int, int]

MARKER = 64
EDGE = 50  # pixels; detection misses markers that are nearer to the picture's edge
SIZE = (320, 180)
"""The width and height of a marker clip: analysing one of 640×360 takes three times as much CPU time."""

_ENCODERS: dict[Codec, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "yuv420p", {"preset": "superfast", "crf": "23"}),
    "hevc": ("libx265", "yuv420p", {"preset": "ultrafast", "crf": "23"}),
    "mpeg2": ("mpeg2video", "yuv420p", {"b": "4000000"}),
    "mpeg4": ("mpeg4", "yuv420p", {"b": "4000000"}),
    "mjpeg": ("mjpeg", "yuvj420p", {"qmin": "3", "qmax": "3"}),
    "vp8": ("libvpx", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "b": "2000000"}),
    "vp9": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "b": "2000000"}),
    "av1": ("libsvtav1", "yuv420p", {"preset": "12", "crf": "40"}),
    "ffv1": ("ffv1", "yuv420p", {}),
    "gif": ("gif", "gray", {}),
    "h263p": ("h263p", "yuv420p", {"b": "4000000"}),
    "wmv2": ("wmv2", "yuv420p", {"b": "4000000"}),
}


class Encoding(TypedDict, total=False):
    """How a clip is encoded. `open_gop`: pictures may refer to the group of pictures before theirs.

    `rotation`: degrees by which players must turn the picture counterclockwise.
    """

    fps: int
    codec: Codec
    gop: int
    bframes: int
    open_gop: bool
    pix_fmt: str
    times: Sequence[float]
    first_time: float
    rotation: float
    options: dict[str, str]
    muxer_options: dict[str, str]


@contextmanager
def _same_priority() -> Iterator[None]:
    """Keep the priority of this thread. SVT's AV1 encoder makes it a real-time one if root runs the tests."""
    if not hasattr(os, "sched_getscheduler"):  # Linux alone has it
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


@_same_priority()
def encode(path: Path, pictures: Iterable[Image], **encoding: Unpack[Encoding]) -> Path:
    """Encode pictures (gray, height and width even) into the container that the path's suffix names.

    Frame `n` is shown at `first_time` plus `times[n]`, in seconds, or plus `n / fps`.
    """
    codec, fps, gop = encoding.get("codec", "h264"), encoding.get("fps", 30), encoding.get("gop", 60)
    times, first_time = encoding.get("times"), encoding.get("first_time", 0.0)
    encoder, pix_fmt, settings = _ENCODERS[codec]
    shape = _gop_options(codec, gop, encoding.get("bframes", 2), open_gop=encoding.get("open_gop", False))
    options = settings | shape | encoding.get("options", {})
    tick = Fraction(1, fps if times is None and not first_time else 1000 * fps)
    with av.open(str(path), "w", options=encoding.get("muxer_options", {})) as container:
        stream: VideoStream | None = None
        for number, luma in enumerate(pictures):
            height, width = luma.shape
            if stream is None:
                stream = cast("VideoStream", container.add_stream(encoder, rate=fps, options=options))
                stream.width, stream.height = width, height
                stream.pix_fmt = encoding.get("pix_fmt", pix_fmt)
                stream.gop_size = gop
                stream.codec_context.time_base = tick
                if "rotation" in encoding:
                    stream.set_display_rotation(encoding["rotation"])
            planes = np.full((height * 3 // 2, width), 128, np.uint8)
            planes[:height] = luma
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.time_base = tick
            frame.pts = round((first_time + (times[number] if times else number / fps)) / tick)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())
    return path


def _gop_options(codec: Codec, gop: int, bframes: int, *, open_gop: bool) -> dict[str, str]:
    match codec:
        case "h264":
            shape = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={bframes}:b-adapt=0"
            return {"x264-params": f"{shape}:open-gop={int(open_gop)}:threads=2"}
        case "hevc":
            shape = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={bframes}:b-adapt=0"
            return {"x265-params": f"{shape}:open-gop={int(open_gop)}:log-level=error"}
        case "mpeg2" | "mpeg4":
            closed = {} if open_gop else {"flags": "+cgop", "sc_threshold": "1000000000"}
            return {"bf": str(bframes)} | closed
        case "vp8" | "vp9":
            return {"keyint_min": str(gop)}
        case "av1":
            return {"svtav1-params": f"keyint={gop}:log-level=0"}
        case "mjpeg" | "ffv1" | "gif" | "h263p" | "wmv2":
            return {}


@cache
def _marker(number: int) -> Image:
    """Return a marker in a white margin, which detection needs."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000)
    image = cv2.aruco.generateImageMarker(dictionary, number, MARKER)
    return np.asarray(cv2.copyMakeBorder(image, 12, 12, 12, 12, cv2.BORDER_CONSTANT, value=(255,)), np.uint8)


@cache
def _background(size: tuple[int, int]) -> Image:
    """Return a smooth, still scene that is cheap to encode."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.asarray(96 + 40 * np.sin(x / 37) * np.cos(y / 29), np.uint8)


def _bounce(step: int, room: int) -> int:
    """Return a position that moves from 0 to `room` and back."""
    return room - abs(step % (2 * room) - room) if room > 0 else 0


def marker_box(frame: int, size: tuple[int, int] = SIZE) -> Box:
    """Return where `marker_clip` draws the marker in a frame: x1, y1, x2, y2 in pixels."""
    x = EDGE + _bounce(3 * frame, size[0] - MARKER - 2 * EDGE)
    y = EDGE + _bounce(2 * frame, size[1] - MARKER - 2 * EDGE)
    return x, y, x + MARKER, y + MARKER


def marker_picture(frame: int, size: tuple[int, int] = SIZE) -> Image:
    """Return the brightness of one frame of `marker_clip`."""
    picture = _background(size).copy()
    x1, y1, x2, y2 = marker_box(frame, size)
    picture[y1 - 12 : y2 + 12, x1 - 12 : x2 + 12] = _marker(frame % 1000)
    return picture


@kept
def marker_clip(
    path: Path, *, frames: int = 1800, size: tuple[int, int] = SIZE, **encoding: Unpack[Encoding]
) -> Path:
    """Write a clip whose frame `n` shows marker `n % 1000` of 5x5_1000 at `marker_box(n, size)`."""
    return encode(path, (marker_picture(number, size) for number in range(frames)), **encoding)


def moving_boxes(frame: int, size: tuple[int, int] = (640, 360)) -> list[Box]:
    """Return where `moving_boxes_clip` draws its three boxes in a frame."""
    width, height = size
    boxes = []
    for number, (side, dx, dy) in enumerate(((48, 4, 1), (36, 3, 2), (28, 2, 3))):
        x = _bounce(dx * frame + 97 * number, width - side)
        y = _bounce(dy * frame + 61 * number, height - side)
        boxes.append((x, y, x + side, y + side))
    return boxes


@kept
def moving_boxes_clip(
    path: Path, *, frames: int = 300, size: tuple[int, int] = (640, 360), **encoding: Unpack[Encoding]
) -> Path:
    """Write a clip of bright boxes that move over a still, slightly noisy scene."""

    def picture(number: int) -> Image:
        noise = np.random.default_rng(number).integers(-2, 3, (size[1], size[0]), np.int8)
        image = np.asarray(_background(size) + noise.astype(np.int16), np.uint8)
        for x1, y1, x2, y2 in moving_boxes(number, size):
            image[y1:y2, x1:x2] = 235
        return image

    return encode(path, (picture(number) for number in range(frames)), **encoding)


def truncate(path: Path, share: float, to: Path) -> Path:
    """Write the first `share` of a file's bytes to `to`."""
    data = path.read_bytes()
    to.write_bytes(data[: int(len(data) * share)])
    return to


def damage(
    path: Path, to: Path, *, flips: int = 300, seed: int = 1, first: float = 0.2, last: float = 0.8
) -> Path:
    """Write a copy with `flips` single bytes changed between two shares of the file."""
    data = bytearray(path.read_bytes())
    generator = np.random.default_rng(seed)
    for place in generator.integers(int(len(data) * first), int(len(data) * last), flips):
        data[place] ^= 0xFF
    to.write_bytes(data)
    return to


def overwrite_packets(path: Path, to: Path, first: int, last: int, seed: int = 1) -> Path:
    """Write a copy in which random bytes replace the video packets `first` to `last`, in decode order."""
    data = bytearray(path.read_bytes())
    generator = np.random.default_rng(seed)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        for packet in packets[first : last + 1]:
            if packet.pos is not None:
                data[packet.pos : packet.pos + packet.size] = generator.bytes(packet.size)
    to.write_bytes(data)
    return to


def audio_only_clip(path: Path, seconds: float = 1.0) -> Path:
    """Write a container with sound and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for number in range(int(seconds * 44100 / 1024)):
            samples = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def text_as_mp4(path: Path) -> Path:
    """Write a text file with the name of a video."""
    path.write_text("This is not a video.\n" * 200)
    return path

"""Pictures as they go over the wire: one chunk of bytes a frame, of videos that change or stand still."""

import io
from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from itertools import islice
from typing import cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from app.domain.picture import Image
from tests.support.clips import marker_picture

RATE = 10
"""Frames a second of every faulty source."""

GOP = 10
LENGTH = 450
"""Frames of a live video: more than any connection lasts."""

MOVING = 20
"""Frames until a video that stands still, or changes, does."""

SIZE, OTHER_SIZE = (320, 240), (256, 192)
BOUNDARY = b"frame"


def pictures(size: tuple[int, int], *, still: bool = False) -> Iterable[Image]:
    """Markers that move, or do so for MOVING pictures only."""
    return (marker_picture(min(number, MOVING) if still else number, size) for number in range(LENGTH))


@cache
def transport_stream(
    encoder: str = "libx264", size: tuple[int, int] = SIZE, *, still: bool = False
) -> tuple[bytes, ...]:
    """MPEG-TS, frame by frame. Of one picture, every key frame is the same too."""
    file = io.BytesIO()
    chunks: list[bytes] = []
    options = {
        "libx264": {"preset": "ultrafast", "tune": "zerolatency", "qp": "28", "forced-idr": "1"},
        "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=error"},
        "mpeg2video": {"b": "1000000"},
    }[encoder]
    with av.open(file, "w", format="mpegts", options={"fflags": "flush_packets"}) as container:
        stream = cast("VideoStream", container.add_stream(encoder, rate=RATE, options=options))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = GOP
        stream.codec_context.time_base = Fraction(1, RATE)
        stream.codec_context.max_b_frames = 0
        for number, luma in enumerate(pictures(size, still=still)):
            planes = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
            planes[: size[1]] = luma
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
            chunks.append(_taken(file))
        container.mux(stream.encode())
    return tuple(chunks)


def _taken(file: io.BytesIO) -> bytes:
    data = file.getvalue()
    file.seek(0)
    file.truncate()
    return data


@cache
def snapshots(size: tuple[int, int] = SIZE, *, still: bool = False) -> tuple[bytes, ...]:
    """A camera's JPEG pictures, frame by frame, each alone."""
    return tuple(part.partition(b"\r\n\r\n")[2][:-2] for part in jpegs(size, still=still))


def jpegs(size: tuple[int, int] = SIZE, *, still: bool = False) -> tuple[bytes, ...]:
    """A camera's JPEG pictures, frame by frame, as parts of one endless response."""
    chunks: dict[bytes, bytes] = {}
    found = []
    for luma in islice(pictures(size, still=still), LENGTH):
        raw = luma.tobytes()
        if raw not in chunks:
            data = cv2.imencode(".jpg", luma)[1].tobytes()
            head = b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (BOUNDARY, len(data))
            chunks[raw] = head + data + b"\r\n"
        found.append(chunks[raw])
    return tuple(found)

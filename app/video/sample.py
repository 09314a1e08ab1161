"""A sample recording, drawn and encoded here: markers that move through a yard, for those without a video."""

import os
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np

from ..domain.picture import Image

NAME = "sample.mp4"
WIDTH, HEIGHT, FPS, SECONDS = 640, 360, 25, 12
_MARKER, _MARGIN = 56, 10  # pixels; detection needs the white margin
_SIDE = _MARKER + 2 * _MARGIN
_OPTIONS = {"preset": "veryfast", "crf": "26"}

# Marker, its first and last second, and from where to where its card moves, in fractions of the picture.
_CARDS = (
    (7, 0.0, 8.0, (0.02, 0.62), (0.86, 0.62)),
    (21, 1.0, 12.0, (0.86, 0.30), (0.10, 0.30)),
    (42, 4.0, 12.0, (0.16, 0.04), (0.16, 0.70)),
)


def write_sample(folder: Path) -> Path:
    """Write the recording into a folder, unless it is there already, and return its path.

    It appears under its name only when it is complete.

    Raises:
        OSError: the folder cannot be written to.
    """
    path = folder / NAME
    if path.exists():
        return path
    descriptor, hidden = tempfile.mkstemp(dir=folder, prefix=".sample-", suffix=".mp4")
    os.close(descriptor)
    try:
        _encode(Path(hidden))
        Path(hidden).chmod(0o644)
        _publish(Path(hidden), path)
    finally:
        Path(hidden).unlink(missing_ok=True)
    return path


def _publish(hidden: Path, path: Path) -> None:
    """Give a file its name, unless another one has it by now."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        return
    except OSError:  # a disk without hard links
        hidden.rename(path)


def _encode(path: Path) -> None:
    background = _background()
    cards = {number: _card(number) for number, *_ in _CARDS}
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FPS * SECONDS):
            picture = background.copy()
            for marker, first, last, begin, end in _CARDS:
                seconds = number / FPS
                if first <= seconds < last:
                    share = (seconds - first) / (last - first)
                    x, y = (
                        round(size * (a + (b - a) * share))
                        for size, a, b in zip((WIDTH, HEIGHT), begin, end, strict=True)
                    )
                    _paste(picture, cards[marker], x, y)
            frame = av.VideoFrame.from_ndarray(cast("Any", picture), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _background() -> Image:
    """Return a yard: sky, a wall, and ground with a line."""
    rows = np.linspace(0, 1, HEIGHT)[:, None, None]
    shades = (1 - rows) * np.array((196, 178, 150)) + rows * np.array((96, 110, 104))
    picture: Image = np.repeat(shades, WIDTH, axis=1).astype(np.uint8)
    cv2.rectangle(picture, (0, round(0.24 * HEIGHT)), (WIDTH, round(0.30 * HEIGHT)), (82, 92, 110), -1)
    cv2.line(picture, (WIDTH // 2, round(0.30 * HEIGHT)), (WIDTH // 2, HEIGHT), (150, 170, 176), 3)
    return picture


def _card(marker: int) -> Image:
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000)
    image = cv2.aruco.generateImageMarker(dictionary, marker, _MARKER)
    edge = _MARGIN
    framed = cv2.copyMakeBorder(image, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(255,))
    return np.asarray(cv2.cvtColor(framed, cv2.COLOR_GRAY2BGR), np.uint8)


def _paste(picture: Image, card: Image, x: int, y: int) -> None:
    x, y = min(max(x, 0), WIDTH - _SIDE), min(max(y, 0), HEIGHT - _SIDE)
    picture[y : y + _SIDE, x : x + _SIDE] = card

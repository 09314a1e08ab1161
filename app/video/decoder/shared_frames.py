"""Decoded frames in memory that two processes share: slots of one size, one picture in each.

The memory has no name, so nothing of it is left behind however the processes end.
"""

import fcntl
import mmap
import os
import tempfile
from collections.abc import Callable
from typing import Annotated
from weakref import finalize

import av
import numpy as np
from msgspec import Meta, Struct

from ...domain.picture import Image
from ..errors import VideoError
from ..formats import MAX_PIXELS, limit_allocations
from ..orientation import Orientation
from ..pictures import AvPicture, rows_of

SLOT = MAX_PIXELS * 8
"""Bytes of the largest picture that is read, at 8 bytes per pixel. Pages that are not used take no memory."""

_Size = Annotated[int, Meta(ge=1, le=2**20)]


class Plane(Struct, frozen=True, array_like=True):
    """How a plane lies in its slot: `height` rows of `row` bytes, padding included."""

    height: _Size
    row: _Size


class Pixels(Struct, frozen=True, array_like=True):
    """Which slot a picture is in, and how to read it. Its planes lie there one after the other."""

    slot: Annotated[int, Meta(ge=0)]
    format: str
    width: _Size
    height: _Size
    orientation: Orientation
    color_range: Annotated[int, Meta(ge=0, le=2)]  # FFmpeg does not check these
    colorspace: Annotated[int, Meta(ge=0, le=17)]
    color_primaries: Annotated[int, Meta(ge=0, le=511)]
    color_trc: Annotated[int, Meta(ge=0, le=511)]
    planes: list[Plane]


def shared_memory(slots: int) -> int:
    """Return a file descriptor of memory with so many slots."""
    if hasattr(os, "memfd_create"):
        memory = os.memfd_create("pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, slots * SLOT)
        # Otherwise the other process could shrink it, and reading it would kill this one.
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return memory
    with tempfile.TemporaryFile() as file:
        file.truncate(slots * SLOT)
        return os.dup(file.fileno())


def copy(frame: av.VideoFrame, orientation: Orientation, memory: Image, slot: int) -> Pixels:
    """Copy a frame into a slot of the memory.

    Raises:
        VideoError: the frame does not fit.
    """
    end = slot * SLOT
    planes = []
    for plane in frame.planes:
        rows = rows_of(plane)
        begin, end = end, end + rows.size
        if end > (slot + 1) * SLOT:
            raise VideoError("the pictures take more than 8 bytes a pixel", retryable=False)
        memory[begin:end] = rows.reshape(-1)
        planes.append(Plane(*rows.shape))
    return Pixels(
        slot,
        frame.format.name,
        frame.width,
        frame.height,
        orientation,
        int(frame.color_range),
        int(frame.colorspace),
        int(frame.color_primaries),
        int(frame.color_trc),
        planes,
    )


class SharedPicture(AvPicture):
    """A picture in a slot. The slot is released once neither it nor a view of its pixels is left."""

    def __init__(self, pixels: Pixels, memory: mmap.mmap, release: Callable[[int], None]) -> None:
        """`release` is called with the slot, in any thread.

        Raises:
            ValueError: the picture cannot be of that size or format.
        """
        super().__init__(_frame(pixels), orientation=pixels.orientation)
        self._pixels = pixels
        size = sum(plane.height * plane.row for plane in pixels.planes)
        if size > SLOT:
            raise ValueError("the picture is larger than its slot")
        data = np.frombuffer(memory, np.uint8, size, pixels.slot * SLOT)
        finalize(data, release, pixels.slot).atexit = False
        self._data: list[Image] = []
        begin = 0
        for plane in pixels.planes:
            end = begin + plane.height * plane.row
            self._data.append(data[begin:end].reshape(plane.height, plane.row))
            begin = end

    def _rows(self, number: int) -> Image:
        return self._data[number]

    def _frame_with_pixels(self) -> av.VideoFrame:
        frame = _frame(self._pixels)
        for plane, rows in zip(frame.planes, self._data, strict=True):
            target = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
            width = min(target.shape[1], rows.shape[1])
            target[:, :width] = rows[:, :width]
        return frame


def _frame(pixels: Pixels) -> av.VideoFrame:
    """Return a frame whose pixels are not set: memory that is not written to costs next to nothing."""
    limit_allocations()  # because the size comes from the decoder process
    frame = av.VideoFrame(pixels.width, pixels.height, pixels.format)
    frame.color_range = pixels.color_range
    frame.colorspace = pixels.colorspace
    frame.color_primaries = pixels.color_primaries
    frame.color_trc = pixels.color_trc
    return frame

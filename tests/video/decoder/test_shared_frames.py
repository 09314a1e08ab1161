"""Pictures that come from another process are the same to the last bit."""

import gc
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from app.domain.picture import Image
from app.video.decoder.shared_frames import SLOT, Pixels, Plane, SharedPicture, copy, shared_memory
from app.video.orientation import AS_STORED, Orientation
from app.video.pictures import AvPicture
from tests.video.test_pictures import FORMATS, frame


@contextmanager
def memory(slots: int = 1) -> Iterator[tuple[Image, mmap.mmap]]:
    """The decoder's view of some memory, and the runner's."""
    descriptor = shared_memory(slots)
    try:
        near = np.frombuffer(mmap.mmap(descriptor, slots * SLOT), np.uint8)
        yield near, mmap.mmap(descriptor, slots * SLOT, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def sent(decoded: av.VideoFrame, orientation: Orientation = AS_STORED) -> SharedPicture:
    with memory() as (near, far):
        return SharedPicture(copy(decoded, orientation, near, 0), far, lambda _: None)


def assert_same(picture: SharedPicture, expected: AvPicture) -> None:
    assert (picture.width, picture.height) == (expected.width, expected.height)
    for size in (None, (160, 90), (400, 300), (101, 77)):
        assert np.array_equal(picture.gray(size), expected.gray(size))
        assert np.array_equal(picture.bgr(size), expected.bgr(size))


@pytest.mark.parametrize("format", [*FORMATS, "pal8"])
@pytest.mark.parametrize("width", [320, 322, 333])
def test_they_are_the_same_in_every_format(format: str, width: int) -> None:  # noqa: A002
    decoded = frame("gray", width, 181).reformat(format="rgb8") if format == "pal8" else None
    if decoded is not None:
        indexes = np.asarray(decoded.to_ndarray(), np.uint8)
        palette = np.arange(1024, dtype=np.uint8).reshape(256, 4)
        decoded = av.VideoFrame.from_ndarray((indexes, palette), format="pal8")  # type: ignore[arg-type]
    decoded = decoded or frame(format, width, 181)
    assert_same(sent(decoded), AvPicture(decoded))


def test_they_are_turned_alike_and_keep_their_colours() -> None:
    decoded = frame("yuv420p")
    decoded.color_range, decoded.colorspace, decoded.color_primaries = 2, 12, 9
    orientation = Orientation(90, is_mirrored=True)
    assert_same(sent(decoded, orientation), AvPicture(decoded, orientation=orientation))


def test_nobody_who_looks_at_one_can_write_to_it() -> None:
    with pytest.raises(ValueError, match="read-only"):
        sent(frame("yuvj420p")).gray()[0, 0] = 1


def test_a_slot_is_free_once_nobody_looks_at_its_picture() -> None:
    released: list[int] = []
    with memory(2) as (near, far):
        picture = SharedPicture(copy(frame("yuvj420p"), AS_STORED, near, 1), far, released.append)
    view = picture.gray()[10:20, 10:20]
    del picture
    gc.collect()
    assert released == []
    del view
    gc.collect()
    assert released == [1]


def test_the_memory_cannot_be_taken_away_from_who_reads_it() -> None:
    descriptor = shared_memory(1)
    try:
        if hasattr(os, "memfd_create"):
            with pytest.raises(PermissionError):
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def test_what_cannot_be_a_picture_is_refused() -> None:
    with memory() as (near, far):
        pixels = copy(frame("yuv420p"), AS_STORED, near, 0)
        fields = [getattr(pixels, name) for name in pixels.__struct_fields__]
        for place, wrong in ((0, 1), (1, "no format"), (-1, []), (-1, [Plane(1, 1)] * 3)):
            changed = list(fields)
            changed[place] = wrong
            with pytest.raises((ValueError, IndexError)):
                SharedPicture(Pixels(*changed), far, lambda _: None).gray()


def test_a_picture_that_is_too_large_is_rejected_before_memory_is_allocated() -> None:
    with memory() as (_, far):
        pixels = Pixels(0, "rgba", 16_000, 16_000, AS_STORED, 0, 0, 2, 2, [Plane(1, 1)])
        with pytest.raises(MemoryError):
            SharedPicture(pixels, far, lambda _: None)


def test_rows_that_are_stored_upwards_come_out_in_order(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "upwards.avi"), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 322, 181, "bgr24"
        container.mux(stream.encode(frame("bgr24")))
        container.mux(stream.encode())
    # Where its height is positive, the rows of an AVI file come from below.
    data = (tmp_path / "upwards.avi").read_bytes()
    downwards, upwards = (number.to_bytes(4, "little", signed=True) for number in (-181, 181))
    (tmp_path / "upwards.avi").write_bytes(data.replace(downwards, upwards, 1))
    with av.open(str(tmp_path / "upwards.avi")) as container:
        decoded = next(container.decode(video=0))
    assert decoded.planes[0].line_size < 0
    assert_same(sent(decoded), AvPicture(decoded))

"""A file that is one picture is a recording of one frame."""

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from app.domain.sampling import EveryFrame
from app.video.errors import VideoError
from app.video.reading import SampledFrame
from tests.video.recordings import opened, read

PICTURE = np.full((64, 96, 3), (40, 160, 90), np.uint8)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "bmp", "tiff", "webp"])
def test_a_picture_is_one_frame(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"gate.{suffix}"), PICTURE)
    frames = read(tmp_path, f"gate.{suffix}")
    assert [(frame.number, frame.time, type(frame.content)) for frame in frames] == [(0, 0.0, bytes)]
    with opened(tmp_path, f"gate.{suffix}") as video:
        media = video.media
        assert (media.width, media.height, media.frames, media.fps) == (96, 64, 1, None)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_the_colours_of_a_picture_are_right(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"gate.{suffix}"), PICTURE)
    with opened(tmp_path, f"gate.{suffix}") as video:
        frame = next(each for each in video.frames(EveryFrame(), "all") if isinstance(each, SampledFrame))
    assert frame.picture is not None
    assert np.abs(frame.picture.bgr().astype(int) - PICTURE).max() <= 2


def test_a_picture_is_recognised_without_its_suffix(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "gate.png"), PICTURE)
    (tmp_path / "gate.png").rename(tmp_path / "gate.mp4")
    assert len(read(tmp_path, "gate.mp4")) == 1


@pytest.mark.parametrize("name", ["gate", "gate.dat", "gate.mjpeg"])
@pytest.mark.parametrize("pictures", [1, 3])
def test_jpegs_need_no_suffix_and_may_follow_each_other(tmp_path: Path, name: str, pictures: int) -> None:
    data = cv2.imencode(".jpg", PICTURE)[1].tobytes()
    (tmp_path / name).write_bytes(data * pictures)
    frames = read(tmp_path, name)
    assert [(frame.number, type(frame.content)) for frame in frames] == [(n, bytes) for n in range(pictures)]


def test_an_animated_webp_is_refused_in_a_sentence_that_helps(tmp_path: Path) -> None:
    beginning = b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x5f\0\0\x3f\0\0"
    (tmp_path / "cat.webp").write_bytes(beginning + b"ANIM\x06\0\0\0" + bytes(6))
    with pytest.raises(
        VideoError, match=r"^cat\.webp is an animated WebP, which is not supported: convert it"
    ):
        read(tmp_path, "cat.webp")


def test_an_animated_png_is_a_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "cat.png"), "w", format="apng") as container:
        stream = container.add_stream("apng", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb24"
        for shade in (0, 100, 200):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), shade, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert [frame.number for frame in read(tmp_path, "cat.png")] == [0, 1, 2]


def test_a_damaged_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "gate.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(VideoError, match=r"^the only frame could not be decoded: its data are damaged"):
        read(tmp_path, "gate.png")


def test_a_photo_is_turned_as_its_exif_data_says(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "phone.jpg"), PICTURE)
    data = (tmp_path / "phone.jpg").read_bytes()
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: to the right
    exif = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff
    (tmp_path / "phone.jpg").write_bytes(data[:2] + exif + data[2:])
    with opened(tmp_path, "phone.jpg") as video:
        assert (video.media.width, video.media.height, video.media.rotation) == (64, 96, 90)


def test_a_picture_in_tiles_is_refused_in_a_sentence_that_helps(tmp_path: Path) -> None:
    """FFmpeg takes each tile for a track: one of 48 would be analysed instead of the picture."""

    def box(kind: bytes, *content: bytes) -> bytes:
        data = b"".join(content)
        return struct.pack(">I", len(data) + 8) + kind + data

    def item(number: int, kind: bytes) -> bytes:
        return box(b"infe", struct.pack(">IHH", 2 << 24, number, 0), kind, b"\0")

    tiles = [item(number, b"hvc1") for number in range(1, 49)]
    for primary, refused in ((49, True), (1, False)):
        items = box(b"iinf", struct.pack(">IH", 0, 49), *tiles, item(49, b"grid"))
        first = box(b"pitm", struct.pack(">IH", 0, primary))
        meta = box(b"meta", bytes(4), first, items)
        (tmp_path / "a.heic").write_bytes(
            box(b"ftyp", b"heic\0\0\0\0mif1heic") + meta + box(b"mdat", bytes(64))
        )
        with pytest.raises(VideoError) as caught:
            read(tmp_path, "a.heic")
        assert ("is one picture in tiles" in str(caught.value)) == refused

"""Damaged recordings: each picture keeps its ordinal, and a lost one is a frame with an error."""

from pathlib import Path

import av
import pytest

from app.domain.reason import ScenarioWarning
from app.domain.sampling import EveryFrame, FixedRate, KeyframesOnly
from app.video.reading import SampledFrame, Watermark
from tests.support import clips
from tests.video.recordings import SIZE, marker, opened, read

FRAMES, GOP = 125, 25
INDEXED = ["h264.mp4", "hevc.mp4", "mpeg4.mp4", "h264.mov", "h264.avi", "mpeg4.avi", "mjpeg.avi"]
"""These list all of their pictures."""
TIMED = [
    "h264.mkv", "hevc.mkv", "vp8.mkv", "mjpeg.mkv", "h264.ts", "hevc.ts", "mpeg2.ts", "mpeg2.mpg",
    "mjpeg.asf",
]  # fmt: skip
"""These tell by their times how many are missing."""
MISSING = "the frame is missing: the file is damaged"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


def made(media: Path, name: str) -> Path:
    codec: clips.Codec = name.split(".")[0]  # type: ignore[assignment]
    if not (media / name).exists():
        clips.marker_clip(media / name, frames=FRAMES, size=SIZE, codec=codec, gop=GOP)
    return media / name


def frames_of(media: Path, name: str) -> tuple[list[SampledFrame], list[ScenarioWarning]]:
    """Every frame of a damaged recording, and the warnings; what must agree is compared."""
    with opened(media, name) as video:
        entries = list(video.frames(EveryFrame(), "all"))
    frames = [entry for entry in entries if isinstance(entry, SampledFrame)]
    assert [frame.frame for frame in frames] == list(range(FRAMES))
    assert entries[-1] == Watermark(FRAMES, frames[-1].time)
    assert video.media.frames in (None, FRAMES)
    # In MPEG-4 in AVI, the picture beside a missing one may take its time.
    tolerance = 0.034 if "mpeg4.avi" in name else 0.0021
    assert [frame.time for frame in frames] == pytest.approx([n / 30 for n in range(FRAMES)], abs=tolerance)
    return frames, video.warnings


def wrong(frames: list[SampledFrame], damaged: range) -> list[int]:
    """Frames that show another picture than theirs, those that depend on damaged ones left aside."""
    until = -(-damaged.stop // GOP) * GOP
    return [
        frame.frame
        for frame in frames
        if not damaged.start - 3 <= frame.frame < until
        and (frame.error or marker(frame.picture) != frame.frame)
    ]


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        *((name, range(40, 65)) for name in [*INDEXED, *TIMED]),
        *((name, range(25, 50)) for name in INDEXED),
        *((name, range(1, GOP)) for name in INDEXED),
        *((name, range(GOP)) for name in ("h264.mp4", "hevc.mp4", "mjpeg.avi")),
        *((name, range(90, FRAMES)) for name in INDEXED),
        *((name, range(62, 63)) for name in INDEXED),
    ],
)
def test_each_picture_keeps_its_ordinal(media: Path, name: str, damaged: range) -> None:
    clips.overwrite_packets(made(media, name), media / f"damaged_{name}", damaged.start, damaged.stop - 1)
    frames, _ = frames_of(media, f"damaged_{name}")
    assert wrong(frames, damaged) == []
    assert sum(frame.error is not None for frame in frames) >= len(damaged)


@pytest.mark.parametrize("name", [*INDEXED, *TIMED])
def test_bytes_between_packets_may_be_damaged_too(media: Path, name: str) -> None:
    data = bytearray(made(media, name).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = b"\xaa" * 3000
    (media / f"overwritten_{name}").write_bytes(data)
    frames, warnings = frames_of(media, f"overwritten_{name}")
    assert wrong(frames, range(50, 75)) == []
    missing = [frame.frame for frame in frames if frame.error == MISSING]
    expected = [
        ScenarioWarning(
            "pictures_lost",
            f"The file is damaged: {len(missing)} of {FRAMES} frames are missing in it, the first of them"
            f" {missing[0]}. They are stored with an error.",
            missing[0],
        )
        for _ in missing[:1]
    ]
    assert warnings == expected
    assert bool(missing) == (name not in ("h264.mp4", "hevc.mp4", "mpeg4.mp4", "h264.mov"))


@pytest.mark.parametrize("name", [*INDEXED, *TIMED])
def test_a_resumed_read_of_a_damaged_recording_gives_the_same(media: Path, name: str) -> None:
    clips.overwrite_packets(made(media, name), media / f"resumed_{name}", 40, 64)
    whole = read(media, f"resumed_{name}")
    for start in (30, 45, 60, 80):
        assert read(media, f"resumed_{name}", start=start) == whole[start:]
    for sampling in (FixedRate(5), FixedRate(11)):
        sampled = read(media, f"resumed_{name}", sampling)
        assert sampled == [whole[frame.number] for frame in sampled]
    keys = read(media, f"resumed_{name}", KeyframesOnly(), "key")
    assert [frame.number for frame in keys] == sorted(frame.number for frame in keys)


@pytest.mark.parametrize("first", [0, 2 * GOP])
@pytest.mark.parametrize("name", ["h264.mp4", "hevc.mp4"])
def test_what_a_damaged_key_frame_shows_does_not_depend_on_where_reading_began(
    media: Path, name: str, first: int
) -> None:
    """Decoders repair it with pictures from before, which a resumed read does not have."""
    data = bytearray(made(media, name).read_bytes())
    with av.open(str(media / name)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
    key = packets[first]
    assert key.is_keyframe
    assert key.pos is not None
    for place in range(key.pos + key.size // 3, key.pos + key.size, 37):
        data[place] ^= 0x55
    (media / f"key_{name}").write_bytes(data)
    whole = read(media, f"key_{name}")
    lost = [frame.number for frame in whole if isinstance(frame.content, str)]
    if name == "h264.mp4":  # FFmpeg does not notice this damage in H.265, and repairs nothing
        assert lost == list(range(first, first + GOP))
    for start in (first, first + 7):
        assert read(media, f"key_{name}", start=start) == whole[start:]


@pytest.mark.parametrize("name", ["h264.mkv", "h264.ts"])
def test_a_camera_that_left_pictures_out_is_not_taken_for_damage(tmp_path: Path, name: str) -> None:
    times = [number / 30 for number in range(120) if not 50 <= number < 80]
    clips.marker_clip(tmp_path / name, frames=len(times), size=SIZE, times=times, gop=GOP)
    with opened(tmp_path, name) as video:
        entries = list(video.frames(EveryFrame(), "all"))
    frames = [entry for entry in entries if isinstance(entry, SampledFrame)]
    assert [marker(frame.picture) for frame in frames] == list(range(90))
    assert video.warnings == []


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mpg", "h264"), ("a.asf", "mpeg2"), ("a.asf", "mpeg4"), ("a.asf", "h264")]
)
def test_pictures_come_in_order_if_the_container_has_few_times(
    tmp_path: Path, name: str, codec: clips.Codec
) -> None:
    clips.marker_clip(tmp_path / name, frames=90, size=SIZE, codec=codec, gop=30)
    with opened(tmp_path, name) as video:
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
    assert [marker(frame.picture) for frame in frames] == list(range(90))
    assert [frame.time for frame in frames] == pytest.approx([n / 30 for n in range(90)], abs=0.0021)


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("name", ["h264.h264", "hevc.hevc", "h264.avi", "mpeg4.avi", "mjpeg.avi", "h264.ts"])
def test_a_recording_of_one_or_two_pictures_is_read(tmp_path: Path, name: str, frames: int) -> None:
    codec: clips.Codec = name.split(".")[0]  # type: ignore[assignment]
    clips.marker_clip(tmp_path / name, frames=frames, size=SIZE, codec=codec)
    assert [frame.number for frame in read(tmp_path, name)] == list(range(frames))

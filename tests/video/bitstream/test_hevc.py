"""H.265 timestamps: the presentation order is restored from the picture order count alone."""

import random
from pathlib import Path

import av
import pytest

from app.video.bitstream.hevc import PictureOrderCounter
from app.video.bitstream.timestamps import restore_timestamps
from tests.support import clips


def packets(path: Path) -> tuple[list[av.Packet], bytes | None]:  # type: ignore[type-arg]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [packet for packet in container.demux(stream) if packet.size], stream.codec_context.extradata


def ranks(times: list[int | None]) -> list[int]:
    shown = sorted(range(len(times)), key=lambda number: times[number] or 0)
    return [shown.index(number) for number in range(len(times))]


@pytest.mark.parametrize(
    ("gop", "bframes", "parameters", "most_reordered"),
    [
        (1000, 3, "", 3),  # long enough for the count to overflow within one GOP
        (24, 4, "open-gop=1:b-pyramid=1:rc-lookahead=20", 4),
        (60, 16, "rc-lookahead=40", 16),
        (24, 2, "repeat-headers=1", 2),
        (24, 0, "", 0),
    ],
)
def test_the_presentation_order_is_that_of_the_container(
    tmp_path: Path, gop: int, bframes: int, parameters: str, most_reordered: int
) -> None:
    params = (
        f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={bframes}:b-adapt=0:log-level=error:{parameters}"
    )
    options = {"x265-params": params.rstrip(":")}
    pictures = [clips.marker_picture(number, (192, 176)) for number in range(700 if gop == 1000 else 150)]
    clips.encode(tmp_path / "a.mp4", pictures, codec="hevc", options=options)
    clips.encode(tmp_path / "a.hevc", pictures, codec="hevc", options=options)
    muxed, _ = packets(tmp_path / "a.mp4")
    raw, extradata = packets(tmp_path / "a.hevc")
    restored = list(restore_timestamps(raw, "hevc", extradata, 1))
    expected = ranks([packet.pts for packet in muxed])
    assert ranks([packet.pts for packet in restored]) == expected
    assert max(abs(rank - number) for number, rank in enumerate(expected)) == most_reordered
    for number, packet in enumerate(restored):
        for later in restored[number : number + 20]:
            assert later.pts is not None
            assert packet.dts is not None
            assert later.pts >= packet.dts


def test_a_damaged_unit_raises_nothing_but_value_error(tmp_path: Path) -> None:
    clips.marker_clip(tmp_path / "a.hevc", frames=20, size=(256, 192), codec="hevc")
    data = (tmp_path / "a.hevc").read_bytes()
    nal_units = [unit for unit in data.split(b"\0\0\1") if unit]
    generator = random.Random(1)
    rejected = 0
    for _ in range(3000):
        counter = PictureOrderCounter(None)
        for unit in nal_units[:8]:
            damaged = bytearray(unit[: generator.choice((3, 10, 60))])
            for _ in range(generator.choice((0, 1, 8))):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            try:
                counter.read_unit(bytes(damaged))
            except ValueError:
                rejected += 1
    assert rejected > 100

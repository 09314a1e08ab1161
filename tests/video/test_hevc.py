"""The order of H.265 pictures, read from the pictures alone."""

import random
from pathlib import Path

import av
import pytest

from app.video.hevc import PictureOrder, in_order
from tests.support import clips


def packets(path: Path) -> tuple[list[av.Packet], bytes | None]:  # type: ignore[type-arg]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [packet for packet in container.demux(stream) if packet.size], stream.codec_context.extradata


def ranks(times: list[int | None]) -> list[int]:
    shown = sorted(range(len(times)), key=lambda number: times[number] or 0)
    return [shown.index(number) for number in range(len(times))]


@pytest.mark.parametrize(
    ("gop", "bframes", "parameters", "deepest"),
    [
        (1000, 3, "", 3),  # long enough for the numbers to begin again within one group
        (24, 4, "open-gop=1:b-pyramid=1:rc-lookahead=20", 4),
        (60, 16, "rc-lookahead=40", 16),
        (24, 2, "repeat-headers=1", 2),
        (24, 0, "", 0),
    ],
)
def test_the_order_is_that_of_the_container(
    tmp_path: Path, gop: int, bframes: int, parameters: str, deepest: int
) -> None:
    params = (
        f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={bframes}:b-adapt=0:log-level=error:{parameters}"
    )
    options = {"x265-params": params.rstrip(":")}
    pictures = [clips.marker_picture(number, (192, 176)) for number in range(700 if gop == 1000 else 150)]
    clips.encode(tmp_path / "a.mp4", pictures, codec="hevc", options=options)
    clips.encode(tmp_path / "a.hevc", pictures, codec="hevc", options=options)
    told, _ = packets(tmp_path / "a.mp4")
    found = list(in_order(*packets(tmp_path / "a.hevc"), 1))
    truth = ranks([packet.pts for packet in told])
    assert ranks([packet.pts for packet in found]) == truth
    assert max(abs(rank - number) for number, rank in enumerate(truth)) == deepest
    for number, packet in enumerate(found):
        for later in found[number : number + 20]:
            assert later.pts is not None
            assert packet.dts is not None
            assert later.pts >= packet.dts


def test_damaged_units_are_errors_and_no_more(tmp_path: Path) -> None:
    clips.marker_clip(tmp_path / "a.hevc", frames=20, size=(256, 192), codec="hevc")
    data = (tmp_path / "a.hevc").read_bytes()
    units = [unit for unit in data.split(b"\0\0\1") if unit]
    chance = random.Random(1)
    refused = 0
    for _ in range(3000):
        order = PictureOrder()
        for unit in units[:8]:
            damaged = bytearray(unit[: chance.choice((3, 10, 60))])
            for _ in range(chance.choice((0, 1, 8))):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            try:
                order.read(bytes(damaged))
            except ValueError:
                refused += 1
    assert refused > 100

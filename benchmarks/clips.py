"""Clips like those of a fixed camera; long ones repeat a short encoded part."""

from pathlib import Path

import av

from tests.support.clips import moving_boxes_clip

FPS = 30


def camera_clip(path: Path, *, seconds: int, size: tuple[int, int], encoded: int = 10) -> Path:
    """Write H.264 at 30 frames/s with a key frame every two seconds; `encoded` seconds are repeated."""
    once = moving_boxes_clip(path.with_suffix(".once.mp4"), frames=FPS * min(encoded, seconds), size=size)
    if seconds <= encoded:
        return once.rename(path)
    with av.open(str(path), "w") as target:
        for turn in range(seconds // encoded):
            with av.open(str(once)) as source:
                stream = source.streams.video[0]
                if turn == 0:
                    copy = target.add_stream_from_template(stream)
                assert stream.time_base is not None
                shift = round(turn * encoded / stream.time_base)
                for packet in source.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = copy
                    target.mux(packet)
    once.unlink()
    return path

"""Clips like a fixed camera's, long ones without encoding every second of them."""

from pathlib import Path

import av

from tests.support.clips import moving_boxes_clip

FPS = 30


def camera_clip(path: Path, *, seconds: int, size: tuple[int, int], encoded: int = 10) -> Path:
    """H.264 at 30 frames a second, a key frame each two seconds: `encoded` seconds, again and again."""
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

"""Decoding that fails like a fault in FFmpeg: the recording's name says how.

As a program it is the process that decodes.
"""

import ctypes
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from app.domain.sampling import CandidateFrames, Sampling
from app.video.decoder.child import main
from app.video.decoder.protocol import ReadEnded
from app.video.reading import ReadStatus, SampledFrame, Watermark
from app.video.recording import Recording

FRAME = 20
"""The frame at which it happens."""

_frames = Recording.frames


def fail(name: str) -> None:
    """Crash, hang, eat memory or end without a word of why, never to return; nothing for other names."""
    match Path(name).stem:
        case "crashes":
            ctypes.string_at(0)
        case "aborts":
            os.abort()
        case "hangs":
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
        case "eats":
            eaten = []
            while True:
                eaten.append(b"\1" * 2**26)
        case "quits":
            last = msgspec.json.encode(ReadEnded(ReadStatus()))
            socket.socket(fileno=0).sendall(last + b"\n")
            os._exit(0)


def fragile(
    self: Recording,
    sampling: Sampling,
    candidates: CandidateFrames,
    start: int = 0,
    start_sampled: int = 0,
    *,
    has_pictures: bool = False,
) -> Iterator[SampledFrame | Watermark]:
    """`Recording.frames`, as far as it goes."""
    for entry in _frames(self, sampling, candidates, start, start_sampled, has_pictures=has_pictures):
        if isinstance(entry, SampledFrame) and entry.frame == FRAME:
            fail(self._source.address)
        yield entry


Recording.frames = fragile  # type: ignore[method-assign]

if __name__ == "__main__":
    main()

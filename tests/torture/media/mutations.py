"""Mutated recordings, and a process that reads one after the other as a run does.

As a program it takes a folder of clips, a first number and a count, and tells of each mutation: its number,
the seconds it took, the process's peak memory in MiB meanwhile, and how it ended.
"""

import ctypes
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, Literal

from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video.errors import VideoError
from app.video.open import open_video
from app.video.reading import SampledFrame
from app.video.recording import Recording
from tests.support import clips

SIZE = (128, 96)
_EXTREMES = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\0\0\0\1", b"\0\1\0\0"]
_KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264.ts": {},
    "h264.flv": {},
    "h264.avi": {},
    "h264.h264": {},
    "fragments.mp4": {"muxer_options": {"movflags": "frag_keyframe+empty_moov"}},
    "fast.mp4": {"muxer_options": {"movflags": "faststart"}},
    "turned.mp4": {"rotation": 90},
    "hevc.mp4": {"codec": "hevc"},
    "hevc.mkv": {"codec": "hevc"},
    "hevc.hevc": {"codec": "hevc"},
    "mpeg2.ts": {"codec": "mpeg2"},
    "mpeg2.mpg": {"codec": "mpeg2"},
    "mpeg2.mxf": {"codec": "mpeg2"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "mpeg4.nut": {"codec": "mpeg4"},
    "mpeg4.asf": {"codec": "mpeg4"},
    "mjpeg.avi": {"codec": "mjpeg"},
    "mjpeg.mkv": {"codec": "mjpeg"},
    "mjpeg.mov": {"codec": "mjpeg"},
    "vp8.webm": {"codec": "vp8"},
    "vp9.webm": {"codec": "vp9"},
    "vp9.mp4": {"codec": "vp9"},
    "vp8.ivf": {"codec": "vp8"},
    "av1.mp4": {"codec": "av1"},
    "av1.mkv": {"codec": "av1"},
    "ffv1.mkv": {"codec": "ffv1"},
    "ffv1.avi": {"codec": "ffv1"},
}


def make_clips(folder: Path) -> None:
    """One small clip of each kind."""
    for name, options in _KINDS.items():
        clips.moving_boxes_clip(folder / name, frames=16, size=SIZE, gop=8, **options)


def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """One mutation, of one of seven kinds, or two."""
    mutated = bytearray(data)
    for _ in range(chance.choice((1, 1, 2))):
        size = len(mutated)
        # Half of the damage goes where headers and indexes are.
        place = chance.choice((0, 0, max(size - 2000, 0))) + chance.randrange(min(size, 2000))
        place = min(chance.choice((place, chance.randrange(size))), size - 1)
        match chance.randrange(7):
            case 0:
                for _ in range(chance.choice((1, 4, 30, 200))):
                    mutated[chance.randrange(size)] = chance.randrange(256)
            case 1:
                for near in range(place, min(place + chance.choice((1, 4, 16)), size)):
                    mutated[near] ^= 1 << chance.randrange(8)
            case 2:
                mutated[place : place + 4] = chance.choice(_EXTREMES)
            case 3:
                del mutated[place : place + chance.choice((1, 4, 100, size))]
            case 4:
                mutated[place:place] = mutated[place : place + chance.choice((1, 8, 500))] * chance.choice(
                    (1, 9)
                )
            case 5:
                at = chance.randrange(len(other))
                mutated[place : place + 500] = other[at : at + 500]
            case _:
                mutated[place:] = other[min(place, len(other) - 1) :]
        mutated = mutated or bytearray(b"\0")
    return bytes(mutated)


def mutations(folder: Path, first: int, count: int) -> Iterator[tuple[int, str, bytes]]:
    """Numbered from `first` on, each with the suffix that its file has."""
    names = sorted(_KINDS)
    data = {name: (folder / name).read_bytes() for name in names}
    for number in range(first, first + count):
        chance = random.Random(number)
        name = names[number % len(names)]
        yield number, Path(name).suffix, mutate(data[name], data[chance.choice(names)], chance)


def read(path: Path) -> str:
    """Read all of a recording; how it ended."""
    source = parse_source(f"./{path.name}")
    try:
        with open_video(source, path.parent, Networks(""), stop=Event()) as video:
            assert isinstance(video, Recording)
            candidates = video.choose_candidates(EveryFrame())
            pictures = 0
            for entry in islice(video.frames(EveryFrame(), candidates), 2000):
                if isinstance(entry, SampledFrame) and entry.picture is not None:
                    entry.picture.gray()
                    entry.picture.bgr((64, 48))
                    pictures += 1
    except VideoError as error:
        return f"VideoError: {error}"
    return f"{pictures} pictures"


def peak_memory(process: int | Literal["self"] = "self") -> float:
    """Of a process since it began, or since `forget_peak_memory` in it, in MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


def forget_peak_memory() -> None:
    """Begin to look for the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


_THRESHOLDS = (-3, -1)  # of mallopt: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD


@contextmanager
def measured() -> Iterator[Callable[[], float]]:
    """Yield a function that returns how much memory this process took at most since, in MiB.

    What is freed is returned to the system, as in a new process: after large blocks, glibc keeps more of it.
    """
    libc = ctypes.CDLL(None)
    for threshold in _THRESHOLDS:
        libc.mallopt(threshold, 128 * 2**10)
    libc.malloc_trim(0)
    forget_peak_memory()
    before = peak_memory()
    yield lambda: peak_memory() - before


def main(folder: Path, first: int, count: int) -> None:
    """Read so many mutations, and tell of each."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number, suffix, data in mutations(folder, first, count):
        path = folder / f"mutated{suffix}"
        path.write_bytes(data)
        print(number, end=" ", flush=True)
        forget_peak_memory()
        begun = time.monotonic()
        try:
            said = read(path)
        except Exception as error:
            said = f"Unexpected: {error!r}"
        print(f"{time.monotonic() - begun:.2f} {peak_memory():.0f} {said}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

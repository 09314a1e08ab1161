"""Recordings of every kind, drawn by number and made by Debian's `ffmpeg`: number n is always the same one.

Containers and codecs are crossed in turn; what else there is to a recording is drawn.
"""

import random
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from msgspec import Struct

from app.domain.picture import Image
from tests.torture.media.damages import DAMAGES

FRAMES, GOP = 48, 12
SIZES = [(96, 64), (96, 64), (96, 64), (34, 200), (1280, 16), (2, 2), (160, 96)]
ODD_SIZES = [(97, 63), (33, 17)]  # for formats without subsampled colour differences

_X264 = "keyint=12:min-keyint=12:scenecut=0:threads=1:"
_X265 = "keyint=12:min-keyint=12:scenecut=0:log-level=none:pools=1:frame-threads=1:"


class Codec(Struct, frozen=True):
    """How a codec is encoded: the options of one of `shapes`, and one of `formats` for the pixels."""

    options: str
    containers: str
    formats: str = "yuv420p"
    shapes: tuple[str, ...] = ("",)
    least_size: int = 2


_CODECS = {
    "h264": Codec(
        "libx264 -preset ultrafast -crf 16",
        "mp4 fragmented.mp4 mov mkv avi ts mpg flv h264 nut asf",
        "yuv420p yuv420p yuv420p yuvj420p yuv422p yuv444p gray yuv420p10le",
        (
            f"-x264-params {_X264}bframes=0",
            f"-x264-params {_X264}bframes=2:b-adapt=0",
            f"-x264-params {_X264}bframes=3:b-adapt=0:b-pyramid=normal:ref=3",
            f"-x264-params {_X264}bframes=2:b-adapt=0:open-gop=1",
            f"-x264-params {_X264}bframes=2:b-adapt=0:slices=3",
            f"-x264-params {_X264}bframes=2:b-adapt=0:interlaced=1:tff=1",  # MBAFF
        ),
    ),
    "hevc": Codec(
        "libx265 -preset ultrafast -crf 16",
        "mp4 fragmented.mp4 mov mkv ts hevc nut",
        "yuv420p yuv420p yuv422p yuv444p gray yuv420p10le",
        (
            f"-x265-params {_X265}bframes=0",
            f"-x265-params {_X265}bframes=2:b-adapt=0:open-gop=0",
            f"-x265-params {_X265}bframes=3:b-adapt=0:b-pyramid=1:open-gop=1",
        ),
        least_size=64,
    ),
    "mpeg2": Codec(
        "mpeg2video -qscale:v 2",
        "ts mpg mkv avi mov mp4 nut asf",
        "yuv420p yuv420p yuv422p",
        ("-g 12 -bf 0", "-g 12 -bf 2", "-g 12 -bf 2 -flags +cgop -sc_threshold 1000000000",
         "-g 12 -bf 2 -flags +ildct+ilme"),
        least_size=16,
    ),
    "mpeg1": Codec("mpeg1video -qscale:v 2 -g 12", "mpg mkv", shapes=("-bf 0", "-bf 2"), least_size=16),
    "mpeg4": Codec(
        "mpeg4 -qscale:v 2 -g 12",
        "avi mp4 fragmented.mp4 mov mkv nut asf m4v ts",
        shapes=("-bf 0", "-bf 2", "-bf 2 -flags +cgop -sc_threshold 1000000000"),
        least_size=16,
    ),
    "xvid": Codec("libxvid -qscale:v 2 -g 12", "avi", shapes=("-bf 0", "-bf 2"), least_size=16),
    "msmpeg4": Codec("msmpeg4 -qscale:v 2 -g 12", "avi asf", least_size=16),
    "wmv2": Codec("wmv2 -qscale:v 2 -g 12", "asf", least_size=16),
    "flv1": Codec("flv -qscale:v 2 -g 12", "flv", least_size=16),
    "mjpeg": Codec("mjpeg -qscale:v 2", "avi mov mkv mp4 nut asf", "yuvj420p yuvj422p yuvj444p"),
    "vp8": Codec(
        "libvpx -deadline realtime -cpu-used 8 -b:v 2M -g 12",
        "webm mkv ivf ogg",
        shapes=("-auto-alt-ref 0", "-auto-alt-ref 1 -lag-in-frames 8"),
        least_size=16,
    ),
    "vp9": Codec(
        "libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 2M -g 12",
        "webm mkv mp4 ivf",
        "yuv420p yuv420p yuv444p yuv422p",
        ("", "-auto-alt-ref 1 -lag-in-frames 8 -deadline good"),
        least_size=16,
    ),
    "av1": Codec("libsvtav1 -preset 12 -crf 20 -g 12", "mp4 mkv webm ivf", least_size=64),
    "prores": Codec("prores_ks", "mov mkv", "yuv422p10le yuv444p10le", least_size=16),
    "ffv1": Codec("ffv1 -g 12", "mkv avi nut", "gray gray10le yuv411p yuv444p yuva420p bgr0", least_size=16),
    "huffyuv": Codec("huffyuv", "avi mov", "yuv422p rgb24", least_size=16),
    "theora": Codec("libtheora -qscale:v 10 -g 12", "ogg mkv", "yuv420p yuv444p", least_size=16),
}  # fmt: skip

PAIRS = [(codec, container) for codec, how in _CODECS.items() for container in how.containers.split()]

_UNTIMED = frozenset(["h264", "hevc", "m4v", "avi"])
_CONSTANT = _UNTIMED | {"ivf", "ogg", "mpg", "asf", "flv"}
_SHIFTING = frozenset(["mp4", "fragmented.mp4", "mov", "mkv", "webm", "ts", "nut"])
_TURNING = frozenset(["mp4", "mov"])
_MATRICES = {
    "turned": (0, 1, -1, 0), "upside down": (-1, 0, 0, -1), "turned back": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1), "flipped": (1, 0, 0, -1), "transposed": (0, 1, 1, 0),
    "transversed": (0, -1, -1, 0),
}  # fmt: skip


class Recipe(Struct, frozen=True):
    """How one recording is made. `times` are those of its pictures, in the order that they are shown."""

    number: int
    codec: str
    container: str
    shape: str
    format: str
    size: tuple[int, int]
    fps: str
    timing: str
    orientation: str
    damage: str

    @property
    def name(self) -> str:
        """The file's name, without what damage adds."""
        return f"{self.number}.{self.container}"

    @property
    def has_times(self) -> bool:
        """Whether the container stores when each picture is shown, and not only when it is decoded."""
        if self.container == "asf":
            return self.codec not in ("h264", "mpeg2")
        return self.container not in _UNTIMED and (self.codec, self.container) != ("h264", "mpg")

    def __str__(self) -> str:
        parts = [f"{self.number}: {self.codec} in {self.container}", self.format, "{}x{}".format(*self.size)]
        parts += [f"{self.fps} fps", self.timing, self.orientation, self.damage, self.shape]
        return ", ".join(part for part in parts if part)


def draw(number: int) -> Recipe:
    """Return the recipe of that number."""
    chance = random.Random(number)
    codec, container = PAIRS[number % len(PAIRS)]
    how = _CODECS[codec]
    pixel_format = chance.choice(how.formats.split())
    is_odd = pixel_format in ("gray", "yuv444p", "yuvj444p", "rgb24", "bgr0") and how.least_size < 64
    sizes = [size for size in SIZES if min(size) >= how.least_size]
    size = chance.choice(sizes + (ODD_SIZES if is_odd and codec != "vp9" else []))
    fps = "25" if codec in ("mpeg1", "mpeg2") else chance.choice(["25", "25", "30000/1001", "10", "120"])
    timings = ["", "", ""]
    if container not in _CONSTANT and codec not in ("mpeg1", "mpeg2", "xvid", "av1"):
        timings += ["varied", "rare"]
    if container in _SHIFTING:
        timings += ["late", *(["early"] if container != "nut" else [])]
    if container in ("mp4", "mov"):
        timings += ["trimmed"]
    if container == "flv" and "bframes=0" in how.shapes[0]:
        timings += ["dense"]
    timing = chance.choice(timings)
    shape = chance.choice(how.shapes)
    if "interlaced" in shape:
        size = max(size, (34, 64))
    if timing == "dense":
        shape, fps = how.shapes[0], "1500"
    orientation = chance.choice(["", "", *_MATRICES]) if container in _TURNING else ""
    return Recipe(
        number=number,
        codec=codec,
        container=container,
        shape=shape,
        format=pixel_format,
        size=size,
        fps=fps,
        timing=timing,
        orientation=orientation,
        damage=chance.choice(["", "", *DAMAGES]),
    )


@cache
def _frame(number: int, size: tuple[int, int]) -> Image:
    """Return a picture (BGR) that no other looks like: blocks of random colours beside a moving gradient."""
    width, height = size
    generator = np.random.default_rng(number)
    blocks = generator.integers(30, 226, (-(-height // 16), -(-width // 32), 3), np.uint8)
    left = np.repeat(np.repeat(blocks, 16, axis=0), 16, axis=1)[:height]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    image = np.asarray((x * 2 + y * 3 + 5 * number) % 160 + 40, np.uint8)[..., None].repeat(3, axis=2)
    image[:, : left.shape[1]] = left[:, :width]
    return image


def make(recipe: Recipe, folder: Path) -> Path:
    """Make the recording, undamaged."""
    path = folder / recipe.name
    width, height = recipe.size
    command = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}", "-r", recipe.fps, "-i", "-"]
    match recipe.timing:
        case "varied":
            command += [
                "-vf",
                "settb=1/1000,setpts=(2*N+trunc(N*N/9)+mod(N\\,2))/25/TB",
                "-enc_time_base",
                "1/1000",
            ]
        case "rare":
            command += ["-vf", "settb=1/1000,setpts=10*N/TB", "-enc_time_base", "1/1000"]
    command += ["-fps_mode", "passthrough", "-pix_fmt", recipe.format, "-strict", "-1"]
    command += ["-c:v", *_CODECS[recipe.codec].options.split(), *recipe.shape.split()]
    match recipe.timing:
        case "late":
            command += ["-output_ts_offset", "5000.04"]
        case "early":
            offset = -5 / eval_rate(recipe.fps)
            command += ["-output_ts_offset", f"{offset:.6f}", "-avoid_negative_ts", "disabled"]
    if recipe.container == "fragmented.mp4":
        command += ["-movflags", "frag_keyframe+empty_moov"]
    pictures = b"".join(_frame(number, recipe.size).tobytes() for number in range(FRAMES))
    run(["ffmpeg", *command, str(path)], pictures)
    if recipe.timing == "trimmed":  # an edit list that begins within a group of pictures
        whole = path.rename(folder / f"whole_{recipe.name}")
        seconds = 5 / eval_rate(recipe.fps)
        run(["ffmpeg", "-ss", f"{seconds:.6f}", "-i", str(whole), "-c", "copy", str(path)])
    if recipe.orientation:
        _orient(path, _MATRICES[recipe.orientation])
    return path


def run(command: list[str], sent: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run one of FFmpeg's programs, and return what it wrote."""
    program, *arguments = command
    quiet = ["-v", "error"] if program == "ffprobe" else ["-hide_banner", "-nostats", "-y"]
    done = subprocess.run(
        [program, *quiet, *arguments], input=sent, capture_output=True, check=False, timeout=120
    )
    if sent and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done


def eval_rate(fps: str) -> float:
    """Return frames per second of a rate such as `30000/1001`."""
    above, _, below = fps.partition("/")
    return int(above) / int(below or 1)


def _orient(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Set the display matrix of an mp4's only track."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 4 + 20 + 16  # version 0
    a, b, c, d = matrix
    for offset, value in zip(range(0, 36, 4), (a, b, 0, c, d, 0, 0, 0, 0x4000), strict=True):
        number = (value << 16) & 0xFFFFFFFF
        data[place + offset : place + offset + 4] = number.to_bytes(4, "big")
    path.write_bytes(data)


def recipes(first: int, count: int) -> Iterator[Recipe]:
    """Yield so many recipes."""
    return (draw(number) for number in range(first, first + count))

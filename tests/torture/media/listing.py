"""What FFmpeg's own programs say of a recording: its packets, and the pictures that they decode."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class Packet(Struct, frozen=True):
    """A coded picture as `ffprobe` lists it, in decode order. `pts` in ticks, `pos` and `size` in bytes."""

    pts: int | None
    pos: int | None
    size: int
    is_key: bool
    is_discarded: bool


class Shown(Struct, frozen=True):
    """A picture that `ffmpeg` decoded: its time in ticks, and BGR of shape (height, width, 3)."""

    pts: int | None
    pixels: Pixels


class Listing(Struct, frozen=True):
    """`tick` is in seconds. `shown` is in the order in which `ffmpeg` gives pictures out."""

    tick: float
    packets: list[Packet]
    shown: list[Shown]


def list_packets(path: Path) -> tuple[float, list[Packet]]:
    """Return the length of a tick in seconds, and the packets of the first video track."""
    entries = "stream=time_base:packet=pts,size,pos,flags"
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_packets", "-show_entries", entries]
    done = subprocess.run([*command, "-of", "json", str(path)], capture_output=True, check=False, timeout=60)
    listed = json.loads(done.stdout or b"{}")
    streams = listed.get("streams", [])
    above, _, below = (streams[0]["time_base"] if streams else "1/1").partition("/")
    packets = [
        Packet(
            packet.get("pts"),
            int(packet["pos"]) if "pos" in packet else None,
            int(packet["size"]),
            "K" in packet["flags"],
            "D" in packet["flags"],
        )
        for packet in listed.get("packets", [])
    ]
    return int(above) / int(below), packets


def list_recording(path: Path, size: tuple[int, int]) -> Listing:
    """Return what there is to know of a recording whose pictures are shown in that size (width, height)."""
    tick, packets = list_packets(path)
    width, height = size
    command = [
        "ffmpeg",
        "-hide_banner",
        "-nostats",
        "-copyts",
        "-threads",
        "1",
        "-i",
        str(path),
        "-map",
        "0:v:0",
    ]
    command += ["-vf", f"scale={width}:{height}:flags=accurate_rnd+full_chroma_int,showinfo=checksum=0"]
    command += ["-fps_mode", "passthrough", "-pix_fmt", "bgr24", "-f", "rawvideo", "-"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    said = done.stderr.decode(errors="replace")
    times = re.findall(r"showinfo.*? n: *\d+ pts: *(-?\d+|NOPTS)", said)
    length = width * height * 3
    pictures = np.frombuffer(done.stdout, np.uint8)
    shown = [
        Shown(
            None if time == "NOPTS" else int(time),
            pictures[n * length : (n + 1) * length].reshape(height, width, 3),
        )
        for n, time in enumerate(times[: len(pictures) // length])
    ]
    discarded = {packet.pts for packet in packets if packet.is_discarded}  # which some decoders show
    return Listing(tick, packets, [picture for picture in shown if picture.pts not in discarded])

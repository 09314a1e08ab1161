"""Write H.264 whose frames are two fields in two packets: no encoder at hand makes such recordings."""

import re
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from app.domain.picture import Image


def write_field_pictures(path: Path, pictures: Iterable[Image], fps: int = 25) -> Path:
    """Write pictures (gray, width in multiples of 16, height of 32) without compression."""
    fields = [_field(picture, number, parity) for number, picture in enumerate(pictures) for parity in (0, 1)]
    raw = path.with_suffix(".h264") if path.suffix != ".h264" else path
    raw.write_bytes(b"".join(fields))
    if raw == path:
        return path
    with av.open(str(raw)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, field in enumerate(fields):
            packet = av.Packet(field)
            packet.pts = packet.dts = number
            packet.time_base = Fraction(1, 2 * fps)
            packet.is_keyframe = number == 0
            packet.stream = stream
            target.mux(packet)
    return path


def _field(picture: Image, number: int, parity: int) -> bytes:
    """Return the access unit of one field: every macroblock has its samples as they are."""
    lines = picture[parity::2]
    height, width = lines.shape
    is_idr = number == parity == 0
    header = _golomb(0) + _golomb(7) + _golomb(0) + f"{number % 16:04b}" + f"1{parity}"
    header += (_golomb(0) if is_idr else "") + f"{(2 * number + parity) % 256:08b}"
    header += ("00" if is_idr else "0") + "1" + _golomb(1)
    data = bytearray()
    bits = header
    chroma = bytes([128] * 128)
    for y in range(0, height, 16):
        for x in range(0, width, 16):
            bits += _golomb(25)  # I_PCM
            data += _packed(bits)
            data += np.maximum(lines[y : y + 16, x : x + 16], 4).tobytes() + chroma
            bits = ""
    unit = _unit(0x65 if is_idr else 0x21, bytes(data) + b"\x80")
    if not is_idr:
        return _unit(9, b"\x30") + unit
    size = _golomb(width // 16 - 1) + _golomb(height // 16 - 1)
    stream = f"{77:08b}{0:08b}{40:08b}" + _golomb(0) * 3 + _golomb(4) + _golomb(1) + "0" + size + "001001"
    picture_set = _golomb(0) * 2 + "00" + _golomb(0) * 3 + "000" + _golomb(0) * 3 + "1001"
    return _unit(9, b"\x30") + _unit(0x67, _packed(stream)) + _unit(0x68, _packed(picture_set)) + unit


def _golomb(number: int) -> str:
    digits = f"{number + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _packed(bits: str) -> bytes:
    places = range(0, len(bits) + 8, 8)
    return bytes(int(bits[a:b].ljust(8, "0"), 2) for a, b in pairwise(places) if bits[a:b])


def _unit(kind: int, payload: bytes) -> bytes:
    return b"\0\0\0\1" + bytes([kind]) + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\0\0\3", payload)

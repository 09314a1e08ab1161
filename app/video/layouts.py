"""How the pixel formats of decoded frames lie in memory, and which of them are converted first."""

import re
from functools import cache

import av
from msgspec import Struct

_PLANAR = re.compile(r"(?:gray|yuva?(?P<full>j?)4\d\dp)(?P<bits>9|10|12|14|16)?(?:le)?")
_SUBSAMPLED = {(8, 8): "420", (8, 16): "422", (16, 16): "444", (16, 8): "440", (4, 16): "411", (4, 4): "410"}


class PixelLayout(Struct, frozen=True):
    """How the samples of a pixel format lie. `is_full_range` counts if the frame does not declare its range.

    A format that is not planar is converted to `planar` first. It is None for RGB and palettes, which are
    converted to BGR at once. `bits` are of one sample of the planar format.
    """

    planar: str | None
    bits: int = 8
    is_gray: bool = False
    is_full_range: bool = False


@cache
def layout_of(format: str) -> PixelLayout:  # noqa: A002 - PyAV's name for it
    """Return the layout of a pixel format.

    Raises:
        ValueError: FFmpeg has no such format.
    """
    if planar := _PLANAR.fullmatch(format):
        is_gray = format.startswith("gray")
        return PixelLayout(format, int(planar["bits"] or 8), is_gray, is_gray or bool(planar["full"]))
    details = av.VideoFormat(format, 16, 16)
    colours = [component for component in details.components if not component.is_alpha]
    bits = max(component.bits for component in colours)
    if len(colours) < 3 or details.is_rgb or details.has_palette or not colours[1].is_chroma or bits > 16:
        return PixelLayout(None)
    bits = next(supported for supported in (8, 10, 12, 16) if bits <= supported)
    subsampled = _SUBSAMPLED.get((details.chroma_width(16), details.chroma_height(16)))
    if subsampled is None:
        return PixelLayout(None)
    return PixelLayout(f"yuv{subsampled}p" + (f"{bits}le" if bits > 8 else ""), bits)

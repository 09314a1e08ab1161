"""Check the text of an HLS playlist, and reduce a list of variants to one: the best, or a chosen one.

FFmpeg downloads all variants and takes the first. It also keeps the whole address of every segment, so that a
long base address makes much memory of little text.
"""

import re

from msgspec import Struct

from ...domain.media import VideoTrack
from ..errors import VideoError

HEAD = re.compile(rb"(?:\xef\xbb\xbf)?#EXTM3U")
"""How a playlist begins, which may be with a byte order mark."""

HEAD_BYTES = 10
"""Bytes that are enough to find HEAD."""

_LINE_END = re.compile(rb"[\r\n\0]+")  # FFmpeg ends lines at these
_ATTRIBUTE = re.compile(rb'([A-Z0-9-]+)=("[^"]*"|[^,]*)')
_TARGET_DURATION = re.compile(rb"#EXT-X-TARGETDURATION:(\d{1,4})\b")
_SIZE = re.compile(rb"(\d{1,5})x(\d{1,5})")
_VIDEO_CODECS = (b"avc", b"hvc", b"hev", b"av01", b"vp0", b"vp8", b"vp9", b"mp4v", b"dvh", b"dva", b"dav")
_VARIANT, _RENDITION, _KEY = b"#EXT-X-STREAM-INF:", b"#EXT-X-MEDIA:", b"#EXT-X-KEY:"
_INDENT = b" \t"
MAP = b"#EXT-X-MAP:"
END = b"#EXT-X-ENDLIST"
_MAX_VARIANTS = 100  # that are looked at


class M3u8(Struct, frozen=True):
    """A playlist as FFmpeg is to read it. If `is_live`, it has no end yet.

    `address_bytes` is what the whole addresses of all segments take. `target_duration` is the nominal length
    of a segment in seconds, None if it is not told. `variants` is empty unless it was a list of variants,
    of which number `variant` is left.
    """

    text: bytes
    address_bytes: int
    target_duration: int | None
    is_live: bool
    variants: tuple[VideoTrack, ...] = ()
    variant: int | None = None


def count_lines(text: bytes | bytearray) -> int:
    """Return the number of lines of a playlist."""
    return sum(text.count(end) for end in (b"\r", b"\n", b"\0")) - text.count(b"\r\n") + 1


def split_lines(text: bytes) -> list[bytes]:
    """Return the lines of a playlist, without what indents them."""
    return [line.strip(_INDENT) for line in _LINE_END.split(text.removeprefix(b"\xef\xbb\xbf"))]


def parse_m3u8(text: bytes, name: str, base_bytes: int, chosen: int | None = None) -> M3u8:
    """Return the playlist with only one variant, and no other renditions.

    `name` stands for the playlist in messages, `base_bytes` is how much a relative address grows. `chosen` is
    the number of the variant, None for the best one.

    Raises:
        VideoError: it is encrypted, changes how its segments are read, or has no such variant.
    """
    lines = split_lines(text)
    keys = (line for line in lines if line.startswith(_KEY))
    if any(_attributes(key).get(b"METHOD") != b"NONE" for key in keys):
        raise VideoError(f"{name} is encrypted, which is not supported", retryable=False)
    is_live = END not in lines
    begins = {tuple(sorted(_attributes(line).items())) for line in lines if line.startswith(MAP)}
    if len(begins) > 1:  # FFmpeg would leave out segments, or read them with the wrong one
        raise VideoError(
            f"{name} changes in the middle how its segments begin (EXT-X-MAP), which is not supported",
            retryable=is_live,
        )
    variants = _variants(lines)[:_MAX_VARIANTS]
    tracks = tuple(_track(number, variant) for number, variant in enumerate(variants))
    if variants and chosen is None:
        chosen = max(range(len(variants)), key=lambda number: _quality(variants[number]))
    elif variants and chosen is not None and chosen >= len(variants):
        raise VideoError(f"{name} has no video track {chosen}: it has {_listed(tracks)}", retryable=False)
    addresses = [line for line in lines if line and (line[:1] != b"#" or line.startswith(MAP))]
    kept = [line for line in lines if not line.startswith((_VARIANT, _RENDITION, _KEY))]
    found = next(filter(None, map(_TARGET_DURATION.match, lines)), None)
    return M3u8(
        text=b"\n".join(kept if chosen is None or not variants else [b"#EXTM3U", *variants[chosen]]) + b"\n",
        address_bytes=sum(map(len, addresses)) + base_bytes * len(addresses),
        target_duration=int(found[1]) if found else None,
        is_live=is_live and not variants,
        variants=tracks,
        variant=chosen if variants else None,
    )


def _variants(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the description and the address of each variant."""
    variants: list[tuple[bytes, bytes]] = []
    described: bytes | None = None
    for line in lines:
        if line.startswith(_VARIANT):
            described = line
        elif described is not None and line and line[:1] != b"#":
            variants.append((described, line))
            described = None
    return variants


def _track(number: int, variant: tuple[bytes, bytes]) -> VideoTrack:
    size = _SIZE.fullmatch(_attributes(variant[0]).get(b"RESOLUTION", b"").lower())
    return VideoTrack(number, width=int(size[1]) if size else None, height=int(size[2]) if size else None)


def _listed(tracks: tuple[VideoTrack, ...]) -> str:
    return ", ".join(
        f"{track.number} ({track.width}x{track.height})" if track.width else str(track.number)
        for track in tracks
    )


def _quality(variant: tuple[bytes, bytes]) -> tuple[bool, int, bool, int]:
    """Return how good a variant is: with video, of many pixels, without HDR, of many bits per second."""
    attributes = _attributes(variant[0])
    codecs = attributes.get(b"CODECS", b"").lower()
    size = _SIZE.fullmatch(attributes.get(b"RESOLUTION", b"").lower())
    has_video = not codecs or size is not None or any(codec in codecs for codec in _VIDEO_CODECS)
    bandwidth = attributes.get(b"BANDWIDTH", b"")
    return (
        has_video,
        int(size[1]) * int(size[2]) if size else 0,
        attributes.get(b"VIDEO-RANGE", b"SDR") == b"SDR",
        int(bandwidth) if re.fullmatch(rb"\d{1,18}", bandwidth) else 0,
    )


def _attributes(line: bytes) -> dict[bytes, bytes]:
    """Return the attributes of a tag, without quotation marks."""
    return {name: value.strip(b'" ') for name, value in _ATTRIBUTE.findall(line.partition(b":")[2])}

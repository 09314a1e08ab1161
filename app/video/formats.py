"""Open containers with FFmpeg: which formats and protocols are allowed, and how large a video may be."""

import ctypes
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import av
import av._core
from av.container import InputContainer
from av.error import EOFError as AvEOFError
from av.error import InvalidDataError

from .begun_file import BegunFile
from .declared_index import MAX_TRACKS, MAX_UNCOUNTED_TRACKS, Index, check_index
from .errors import VideoError, cut_off_error
from .fragments import FragmentMemory, FragmentScanner
from .stills import BEGINNING, picture_format
from .transport.http_file import HttpFile
from .transport.jpeg_stream import JpegStream
from .transport.playlist import Playlist
from .transport.snapshots import Snapshots

MAX_ALLOCATION = 160 * 2**20
"""Bytes that FFmpeg may allocate at once: a picture of 4 bytes per pixel, or the index of a stream."""

_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
_NOT_MP4 = (
    "matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,live_flv,asf,ogg,mxf,nut,ivf,h264,hevc,obu,m4v,mjpeg,gif,dv,dhav,"
    "rm,wtv,yuv4mpegpipe"
)
_FORMATS = f"{_MP4},{_NOT_MP4}"
"""Formats that contain their own data. Playlists, scripts and image sequences would open other files."""

FILE_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
# Without these FFmpeg decodes a picture to find out what the index of an mp4 says.
_INDEXED_OPTIONS = {"skip_frame": "all", "probesize": "32"}
_HTTP_OPTIONS = {"format_whitelist": f"{_FORMATS},mpjpeg", "protocol_whitelist": "none"}
_HLS_OPTIONS = {
    # What RFC 8216 names: the lists of other containers are not counted.
    "format_whitelist": f"{_MP4},mpegts,hls,aac,mp3,webvtt",
    "protocol_whitelist": "none",
    "http_persistent": "0",  # FFmpeg keeps only its own connections open between segments
    "http_multiple": "0",
    "seg_format_options": f"max_streams={MAX_UNCOUNTED_TRACKS}",
}
RTSP_OPTIONS = {
    "rtsp_transport": "tcp",
    "protocol_whitelist": "rtsp,tcp",
    "format_whitelist": "rtsp",
    "allowed_media_types": "video",  # audio that goes on would hide that the video stopped
}
MAX_PIXELS = 8192 * 4352  # of a picture: the most that H.264 and H.265 allow at level 6.2
LIMITS = {"max_pixels": str(MAX_PIXELS), "max_streams": str(MAX_TRACKS)}
OPEN_TIMEOUT = 60.0
"""Seconds to open a local file: FFmpeg needs hours for some that list very many titles or programs."""

_BUFFER = 256 * 1024  # bytes that PyAV reads from an HttpFile at once


def open_file(
    path: Path, file: BinaryIO, name: str, reserve: Callable[[int], object]
) -> tuple[InputContainer, Index]:
    """Open a file, and return what was found of its index, too; `name` stands for it in messages.

    `file` is the same, open for reading. `reserve` is called with the bytes that FFmpeg may take for it,
    before it does.

    Raises READ_ERRORS, or VideoError if its index is missing or would take too much memory, or if it is an
    animated WebP.
    """
    file.seek(0)
    if picture := picture_format(file.read(BEGINNING), path.suffix, name):
        options = {"format_whitelist": picture, "protocol_whitelist": "file"}
        return _open(str(path), options, format=picture), Index(is_mp4=False)
    file.seek(0)
    index = check_index(file, os.fstat(file.fileno()).st_size, name)
    reserve(index.memory)
    options = _options(FILE_OPTIONS, index)
    opened = partial(_open, str(path), timeout=(OPEN_TIMEOUT, None))
    try:
        if index.is_mp4:
            container = opened(options | _INDEXED_OPTIONS)
            # A fragmented mp4 has no index that tells how far presentation order differs from decode order.
            if container.format.name.startswith("mov") and any(s.frames for s in container.streams.video):
                return container, index
            container.close()
        return opened(options), index
    except InvalidDataError as error:
        if index.lacks_header:
            raise cut_off_error(name) from error
        raise
    except AvEOFError:
        # A fragmented mp4 that ends early opens only if FFmpeg cannot seek.
        return opened(options | {"seekable": "0"}), index


def open_test_pattern(graph: str) -> InputContainer:
    """Open the graph of a video generator. Raises READ_ERRORS."""
    return _open(graph, {}, format="lavfi")


def open_http_file(file: HttpFile, reserve: Callable[[int], object]) -> tuple[InputContainer, Index]:
    """Open a recording or stream over HTTP, and return what was found of its index, too.

    `reserve` is called with the bytes that FFmpeg may take for it, before it does.

    Raises READ_ERRORS, or VideoError if the index of a recording is missing or would take too much memory, or
    if it has too many tracks.
    """
    size = file.identity.size
    if file.is_jpegs:  # FFmpeg takes them for one picture if they have no name
        return _open(file, _HTTP_OPTIONS, format="mjpeg", buffer_size=_BUFFER), Index(is_mp4=False)
    if size is not None and file.seekable():
        index = check_index(file, size, file.name, is_remote=True)
        reserve(index.memory)
        if index.has_fragments:
            file.scan = FragmentScanner(FragmentMemory(reserve)).scan
        try:
            return _open(file, _options(_HTTP_OPTIONS, index), buffer_size=_BUFFER), index
        except InvalidDataError as error:
            if index.lacks_header:
                raise cut_off_error(file.name) from error
            raise
    begun = BegunFile(file, file.name)
    index = begun.index()
    if index.is_mp4:
        file.scan = FragmentScanner(FragmentMemory(reserve)).scan
    container = _open(begun, _options(_HTTP_OPTIONS, index), buffer_size=_BUFFER)
    begun.is_open = True
    if container.format.name == "matroska,webm" and len(container.streams) >= index.tracks:
        container.close()  # FFmpeg ends at the first packet of a further track, without an error
        raise VideoError(
            f"{file.name} has {index.tracks} tracks or more, and its web server does not support range"
            " requests: copy the file below the media root",
            retryable=False,
        )
    return container, index


def open_jpeg_stream(pictures: JpegStream | Snapshots) -> InputContainer:
    """Open the JPEG pictures of a camera over HTTP. Raises READ_ERRORS."""
    return _open(pictures, _HTTP_OPTIONS, format="mpjpeg", buffer_size=_BUFFER)


def open_hls(url: str, playlist: Playlist, *, open_timeout: float, read_timeout: float) -> InputContainer:
    """Open a playlist; `playlist` opens its files. Times are in seconds. Raises READ_ERRORS."""
    return _open(url, _HLS_OPTIONS, format="hls", io_open=playlist.open, timeout=(open_timeout, read_timeout))


def open_rtsp(url: str, *, open_timeout: float, read_timeout: float) -> InputContainer:
    """Open an RTSP stream. Times are in seconds. Raises READ_ERRORS."""
    # FFmpeg notices a timeout only after twice the time.
    return _open(url, RTSP_OPTIONS, timeout=(open_timeout, read_timeout / 2))


@cache
def limit_allocations() -> None:
    """Limit FFmpeg's allocations in this process, the first time that it is called.

    FFmpeg trusts the sizes that a file declares: a file of 1 KiB can make it allocate 2 GiB at once.
    """
    set_max_allocation(MAX_ALLOCATION)


def set_max_allocation(size: int) -> None:
    """Limit each allocation of FFmpeg in this process to `size` bytes."""
    ffmpeg = ctypes.CDLL(av._core.__file__)  # noqa: SLF001 - PyAV offers no function for it
    ffmpeg.av_max_alloc.argtypes, ffmpeg.av_max_alloc.restype = [ctypes.c_size_t], None
    ffmpeg.av_max_alloc(size)


def _options(options: dict[str, str], index: Index) -> dict[str, str]:
    """Return the options with which FFmpeg builds no other index than the one that was checked."""
    if not index.is_mp4:
        options = {name: value.removeprefix(f"{_MP4},") for name, value in options.items()}
    return options | {"max_streams": str(index.tracks)}


def _open(
    file: str | HttpFile | BegunFile | JpegStream | Snapshots, options: dict[str, str], **others: Any
) -> InputContainer:
    limit_allocations()
    # The metadata of a recording may be no valid text.
    container: InputContainer = av.open(
        file, "r", options=LIMITS | options, metadata_errors="replace", **others
    )
    return container

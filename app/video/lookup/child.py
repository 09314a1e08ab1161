"""A picture process: `python -m app.video.lookup.child`, with a socket as its stdin, does jobs in turn."""

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from ...domain.networks import Networks
from ...domain.redaction import redact
from ..decoder.confinement import confine
from ..drawing import Overlay, draw, encode_jpeg
from ..errors import VideoError
from ..pictures import AvPicture
from .finder import MissingFileError, OtherRecordingError, TooSlowError, find_frame
from .protocol import PictureJob, PictureResult, TryJob
from .trial import try_source

IDLE = 60.0
"""Seconds without a job after which the process ends."""

_NICE = 19  # decoding for scenarios comes first
_QUALITY = 85


def answer(job: PictureJob) -> tuple[PictureResult, bytes]:
    """Return the result of a job, and the JPEG."""
    media = None
    try:
        if isinstance(job, TryJob):
            picture, media = try_source(job)
            jpeg = _jpeg(picture, job.width, None)
        else:
            networks = Networks(job.networks)
            picture = find_frame(job.source, Path(job.media_root), networks, job.wanted, job.seconds)
            jpeg = _jpeg(picture, job.width, job.overlay)
    except TooSlowError:
        return PictureResult(fault="slow"), b""
    except OtherRecordingError as error:
        return PictureResult(fault="replaced", text=str(error)), b""
    except MissingFileError as error:
        return PictureResult(fault="missing", text=str(error)), b""
    except VideoError as error:
        return PictureResult(fault="unreadable", text=str(error)), b""
    except Exception as error:  # a bug of ours or of the decoder costs this picture alone
        text = redact(f"decoding the picture failed: {error!r}")
        return PictureResult(fault="unreadable", text=text), b""
    return PictureResult(size=len(jpeg), media=media), jpeg


def _jpeg(picture: AvPicture, most: int, overlay: Overlay | None) -> bytes:
    width = min(most, picture.width)
    height = max(1, round(picture.height * width / picture.width))
    image = picture.bgr((width, height))
    if overlay is not None:
        image = draw(image, overlay, width / picture.width)
    return encode_jpeg(image, _QUALITY)


def serve(link: socket.socket) -> None:
    """Answer jobs until the other end is closed, or none comes for IDLE seconds."""
    link.settimeout(IDLE)
    link.sendall(b"\n")  # ready
    with link.makefile("rb") as lines:
        while line := lines.readline():
            result, jpeg = answer(msgspec.json.decode(line, type=PictureJob))
            link.sendall(msgspec.json.encode(result) + b"\n" + jpeg)


def lower_priority(*, is_idle: bool) -> None:
    """Let scenarios come first; if `is_idle`, use only processors that nobody else wants.

    It is for the whole process: an idle thread that holds Python's lock would make the others wait, too.
    """
    os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    if is_idle and hasattr(os, "SCHED_IDLE"):
        for thread in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # a container may forbid it, or not know it
                os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))


def main() -> None:
    """Confine this process, and answer jobs; with the argument `idle`, only while processors are free."""
    confine()
    lower_priority(is_idle="idle" in sys.argv[1:])
    with suppress(TimeoutError, ConnectionError):
        serve(socket.socket(fileno=0))
    os._exit(0)  # there is nothing to clean up


if __name__ == "__main__":
    main()

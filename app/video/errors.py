"""Errors of sources, with messages for the user."""

import errno
import ssl
from collections.abc import Sequence

from av.error import (
    ArgumentError,
    ExitError,
    FFmpegError,
    InvalidDataError,
)
from av.error import EOFError as AvEOFError

from ..domain.source import Source

LOGIN_AGAIN_AFTER = 300.0
"""Seconds between log-ins that a camera refuses: it locks an address out that tries more often."""

READ_ERRORS = (FFmpegError, OSError)
"""What PyAV raises when it opens and reads: not all of its errors are an FFmpegError."""


class VideoError(Exception):
    """The source cannot be opened or read. The message is for the user.

    `retryable` is false if another attempt would fail in the same way. A live source that is waited for is
    tried again after `retry_after` seconds at the earliest.
    """

    def __init__(self, message: str, *, retryable: bool, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after

    def without_traceback(self) -> "VideoError":
        """Return a copy to keep or to raise again; the traceback would keep open decoders in memory."""
        return VideoError(str(self), retryable=self.retryable, retry_after=self.retry_after)


class ForbiddenAddressError(OSError):
    """None of a host's addresses is on the networks that sources may use. The message says what to do."""


def not_a_video_error(name: str) -> VideoError:
    """Return the error for data in none of the supported formats."""
    return VideoError(
        f"{name} is not a video, or is incomplete, or has a format that is not supported",
        retryable=False,
    )


def cut_off_error(name: str) -> VideoError:
    """Return the error for an mp4 without its index."""
    return VideoError(
        f"{name} is incomplete: its index (moov), which most recorders write last, is missing; record or copy"
        " it again, or repair it",
        retryable=False,
    )


def repeated_data_error(name: str) -> VideoError:
    """Return the error for a file whose index makes reading it endless."""
    return VideoError(
        f"the index of {name} names the same data again and again: the file is damaged, or made to keep"
        " whoever reads it busy; copy the video with ffmpeg -i … -map 0:v -c copy",
        retryable=False,
    )


def no_ranges_error(name: str) -> VideoError:
    """Return the error for a recording with its index at the end, on a web server without range requests."""
    return VideoError(
        f"{name} can only be read with range requests, which its web server does not support:"
        " copy the file below the media root",
        retryable=False,
    )


def playlist_encoding_error(name: str) -> VideoError:
    """Return the error for a playlist with file names that are not UTF-8."""
    return VideoError(
        f"{name} is a playlist with names that are not UTF-8: rename the files in it", retryable=False
    )


def unsupported_codec_error(name: str) -> VideoError:
    """Return the error for a supported format with a codec that is not."""
    return VideoError(
        f"the video in {name} has a codec that is not supported: convert it to H.264", retryable=False
    )


def encrypted_error(name: str) -> VideoError:
    """Return the error for a recording that needs a key."""
    return VideoError(
        f"the video in {name} is encrypted: remove the encryption with the program that has its key, and"
        " analyse the result",
        retryable=False,
    )


def nothing_decoded_error(frames: int, *, has_parameters: bool) -> VideoError:
    """Return the error for a recording none of whose sampled frames could be decoded.

    `has_parameters`: what decoding needs to know of the stream was found in it.
    """
    what = "the only frame could not" if frames == 1 else f"none of the {frames} sampled frames could"
    why = (
        "its data are damaged, or encrypted"
        if has_parameters
        else "it lacks the parameter sets, with which a stream or file begins: give the recording uncut"
    )
    return VideoError(f"{what} be decoded: {why}", retryable=False)


def status_error(status: int, name: str) -> VideoError:
    """Return the error for an HTTP or RTSP status other than success."""
    if status >= 500:
        return VideoError(f"{name} fails with a server error ({status})", retryable=True)
    match status:
        case 401 | 403:
            said, todo = "refuses access", "check the user name and password in the address"
        case 404 | 410:
            said, todo = "does not exist", "check the address"
        case 408 | 429:
            said, todo = "is too busy", "it is tried again later"
        case _:
            said, todo = "rejects the request", "check the address"
    return VideoError(
        f"{name} {said} ({status}): {todo}",
        retryable=status in (408, 429),
        retry_after=LOGIN_AGAIN_AFTER if status == 401 else 0.0,
    )


def rtsp_status_error(status: int, name: str) -> VideoError:
    """Return the error for an RTSP status other than success."""
    match status:
        case 453:
            text = f"{name} serves no more streams (453): close some of its streams; it is tried again later"
            return VideoError(text, retryable=True)
        case 461:
            text = f"{name} offers UDP only (461): allow RTP over TCP (interleaved) in the camera's settings"
            return VideoError(text, retryable=False)
        case _:
            return status_error(status, name)


def unsupported_login_error(name: str, offered: Sequence[str]) -> VideoError:
    """Return the error for a server whose ways to log in are all unknown."""
    return VideoError(
        f"{name} offers only {' and '.join(offered)} to log in, which is not supported (401):"
        " allow Digest with MD5 or SHA-256, or Basic",
        retryable=False,
        retry_after=LOGIN_AGAIN_AFTER,
    )


def connection_error(error: Exception, name: str) -> VideoError:
    """Return the error for a connection that failed, or a server that does not answer in HTTP."""
    match error:
        case ForbiddenAddressError():
            return VideoError(f"{name} is not opened: {error}", retryable=False)
        case TimeoutError():
            return VideoError(f"{name} did not answer in time", retryable=True)
        case ConnectionRefusedError():
            return VideoError(f"cannot connect to {name}: nothing listens there", retryable=True)
        case ssl.SSLCertVerificationError():
            return VideoError(
                f"{name} has no valid certificate: {error.verify_message}; if it is the camera's own, add"
                " #sha256= and the certificate's SHA-256 fingerprint to the address",
                retryable=False,
            )
        case OSError():
            return VideoError(f"cannot connect to {name}: {error.strerror or error}", retryable=True)
        case _:
            return VideoError(f"{name} does not answer in HTTP: check the address", retryable=True)


def read_error(error: FFmpegError | OSError, source: Source) -> VideoError:
    """Return the error for an exception of PyAV while it opened or read the source."""
    name = source.redacted
    match error:
        case ExitError() if source.kind == "file":
            return VideoError(
                f"{name} could not be opened in time: its disk is slow, or it lists too much besides the"
                " video (then copy it with ffmpeg -i … -map 0:v -map_metadata -1 -c copy)",
                retryable=True,
            )
        case ExitError() | TimeoutError():
            return VideoError(f"{name} did not answer in time", retryable=True)
        case ConnectionRefusedError():
            return VideoError(f"cannot connect to {name}: nothing listens there", retryable=True)
        case InvalidDataError() | AvEOFError() if source.kind in ("rtsp", "http"):
            return VideoError(f"{name} sends no video, or stopped while it was opened", retryable=True)
        case InvalidDataError() | AvEOFError() | ArgumentError():
            return not_a_video_error(name)
        case OSError(errno=errno.EIO) if source.kind == "rtsp":  # both are EIO within a packet
            return VideoError(f"{name} did not answer in time, or the connection was lost", retryable=True)
        case MemoryError():
            return VideoError(
                f"{name} declares more data than a recording can hold: the file is damaged", retryable=False
            )
        case OSError():
            return VideoError(f"cannot read {name}: {(error.strerror or 'a fault').lower()}", retryable=True)
        case _:
            return VideoError(f"cannot read {name}: {str(error.strerror).lower()}", retryable=False)

"""What goes wrong with a source, in words for the user."""

import errno
import ssl

from av.error import (
    ArgumentError,
    ExitError,
    FFmpegError,
    HTTPClientError,
    HTTPServerError,
    HTTPUnauthorizedError,
    InvalidDataError,
)
from av.error import EOFError as AvEOFError

from ..domain.source import Source


class VideoError(Exception):
    """The source cannot be opened or read. The message is for the user.

    `retryable` is false where another attempt would meet the same fault.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable

    def again(self) -> "VideoError":
        """The same, to be kept or raised once more: without what it came through, down to open decoders."""
        return VideoError(str(self), retryable=self.retryable)


class TruncatedError(VideoError):
    """The recording ends early; every readable frame was yielded. Never retryable."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class ForbiddenAddressError(OSError):
    """None of a host's addresses is on the networks that sources may use. The message says what to do."""


READ_ERRORS = (FFmpegError, OSError)
"""What PyAV raises in opening and reading: not all of its errors are of its own kind."""


def not_a_video(where: str) -> VideoError:
    """The bytes are none of the formats that may be opened."""
    return VideoError(
        f"{where} is not a video, or is incomplete, or is of a format that is not supported", retryable=False
    )


def no_ranges(where: str) -> VideoError:
    """The recording's index is at its end, and its web server gives the file only from the beginning on."""
    return VideoError(
        f"{where} needs ranges, which its web server does not give: copy the file below the media root",
        retryable=False,
    )


def not_text(where: str) -> VideoError:
    """A playlist names files by what is not UTF-8."""
    return VideoError(f"{where} is a playlist with names that are not UTF-8", retryable=False)


def unknown_codec(where: str) -> VideoError:
    """The format is known, but not how the pictures are coded."""
    return VideoError(f"the video in {where} has a codec that is not supported", retryable=False)


def status_error(status: int, where: str) -> VideoError:
    """What an HTTP or RTSP status other than success means."""
    if status >= 500:
        return VideoError(f"{where} has a fault of its own ({status})", retryable=True)
    match status:
        case 401 | 403:
            said, todo = "refuses access", "check the user name and password in the address"
        case 404 | 410:
            said, todo = "does not exist", "check the address"
        case 408 | 429:
            said, todo = "is too busy", "it is tried again later"
        case _:
            said, todo = "refuses the request", "check the address"
    return VideoError(f"{where} {said} ({status}): {todo}", retryable=status in (408, 429))


def unreachable(error: Exception, where: str) -> VideoError:
    """Why there is no connection to a server, or no answer on it."""
    match error:
        case ForbiddenAddressError():
            return VideoError(f"{where} is not opened: {error}", retryable=False)
        case TimeoutError():
            return VideoError(f"{where} did not answer in time", retryable=True)
        case ConnectionRefusedError():
            return VideoError(f"cannot connect to {where}: nothing listens there", retryable=True)
        case ssl.SSLCertVerificationError():
            return VideoError(f"{where} has no valid certificate: {error.verify_message}", retryable=False)
        case OSError():
            return VideoError(f"cannot connect to {where}: {error.strerror or error}", retryable=True)
        case _:
            return VideoError(f"{where} does not answer as a web server does", retryable=True)


def explain(error: FFmpegError | OSError, source: Source) -> VideoError:
    """What an error in opening or reading `source` means."""
    where = source.redacted
    match error:
        case HTTPUnauthorizedError():
            return status_error(401, where)
        case HTTPClientError():
            known = (code for code in (403, 404, 408, 410, 429) if str(code) in str(error))
            return status_error(next(known, 400), where)
        case HTTPServerError():
            return status_error(500, where)
        case ExitError() | TimeoutError():
            return VideoError(f"{where} did not answer in time", retryable=True)
        case ConnectionRefusedError():
            return VideoError(f"cannot connect to {where}: nothing listens there", retryable=True)
        case InvalidDataError() | AvEOFError() if source.kind in ("rtsp", "http"):
            return VideoError(f"{where} sends no video, or fell silent while it was opened", retryable=True)
        case InvalidDataError() | AvEOFError() | ArgumentError():
            return not_a_video(where)
        case OSError(errno=errno.EIO) if source.kind == "rtsp":  # FFmpeg says so of both, within a packet
            return VideoError(f"{where} did not answer in time, or was cut off", retryable=True)
        case MemoryError():
            return VideoError(f"{where} claims to hold more than a recording can", retryable=False)
        case OSError():
            return VideoError(f"cannot read {where}: {(error.strerror or 'a fault').lower()}", retryable=True)
        case _:
            return VideoError(f"cannot read {where}: {str(error.strerror).lower()}", retryable=False)

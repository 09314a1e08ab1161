"""Standard input, output and error of the process, also if they are closed or full."""

import os
import sys
from io import TextIOWrapper
from typing import Any

from .output import not_written


class CheckedOutput(TextIOWrapper):
    """Standard output, or a stand-in for it. What cannot be written is a CommandError."""

    def write(self, text: str) -> int:
        """Write text. Raises CommandError."""
        try:
            return super().write(text)
        except OSError as error:
            raise not_written(error) from error

    def flush(self) -> None:
        """Write what is buffered. Raises CommandError."""
        try:
            super().flush()
        except OSError as error:
            raise not_written(error) from error


class SilentOutput(TextIOWrapper):
    """Standard error. What cannot be written is lost, because there is no other place to tell it."""

    def write(self, text: str) -> int:
        """Write text if that is possible."""
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Write what is buffered if that is possible."""
        try:
            super().flush()
        except OSError:
            return


def prepare_streams() -> None:
    """Replace streams that are closed, and let none raise what is no sentence."""
    if sys.stdin is None:
        sys.stdin = os.fdopen(_nothing(os.O_RDONLY))
    if sys.stdout is None:  # what is written to it fails, as to one that is closed
        sys.stdout = os.fdopen(_nothing(os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(_nothing(os.O_WRONLY), "w")
    if type(sys.stdout) is TextIOWrapper:
        sys.stdout = CheckedOutput(*_parts(sys.stdout))
    if type(sys.stderr) is TextIOWrapper:
        sys.stderr = SilentOutput(*_parts(sys.stderr))


def _nothing(access: int) -> int:
    """Open the null device in the place of what is closed, which no other file takes then."""
    opened = os.open(os.devnull, access)
    os.set_inheritable(opened, True)
    return opened


def _parts(stream: TextIOWrapper) -> tuple[Any, ...]:
    """Return what makes a stream of the same kind, which shows what it can of a name if it is not UTF-8."""
    encoding, is_by_line, is_unbuffered = stream.encoding, stream.line_buffering, stream.write_through
    return stream.detach(), encoding, "backslashreplace", None, is_by_line, is_unbuffered

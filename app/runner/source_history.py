"""What the history of a live source keeps: losses, returns, frozen pictures and other pictures."""

from collections import deque

from msgspec.structs import replace

from ..domain.media import Media
from ..domain.states import SourceState
from ..predictions.checkpoint import Checkpoint, NewSourceChange
from ..video.reading import ReadStatus
from . import metrics

_MAX_PENDING = 1000  # changes that wait for the database; the oldest are dropped
_MAX_ERRORS = 10  # different errors of one loss that are kept: some have numbers that change


class SourceHistory:
    """Finds the changes in the statuses of one run's source. `pending` are those that are not stored yet."""

    def __init__(self, claimed: Checkpoint) -> None:
        self.pending: deque[NewSourceChange] = deque(maxlen=_MAX_PENDING)
        self._number = claimed.source_changes
        self._state: SourceState = "reconnecting" if claimed.was_lost else "open"
        self._size = (claimed.sizes[-1].width, claimed.sizes[-1].height) if claimed.sizes else None
        self._media: Media | None = None
        self._lost_at: float | None = None  # by `time.monotonic()`; None if an earlier run lost the source
        self._errors: set[str] = set()

    def note(self, status: ReadStatus) -> None:
        """Take the next status of a live source."""
        media = self._other_pictures(status.media)
        if status.loss is not None:
            self._note_loss(status, status.loss.error)
        elif status.state != self._state or media is not None:
            self._add(status, status.at, self._change(status, media), media)
            self._errors.clear()
        self._state = status.state

    def _note_loss(self, status: ReadStatus, error: str) -> None:
        is_new = self._state != "reconnecting"
        if is_new:
            metrics.LOSSES.inc()
            self._lost_at = status.lost_at
            self._errors.clear()
        if error not in self._errors and len(self._errors) < _MAX_ERRORS:
            self._errors.add(error)
            self._add(status, status.lost_at if is_new else status.at, error)

    def _change(self, status: ReadStatus, media: Media | None) -> str:
        """Return in words what changed, for a source that is not lost."""
        words = []
        if self._state == "reconnecting":
            words.append("back" if self._lost_at is None else f"back after {status.at - self._lost_at:.1f} s")
        elif status.state == "frozen":
            words.append("its key frames do not change")
        elif self._state == "frozen":
            words.append("its pictures change again")
        if media is not None:
            words.append(f"its pictures are {media.width}x{media.height} ({media.codec}) now")
        return ", ".join(words)

    def _other_pictures(self, media: Media | None) -> Media | None:
        """Return the media if its pictures are other ones than before."""
        if media is None or media is self._media:
            return None
        before, self._media = self._media, media
        size = (media.width, media.height)
        if before is None:
            is_other = self._size not in (None, (0, 0), size)
        else:  # the frame rate of a camera is an estimate, and differs from connection to connection
            is_other = replace(before, fps=None) != replace(media, fps=None)
        return media if is_other else None

    def _add(self, status: ReadStatus, at: float, reason: str, media: Media | None = None) -> None:
        self._number += 1
        self.pending.append(NewSourceChange(self._number, at, status.state, reason, media))

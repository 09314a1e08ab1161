"""A run's analysis: the ordered step of its pipeline, and what its batches store of it."""

from __future__ import annotations

import time
from typing import Literal

from msgspec import Struct

from ...analysis.analysis import Analysis
from ...domain.event import Carried, Event
from ...domain.prediction import Detection
from ...domain.reason import ScenarioWarning
from ...predictions.checkpoint import Checkpoint, SavedAnalysis
from ...predictions.codec import as_stored
from ...predictions.evidence import NewPicture
from ..frames.pipeline import EarlyEncoder
from ..frames.tasks import AnalysedFrame, FrameTask
from .evidence import EvidenceTaker
from .frame_gaps import FrameGaps

SAVE_EVERY = 10.0
"""Seconds between the saved states of a run: what was stored since is replayed if the run is killed."""

MAX_SIZES = 1000
"""Changes of size of a scenario that are stored; after them, sizes are not known."""


def end_of_events(
    asked: Literal["stop", "release"] | None, *, is_finished: bool, is_live: bool
) -> Literal["ended", "interrupted"] | None:
    """Return what becomes of open events as a run ends; None: they go on with the next run."""
    if is_finished or (is_live and asked == "stop"):
        return "ended"
    return None if is_live or asked == "release" else "interrupted"


class EndOfAnalysis(Struct, frozen=True):
    """What becomes of open events when a run ends: `state`, or nothing if they go on with the next run."""

    analysis: RunAnalysis
    state: Literal["ended", "interrupted"] | None


class RunAnalysis:
    """Sees each frame as it is stored, so that a replay of what is stored gives the same results."""

    def __init__(
        self,
        analysis: Analysis,
        claimed: Checkpoint,
        evidence: EvidenceTaker | None = None,
        gaps: FrameGaps | None = None,
    ) -> None:
        """`analysis` has seen the frames before the claimed `next_frame`. `evidence`: None: takes none."""
        self._evidence = evidence
        self._gaps = gaps or FrameGaps(None)
        self._analysis = analysis
        self._next_frame = claimed.next_frame
        self._changes_of_size = len(claimed.sizes)
        self._size = (claimed.sizes[-1].width, claimed.sizes[-1].height) if claimed.sizes else (0, 0)
        self._saved_at = time.monotonic()
        self.has_unsaved_frames = False
        """Whether it has seen frames that its last saved state has not."""

    def __call__(self, task: FrameTask) -> tuple[Detection, ...] | None:
        """Return the detections of a frame with their track ids; None if they stay as they are."""
        if task.frame < self._next_frame:
            return None
        size = self._stored_size(task)
        if task.error is not None:
            return None
        self._gaps.note(task.time)
        step = self._analysis.step(task.frame, task.time, size, as_stored(task.detections or ()))
        saved = None
        if time.monotonic() - self._saved_at >= SAVE_EVERY:
            saved = SavedAnalysis(task.frame + 1, self._analysis.save())
            self._saved_at = time.monotonic()
        self.has_unsaved_frames = saved is None
        pictures: tuple[NewPicture, ...] = ()
        if self._evidence is not None and (task.picture is not None or task.jpeg is not None):
            pictures = self._evidence.take(step, task)
        task.analysed = AnalysedFrame(step.events, self._analysis.carried, saved, pictures)
        return step.detections

    @property
    def encode(self) -> EarlyEncoder | None:
        """Keeps pictures that the next steps may need; None if they need none."""
        return None if self._evidence is None else self._evidence.encode

    def note_stored(self, end: int) -> None:
        """Take the frames before `end` as stored."""
        if self._evidence is not None:
            self._evidence.forget_before(end)

    @property
    def carried(self) -> Carried:
        """What is kept apart from the state."""
        return self._analysis.carried

    @property
    def warnings(self) -> list[ScenarioWarning]:
        """What bounds were met so far, and whether frames are too far apart."""
        limits = [ScenarioWarning("analysis_limited", text) for text in self._analysis.warnings]
        return limits if self._gaps.warning is None else [*limits, self._gaps.warning]

    def save(self) -> bytes:
        """Return the state after the last frame. No frame may be on its way."""
        return self._analysis.save()

    def end(self, state: Literal["ended", "interrupted"]) -> tuple[Event, ...]:
        """Return the events that are open after the last frame. No frame may be on its way."""
        return self._analysis.end(state)

    def _stored_size(self, task: FrameTask) -> tuple[int, int]:
        """Return the size of the picture as it is stored, (0, 0) if it is not."""
        if task.size is not None and task.size != self._size and self._changes_of_size <= MAX_SIZES:
            self._changes_of_size += 1
            self._size = task.size if self._changes_of_size <= MAX_SIZES else (0, 0)
        return self._size

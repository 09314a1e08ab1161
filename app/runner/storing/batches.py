"""Build batches from what the pipeline gives: predictions, counters, and where a resumed run begins."""

import time
from collections import deque
from collections.abc import Iterable

from msgspec.structs import replace

from ...detectors.base import WarmUp
from ...detectors.warm_up import replay_from
from ...domain.event import Carried, Event
from ...domain.pins import FileIdentity, PinChange, Pins, compare, merge
from ...domain.prediction import FrameSize, Prediction
from ...domain.reason import ScenarioWarning
from ...domain.sampling import CandidateFrames
from ...domain.spec import ExpectedFile
from ...domain.states import SourceState
from ...predictions.checkpoint import AnalysisUpdate, Batch, Checkpoint, Counters, OpenEvent, SavedAnalysis
from ...predictions.evidence import NewPicture
from ...video.reading import Watermark
from ..analysing.step import MAX_SIZES, EndOfAnalysis
from ..frames.tasks import FrameTask

_RATE_WINDOW = 5.0  # seconds
_MAX_WARNINGS = 100  # of a scenario
_TOO_MANY_SIZES = (
    f"the picture's size changed over {MAX_SIZES:,} times: later frames are stored without their size"
)


class BatchBuilder:
    """Counts on from a checkpoint. Frames before it only warm the detector up."""

    def __init__(self, checkpoint: Checkpoint, warm_up: WarmUp | None) -> None:
        self.next_frame = checkpoint.next_frame
        self.counters = checkpoint.counters
        self.warm_up = warm_up
        self.candidates: CandidateFrames = checkpoint.candidates or "all"
        self.is_live = False
        self.recorded_at: float | None = None
        """The Unix time at the beginning of a recording, to be pinned."""
        self._pinned = checkpoint.pins
        self._new_pins: Pins | None = None
        self._pin_changes: tuple[PinChange, ...] = ()
        self._sizes = list(checkpoint.sizes)
        self._warnings = checkpoint.warnings
        self._new_warnings: tuple[ScenarioWarning, ...] | None = None
        self.position = checkpoint.position_seconds
        self._replay_at = {checkpoint.replay_sampled: checkpoint.replay_frame}
        self._carried = checkpoint.carried
        self._open_events = {one.event_id: one for one in checkpoint.open_events}
        self._stored_analysis = checkpoint.carried, checkpoint.open_events
        self._changed_events: dict[int, Event] = {}
        self._best_frames: dict[int, int] = {}  # of open events, as this run has stored them
        self._seen_better: dict[int, Event] = {}  # open events whose best frames are not stored yet
        self._pictures: dict[int, NewPicture] = {}  # of events
        self.saved_analysis: SavedAnalysis | None = None
        """To be stored with the next frames of analysis."""
        self._is_analysis_changed = False
        self._rate: deque[tuple[float, int]] = deque([(time.monotonic(), checkpoint.next_frame)])

    def expect(self, file: ExpectedFile) -> None:
        """Compare the recording with the one that is meant, if none was pinned yet."""
        pinned = self._pinned or Pins()
        self._pinned = replace(pinned, file=pinned.file or FileIdentity(size=file.size, digest=file.digest))

    def pin(self, found: Pins) -> None:
        """Note what the results depend on, to be stored with the next batch.

        Raises:
            PinnedError: the file or the model is another one than when the scenario began.
        """
        found = replace(found, recorded_at=self.recorded_at)
        changes = [] if self._pinned is None else compare(self._pinned, found)
        self._pinned = self._new_pins = merge(self._pinned, found)
        self._pin_changes += tuple(PinChange(self.next_frame, change) for change in changes)

    def warn(self, found: Iterable[ScenarioWarning]) -> None:
        """Note what a user should know, to be stored with the next batch. A text is told of once."""
        known = {(warning.code, warning.text) for warning in self._warnings}
        new = tuple(warning for warning in found if (warning.code, warning.text) not in known)
        if new and len(self._warnings) < _MAX_WARNINGS:
            self._warnings = self._new_warnings = (self._warnings + new)[:_MAX_WARNINGS]

    @property
    def has_open_events(self) -> bool:
        """Whether events of the scenario have not ended."""
        return bool(self._open_events)

    def change_analysis(self, events: Iterable[Event], carried: Carried, saved: SavedAnalysis | None) -> None:
        """Note what changed in the analysis, to be stored with the next batch. `saved`: None: as before."""
        self._is_analysis_changed = True
        self._carried = carried
        self.saved_analysis = saved or self.saved_analysis
        for event in events:
            self._changed_events[event.event_id] = event
            if event.state == "ended":
                self._open_events.pop(event.event_id, None)
            else:
                self._open_events[event.event_id] = OpenEvent(event.event_id, event.end_frame, event.end_time)

    def build(
        self,
        entries: Iterable[FrameTask | Watermark],
        *,
        source_state: SourceState,
        is_finished: bool = False,
        ending: EndOfAnalysis | None = None,
    ) -> Batch | None:
        """Return the batch of these entries; None if it has nothing new and is not the last one.

        `ending`: only of the run's last batch, which then has the state of analysis.
        """
        start = self.next_frame
        end = start
        predictions: list[Prediction] = []
        known_sizes = len(self._sizes)
        dropped = 0
        for entry in entries:
            if isinstance(entry, Watermark):
                entry_end = entry.end
                dropped += entry.dropped
            else:
                entry_end = entry.frame + 1
                self._note_rebuild(entry)
                if entry.frame < start:
                    continue
                if entry.is_dropped:
                    dropped += 1
                else:
                    self._note_size(entry)
                    if (analysed := entry.analysed) is not None:
                        self.change_analysis(analysed.events, analysed.carried, analysed.saved)
                        self._pictures |= {picture.event_id: picture for picture in analysed.pictures}
                    predictions.append(
                        Prediction(entry.frame, entry.time, entry.detections or (), entry.error)
                    )
            if entry_end > end:
                end = entry_end
                self.position = entry.time
        if ending is not None:
            self._end_analysis(ending, end)
        has_news = self._new_warnings is not None or self._is_analysis_changed
        if end == start and not is_finished and not has_news:
            return None
        self.next_frame = end
        before = self.counters
        self.counters = Counters(
            sampled=before.sampled + len(predictions),
            dropped=before.dropped + dropped,
            failed=before.failed + sum(prediction.error is not None for prediction in predictions),
            detections=before.detections + sum(len(prediction.detections) for prediction in predictions),
        )
        replay_frame, replay_sampled = self._replay()
        pins, self._new_pins = self._new_pins, None
        pin_changes, self._pin_changes = self._pin_changes, ()
        warnings, self._new_warnings = self._new_warnings, None
        return Batch(
            start=start,
            end=end,
            predictions=predictions,
            counters=self.counters,
            position_seconds=self.position,
            frames_per_second=self._frames_per_second(),
            candidates=self.candidates,
            replay_frame=replay_frame,
            replay_sampled=replay_sampled,
            source_state=source_state,
            is_finished=is_finished,
            is_live=self.is_live,
            pins=pins,
            pin_changes=pin_changes,
            warnings=warnings,
            new_sizes=tuple(self._sizes[known_sizes:]),
            analysis=self._analysis_update(),
        )

    def _end_analysis(self, ending: EndOfAnalysis, end: int) -> None:
        analysis, state = ending.analysis, ending.state
        events = () if state is None else analysis.end(state)
        if events or analysis.has_unsaved_frames:
            saved = SavedAnalysis(end, b"" if state == "ended" else analysis.save())
            self.change_analysis(events, analysis.carried, saved)

    def _analysis_update(self) -> AnalysisUpdate | None:
        if not self._is_analysis_changed:
            return None
        saved, self.saved_analysis = self.saved_analysis, None
        events, self._changed_events = self._to_store(self._changed_events.values(), saved), {}
        pictures, self._pictures = tuple(self._pictures.values()), {}
        self._is_analysis_changed = False
        open_events = tuple(self._open_events.values())
        before, self._stored_analysis = self._stored_analysis, (self._carried, open_events)
        if before == self._stored_analysis and not (events or pictures or saved):
            return None  # nothing is in the picture
        return AnalysisUpdate(self._carried, events, open_events, saved, pictures=pictures)

    def _to_store(self, changed: Iterable[Event], saved: SavedAnalysis | None) -> tuple[Event, ...]:
        """Return the events whose rows are written with this batch.

        These are the events that are new to this run or not open any more. If a state is saved, also those
        that were seen better since their rows were written: a replay from that state finds what comes later.
        """
        found = []
        for event in changed:
            number, best = event.event_id, self._best_frames.get(event.event_id)
            if event.state != "open":
                self._best_frames.pop(number, None)
                self._seen_better.pop(number, None)
                found.append(event)
            elif best is None:
                self._best_frames[number] = event.best_frame
                found.append(event)
            elif best != event.best_frame:
                self._seen_better[number] = event
        if saved is not None:
            found += self._seen_better.values()
            self._best_frames |= {number: one.best_frame for number, one in self._seen_better.items()}
            self._seen_better = {}
        return tuple(found)

    def _note_size(self, task: FrameTask) -> None:
        """Keep the size of the frame's picture if it is another one than that of the frame before."""
        if task.size is None or len(self._sizes) > MAX_SIZES:
            return
        width, height = task.size
        if self._sizes and (self._sizes[-1].width, self._sizes[-1].height) == task.size:
            return
        if len(self._sizes) == MAX_SIZES:
            self.warn([ScenarioWarning("sizes_unknown", _TOO_MANY_SIZES, task.frame)])
            width = height = 0
        self._sizes.append(FrameSize(task.frame, width, height))

    def _note_rebuild(self, task: FrameTask) -> None:
        """Keep the frame with which the warm-up of a new instance begins: later runs may resume there."""
        warm_up, sampled = self.warm_up, task.sampled
        if warm_up and sampled is not None and (sampled + warm_up.frames) % warm_up.rebuild_every == 0:
            self._replay_at[sampled] = task.frame

    def _replay(self) -> tuple[int, int]:
        """Return the frame at which a resumed run begins to decode, and its number as a sampled frame."""
        sampled = self.counters.sampled
        if self.warm_up is None:
            return self.next_frame, sampled
        first = replay_from(sampled, self.warm_up)
        self._replay_at = {number: frame for number, frame in self._replay_at.items() if number >= first}
        return self._replay_at.get(first, self.next_frame), first

    def _frames_per_second(self) -> float:
        now = time.monotonic()
        self._rate.append((now, self.next_frame))
        while len(self._rate) > 2 and now - self._rate[1][0] > _RATE_WINDOW:
            self._rate.popleft()
        since, frame = self._rate[0]
        return (self.next_frame - frame) / max(now - since, 1e-6)

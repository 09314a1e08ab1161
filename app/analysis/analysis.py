"""One scenario's analysis: what each frame changes in its tracks and events."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from ..domain.analysis import AnalysisRules
from ..domain.event import Carried, Event
from ..domain.prediction import Detection
from .alerts import AlertRules
from .objects import ObjectWatcher
from .presence import MAX_LABELS, LabelWatcher
from .recorder import EventRecorder
from .state import AnalysisState, decode_state, encode_state
from .stored_tracks import follow_stored
from .tracking.tracker import MAX_TRACKS, Followed, Tracker
from .zones import WatchedZone, anchors


class Step(Struct, frozen=True, gc=False):
    """What one frame changes: its detections with track ids, and the events that are new or changed."""

    detections: tuple[Detection, ...]
    events: tuple[Event, ...] = ()


class Analysis:
    """Sees a scenario's frames in order. Pure: no clock, no I/O, and the same on every machine.

    With a saved state, it goes on as the one that saved it, with the ids and cooldowns of then: frames that
    are taken again give the same events again. Without one, it begins with what is `carried`.

    With `has_stored_tracks`, objects are those whose track ids the detections already have.
    """

    def __init__(
        self,
        rules: AnalysisRules,
        carried: Carried | None = None,
        saved: bytes | None = None,
        *,
        has_stored_tracks: bool = False,
    ) -> None:
        """Raises UnreadableStateError if the saved state is damaged, or of another version."""
        first = Carried() if carried is None else carried
        self._state = state = (
            AnalysisState(first.next_track_id, first.next_event_id, dict(first.cooldowns))
            if saved is None
            else decode_state(saved)
        )
        self._recorder = EventRecorder(state)
        self._ignored = [WatchedZone(zone) for zone in rules.zones if zone.ignore]
        self._has_stored_tracks = has_stored_tracks
        self._tracker: Tracker | None = None
        self._objects: ObjectWatcher | None = None
        self._labels: LabelWatcher | None = None
        self._max_gap = 0.0
        self._needs_size = bool(rules.zones or rules.lines)
        alerts = AlertRules(rules.alerts, state.cooldowns, self._recorder)
        if rules.tracking is not None:
            self._max_gap = rules.tracking.max_gap_seconds
            self._objects = ObjectWatcher(rules, self._max_gap, state, alerts, self._recorder)
            if not has_stored_tracks:
                self._tracker = Tracker(rules.tracking, state.next_track_id, state.tracker)
        if rules.presence is not None:
            met = alerts if rules.tracking is None else None
            self._labels = LabelWatcher(rules.presence.max_gap_seconds, state, met, self._recorder)

    def step(self, frame: int, time: float, size: tuple[int, int], detections: Sequence[Detection]) -> Step:
        """Take the next frame, as `see` does, and return what it changes."""
        track_ids = self.see(frame, time, size, detections)
        shown = tuple(detections)
        if track_ids is not None:
            shown = tuple(
                [
                    one
                    if number == one.track_id
                    else Detection(one.label, one.confidence, one.box, number, one.class_id)
                    for one, number in zip(detections, track_ids, strict=True)
                ]
            )
        return Step(shown, self.take_events())

    def see(
        self, frame: int, time: float, size: tuple[int, int], detections: Sequence[Detection]
    ) -> Sequence[int | None] | None:
        """Take the next frame: its ordinal, time in seconds, (width, height), and detections as stored.

        Returns the track id of each detection, None if they stay as they are. Two frames may have one time.
        The size is (0, 0) if it is not known. Frames without detections must come too; frames with an error
        do not.
        """
        state = self._state
        elapsed = 0.0 if state.time is None or time < state.time else time - state.time
        state.time = time
        known_size = None if 0 in size else size
        if known_size is None and self._needs_size and detections:
            state.had_unknown_size = True
        used, ignored = detections, set[int]()
        if self._ignored and known_size is not None:
            ignored = {n for n, one in enumerate(detections) if self._is_ignored(one, known_size)}
            used = [one for n, one in enumerate(detections) if n not in ignored]
        scores = []
        for one in used:  # as score_of does, without a call for each detection
            x1, y1, x2, y2 = one.box
            scores.append(one.confidence * ((x2 - x1) * (y2 - y1)))
        track_ids: Sequence[int | None] | None = None
        if self._objects is not None:
            followed = self._follow(frame, time, elapsed, size, used)
            if followed.is_full:
                state.had_too_many_tracks = True
            self._objects.update(frame, time, elapsed, known_size, followed, used, scores)
            track_ids = followed.track_ids
            if ignored:
                ids = iter(track_ids)
                track_ids = [one.track_id if n in ignored else next(ids) for n, one in enumerate(detections)]
        if self._labels is not None:
            self._labels.update(frame, time, elapsed, used, scores)
        return track_ids

    def take_events(self) -> tuple[Event, ...]:
        """Return the events that are new or changed since they were last taken, as they are now."""
        return self._recorder.take()

    def end(self, state: Literal["ended", "interrupted"]) -> tuple[Event, ...]:
        """Return the open events as `ended` or `interrupted`, at the last time that each was seen.

        The state stays as it is, so that what was interrupted can go on.
        """
        stays = list(self._state.presences.values())
        for one in self._state.objects.values():
            stays += [one.stay, *one.visits.values()]
        return tuple([stay.as_event(state) for stay in sorted(stays, key=lambda stay: stay.event_id)])

    def save(self) -> bytes:
        """Return the state, from which an analysis goes on with the same results."""
        if self._tracker is not None:
            self._state.tracker = self._tracker.save()
        return encode_state(self._state)

    @property
    def carried(self) -> Carried:
        """What is kept apart from the state, because it must outlive it."""
        state = self._state
        return Carried(state.next_track_id, state.next_event_id, dict(state.cooldowns))

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each bound that was met so far."""
        state = self._state
        found = []
        if state.had_too_many_tracks:
            found.append(
                f"More than {MAX_TRACKS} objects were visible at once, and only {MAX_TRACKS} of them were"
                " followed: choose fewer labels or a higher confidence for the detector, or ignore a zone."
            )
        if state.had_too_many_labels:
            found.append(
                f"More than {MAX_LABELS} labels were visible at once, and only {MAX_LABELS} of them have"
                " events of presence: choose fewer labels for the detector."
            )
        if state.had_unknown_size:
            found.append(
                "The size of some pictures is not known, so zones and lines were not applied to them: analyse"
                " the video itself instead of what an older version stored."
            )
        return tuple(found)

    def _is_ignored(self, detection: Detection, size: tuple[int, int]) -> bool:
        place = anchors(detection.box, size)
        return any(zone.contains(*place) for zone in self._ignored)

    def _follow(
        self, frame: int, time: float, elapsed: float, size: tuple[int, int], used: Sequence[Detection]
    ) -> Followed:
        if self._tracker is None:
            return follow_stored(self._state.unseen, self._max_gap, frame, time, elapsed, used)
        followed = self._tracker.update(frame, time, size, used)
        self._state.next_track_id = self._tracker.next_track_id
        return followed

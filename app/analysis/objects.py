"""The events of objects: their stays in the picture, visits to zones, and crossings of lines."""

from collections.abc import Sequence

from ..domain.analysis import AnalysisRules
from ..domain.prediction import Detection
from .alerts import AlertRules
from .lines import Passage, WatchedLine
from .recorder import EventRecorder
from .state import AnalysisState, ObservedObject
from .stays import ROUNDING, Seen, score_of
from .tracking.state import Sighting
from .tracking.tracker import ConfirmedTrack, Followed
from .zones import WatchedZone, anchors

Size = tuple[int, int]


class ObjectWatcher:
    """Turns what is known of followed objects into events. `max_gap` is in seconds."""

    def __init__(
        self,
        rules: AnalysisRules,
        max_gap: float,
        state: AnalysisState,
        alerts: AlertRules,
        recorder: EventRecorder,
    ) -> None:
        zones = [WatchedZone(zone) for zone in rules.zones if not zone.ignore]
        self._zones = [
            (zone.left, zone.right, zone.contains, zone.name, alerts.watches(zone.name)) for zone in zones
        ]
        self._has_alerts = alerts.watches(None)
        lines = [WatchedLine(line) for line in rules.lines]
        self._lines = [(line.name, line.x, line.y, line.across, line.down, line) for line in lines]
        self._max_gap = max_gap
        self._state = state
        self._alerts = alerts
        self._recorder = recorder
        self._frame, self._time = 0, 0.0
        self._size: Size | None = None

    def update(
        self,
        frame: int,
        time: float,
        elapsed: float,
        size: Size | None,
        followed: Followed,
        seen: Sequence[Detection],
        scores: Sequence[float],
    ) -> None:
        """Take a frame's objects. `elapsed`: seconds since the one before.

        `seen` and `scores` have one entry for each track id. Without a size, zones and lines are left alone.
        """
        self._frame, self._time, self._size = frame, time, size
        objects = self._state.objects
        for number in followed.ended:
            gone = objects.pop(number)
            self._recorder.ended(gone.stay)
            for visit in gone.visits.values():
                self._recorder.ended(visit)
        if self._zones:
            looked = min(elapsed, self._max_gap)
            for one in objects.values():
                if one.visits:
                    self._age_visits(one, looked)
        new: set[int] = set()
        for track in followed.confirmed:
            new.add(track.track_id)
            self._begin(track)
        changed = self._recorder.changed
        for found, detection, score in zip(followed.track_ids, seen, scores, strict=True):
            if found is not None and found not in new:
                one = objects[found]
                stay = one.stay
                stay.see(frame, time, detection, score)
                changed[stay.event_id] = stay
                if self._has_alerts:
                    self._alerts.check_stay(stay, frame, time)
                if size is not None:
                    self._place(one, size, frame, time, detection, score)

    def _begin(self, track: ConfirmedTrack) -> None:
        """Take an object that is certain now, with all sightings of it so far."""
        first = track.sightings[0]
        stay = self._recorder.begin(
            "object", track.label, track.track_id, None, first.frame, first.time, first
        )
        one = self._state.objects[track.track_id] = ObservedObject(stay)
        before = stay.start_time
        for sighting in track.sightings:
            frame, time, score = sighting.frame, sighting.time, score_of(sighting)
            stay.see(frame, time, sighting, score)
            self._age_visits(one, min(max(time - before, 0.0), self._max_gap))
            before = time
            if self._size is not None:
                self._place(one, self._size, frame, time, sighting, score)
        self._alerts.check_stay(stay, self._frame, self._time)

    def _age_visits(self, one: ObservedObject, looked: float) -> None:
        """End the visits to zones in which the object has not been for too long."""
        over: list[str] = []
        for name, visit in one.visits.items():  # as Stay.is_over does, without a call for each visit
            away = visit.away + looked
            if away - ROUNDING > self._max_gap:
                over.append(name)
            else:
                visit.away = away
        for name in over:
            self._recorder.ended(one.visits.pop(name))

    def _place(
        self, one: ObservedObject, size: Size, frame: int, time: float, seen: Seen, score: float
    ) -> None:
        """Take where an object is in a frame: in which zones, and whether it has crossed lines."""
        x, bottom, middle = anchors(seen.box, size)
        for left, right, contains, name, has_alerts in self._zones:
            if x < left or x > right or not contains(x, bottom, middle):
                continue
            visit = one.visits.get(name)
            if visit is None:
                stay = one.stay
                visit = self._recorder.begin("zone", stay.label, stay.track_id, name, frame, time, seen)
                one.visits[name] = visit
            else:
                visit.see(frame, time, seen, score)
                self._recorder.changed[visit.event_id] = visit
            if has_alerts:
                self._alerts.check_stay(visit, self._frame, self._time)
        if self._lines:
            self._follow_lines(one, x, bottom, size, frame, time, seen)
            one.place = (x, bottom)

    def _follow_lines(
        self, one: ObservedObject, x: float, y: float, size: Size, frame: int, time: float, seen: Seen
    ) -> None:
        passages = one.passages
        for name, line_x, line_y, across, down, line in self._lines:
            passage = passages.get(name)
            if passage is None:
                passage = passages[name] = Passage()
            cross = across * (y - line_y) - down * (x - line_x)
            side = (cross > 0.0) - (cross < 0.0)
            if side == passage.last_side == passage.clear_side:  # nothing changes, as in most frames
                continue
            x1, y1, x2, y2 = seen.box
            width, height = (x2 - x1) / size[0], (y2 - y1) / size[1]
            crossed = line.follow(passage, one.place, x, y, width, height)
            if crossed is not None:
                sighting = Sighting(frame, time, one.stay.label, seen.confidence, seen.box)
                self._recorder.crossed(name, crossed, one.stay, sighting)
                self._alerts.check_crossing(name, crossed, one.stay, sighting, self._frame, self._time)

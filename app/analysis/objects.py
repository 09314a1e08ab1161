"""The events of objects: their stays in the picture, visits to zones, and crossings of lines."""

from collections.abc import Sequence

from ..domain.analysis import AnalysisRules
from .alerts import AlertRules
from .lines import Passage, WatchedLine
from .recorder import EventRecorder
from .state import AnalysisState, ObservedObject
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
        self._zones = [WatchedZone(zone) for zone in rules.zones if not zone.ignore]
        self._lines = [WatchedLine(line) for line in rules.lines]
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
        seen: Sequence[Sighting],
    ) -> None:
        """Take a frame's objects. `elapsed`: seconds since the one before. `seen` has one for each track id.

        Without a size, zones and lines are left alone.
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
        new = {track.track_id for track in followed.confirmed}
        for track in followed.confirmed:
            self._begin(track)
        for found, sighting in zip(followed.track_ids, seen, strict=True):
            if found is not None and found not in new:
                one = objects[found]
                stay = one.stay
                stay.see(sighting)
                self._recorder.went_on(stay)
                self._alerts.check_stay(stay, frame, time)
                if size is not None:
                    self._place(one, size, sighting)

    def _begin(self, track: ConfirmedTrack) -> None:
        """Take an object that is certain now, with all sightings of it so far."""
        stay = self._recorder.begin("object", track.label, track.track_id, None, track.sightings[0])
        one = self._state.objects[track.track_id] = ObservedObject(stay)
        before = stay.start_time
        for sighting in track.sightings:
            stay.see(sighting)
            self._age_visits(one, min(max(sighting.time - before, 0.0), self._max_gap))
            before = sighting.time
            if self._size is not None:
                self._place(one, self._size, sighting)
        self._recorder.went_on(stay)
        self._alerts.check_stay(stay, self._frame, self._time)

    def _age_visits(self, one: ObservedObject, looked: float) -> None:
        """End the visits to zones in which the object has not been for too long."""
        for name in [name for name, visit in one.visits.items() if visit.is_over(looked, self._max_gap)]:
            self._recorder.ended(one.visits.pop(name))

    def _place(self, one: ObservedObject, size: Size, sighting: Sighting) -> None:
        """Take where an object is in a frame: in which zones, and whether it has crossed lines."""
        x, bottom, middle = anchors(sighting.box, size)
        for zone in self._zones:
            if zone.contains(x, bottom, middle):
                self._visit(one, zone.name, sighting)
        if self._lines:
            self._follow_lines(one, x, bottom, size, sighting)
            one.place = (x, bottom)

    def _visit(self, one: ObservedObject, zone: str, sighting: Sighting) -> None:
        visit = one.visits.get(zone)
        if visit is None:
            stay = one.stay
            visit = self._recorder.begin("zone", stay.label, stay.track_id, zone, sighting)
            one.visits[zone] = visit
        else:
            visit.see(sighting)
            self._recorder.went_on(visit)
        self._alerts.check_stay(visit, self._frame, self._time)

    def _follow_lines(self, one: ObservedObject, x: float, y: float, size: Size, sighting: Sighting) -> None:
        x1, y1, x2, y2 = sighting.box
        width, height = (x2 - x1) / size[0], (y2 - y1) / size[1]
        for line in self._lines:
            passage = one.passages.get(line.name)
            if passage is None:
                passage = one.passages[line.name] = Passage()
            side = line.follow(passage, one.place, x, y, width, height)
            if side is not None:
                self._recorder.crossed(line.name, side, one.stay, sighting)
                self._alerts.check_crossing(line.name, side, one.stay, sighting, self._frame, self._time)

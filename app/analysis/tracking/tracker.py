"""Follow the objects of one video from frame to frame."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from copy import deepcopy

from msgspec import Struct

from ...domain.analysis import Tracking
from ...domain.prediction import Box, Detection
from .association import associate, inside, overlap
from .camera import follow_camera, scale_swing
from .kalman import begin, correct, measure, predict, rest, scale
from .state import Sighting, Track, TrackerState

MAX_TRACKS = 300
"""Objects that are followed at once, those included that are not confirmed yet."""
CONFIRMED_AT = 3
"""Frames in which an object is found before it gets an id,"""
CONFIRMED_AFTER = 0.15
"""or two frames that are at least as many seconds apart."""
MAX_FOOTAGE_GAP = 60.0
"""Seconds without a frame after which every object has left."""
TENTATIVE_GAP = 0.2
"""Seconds for which an unconfirmed object may be unseen,"""
TENTATIVE_MISSES = 1
"""and frames: it is dropped when both are exceeded."""
SAME_OBJECT = 0.6
"""Overlap with a detection of an object, from which on another detection begins no object of its own."""
MOSTLY_INSIDE = 0.65
"""Part of a detection that lies inside one of an object, from which on it may be found twice,"""
MUCH_OVERLAP = 0.4
"""or overlap with it, if both have one label: so it begins no object of its own,"""
CERTAIN = 0.75
"""unless it has this confidence."""


class ConfirmedTrack(Struct, frozen=True):
    """An object that is certain now, and where it was found so far: in order, the last is of this frame.

    Its label is the one of most of these sightings, and does not change any more.
    """

    track_id: int
    label: str
    sightings: tuple[Sighting, ...]


class Followed(Struct, frozen=True):
    """What one frame changes. `track_ids` has one entry per detection, None if it shows no confirmed object.

    Objects of `ended` have left; they were last found in an earlier frame. `is_full`: an object was not
    followed because MAX_TRACKS are.
    """

    track_ids: tuple[int | None, ...]
    confirmed: tuple[ConfirmedTrack, ...] = ()
    ended: tuple[int, ...] = ()
    is_full: bool = False


class Tracker:
    """Follows objects: detections in, ids out. Pure: no clock, no I/O, the same on every machine.

    Begins with a saved state, or with nothing. Ids count on from `next_track_id`.
    """

    def __init__(self, tracking: Tracking, next_track_id: int = 1, state: TrackerState | None = None) -> None:
        self.next_track_id = next_track_id
        self._max_gap = tracking.max_gap_seconds
        self._min_confidence = tracking.min_confidence
        self._state = TrackerState() if state is None else deepcopy(state)

    def save(self) -> TrackerState:
        """Return a copy of the state. `next_track_id` is no part of it."""
        return deepcopy(self._state)

    def update(
        self, frame: int, time: float, size: tuple[int, int], detections: Sequence[Detection]
    ) -> Followed:
        """Take the next frame: its ordinal, time in seconds, (width, height), and detections as stored.

        Two frames may have one time. The size is (0, 0) if it is not known.
        """
        state = self._state
        elapsed = 0.0 if state.time is None else max(time - state.time, 0.0)
        state.time = time
        if size != state.size:
            self._resize(size)
        ended = self._predict(elapsed)
        tracks = state.tracks
        seen = [measure(one.box) for one in detections]
        least = self._min_confidence
        confident = [n for n, one in enumerate(detections) if one.confidence >= least]
        follow_camera(state.swing, tracks, detections, seen, confident)
        shown: list[Track | None] = [None] * len(detections)
        pairs = associate(tracks, detections, seen, confident)
        for number, detection in pairs:
            shown[detection] = tracks[number]
        if len(pairs) < len(tracks):
            found = {number for number, _ in pairs}
            for number, track in enumerate(tracks):
                if number not in found:
                    track.unseen += min(elapsed, self._max_gap)
                    track.missed += 1
        confirmed = []
        new = []
        ids: list[int | None] = []
        for one, measured, shows in zip(detections, seen, shown, strict=True):
            if shows is None:
                ids.append(None)
                if one.confidence >= self._min_confidence:
                    new.append(one)
                continue
            correct(shows.filter, measured)
            if shows.missed:
                shows.unseen, shows.missed = 0.0, 0
            track_id = shows.track_id
            if track_id is None:
                shows.sightings.append(_sighting(frame, time, one))
                if _is_certain(shows.sightings):
                    confirmed.append(self._confirm(shows))
                    track_id = shows.track_id
            ids.append(track_id)
        is_full = False
        if new:
            followed = [one for one, shows in zip(detections, shown, strict=True) if shows is not None]
            is_full = self._begin(frame, time, new, followed)
        return Followed(tuple(ids), tuple(confirmed), tuple(ended), is_full)

    def _resize(self, size: tuple[int, int]) -> None:
        """Convert all tracks to pictures of this size."""
        state = self._state
        if size == state.size or 0 in size:
            return
        if 0 not in state.size:
            across, down = size[0] / state.size[0], size[1] / state.size[1]
            for track in state.tracks:
                scale(track.filter, across, down)
            scale_swing(state.swing, across, down)
        state.size = size

    def _predict(self, elapsed: float) -> list[int]:
        """Move all tracks on in time, drop those that were unseen for too long, and return their ids.

        In a gap of the footage that is longer than an object may be unseen, nobody looked: it counts as that
        time at most, and an object is found after it only where it was before.
        """
        state = self._state
        looked = min(elapsed, self._max_gap)
        stays = min(TENTATIVE_GAP, self._max_gap) - looked  # who was unseen for as long at most
        kept, gone = [], []
        for track in state.tracks:
            if elapsed > MAX_FOOTAGE_GAP or (track.unseen > stays and self._has_left(track, looked)):
                gone.append(track)
            else:
                kept.append(track)
        state.tracks = kept
        motions = [track.filter for track in state.tracks]
        if elapsed > looked:
            for motion in motions:
                rest(motion)
        elif elapsed > 0.0:
            predict(motions, elapsed)
        return [track.track_id for track in gone if track.track_id is not None]

    def _has_left(self, track: Track, looked: float) -> bool:
        """Return whether a track has ended if the next frame is `looked` seconds later."""
        unseen = track.unseen + looked - 1e-6  # the sum of differences of times is not exact
        if track.track_id is None and track.missed > TENTATIVE_MISSES:
            return unseen > TENTATIVE_GAP or unseen > self._max_gap
        return unseen > self._max_gap

    def _confirm(self, track: Track) -> ConfirmedTrack:
        """Give a track its id."""
        labels = [one.label for one in track.sightings]
        track.label = max(labels, key=labels.count)  # the first of those that are equally many
        track.track_id = self.next_track_id
        self.next_track_id += 1
        confirmed = ConfirmedTrack(track.track_id, track.label, tuple(track.sightings))
        track.sightings = []
        return confirmed

    def _begin(self, frame: int, time: float, new: list[Detection], followed: Sequence[Detection]) -> bool:
        """Begin to follow confident detections that show nothing known; return whether that was too much.

        `followed`: the detections that show objects. `new` is changed.
        """
        known = sorted([one.box for one in followed])
        new.sort(key=lambda one: -one.confidence)
        for one in new:
            if _is_known(one.box, known) or (one.confidence < CERTAIN and _is_doubtful(one, followed)):
                continue
            if len(self._state.tracks) >= MAX_TRACKS:
                return True
            track = Track(None, one.label, begin(measure(one.box)), [_sighting(frame, time, one)])
            self._state.tracks.append(track)
            insort(known, one.box)
        return False


def _is_known(box: Box, known: Sequence[Box]) -> bool:
    """Return whether a box overlaps one of these, which are in order, by SAME_OBJECT."""
    x1, width = box[0], box[2] - box[0]
    near = known[bisect_left(known, (x1 - width,)) : bisect_left(known, (x1 + width,))]  # others cannot
    return any(overlap(box, other) >= SAME_OBJECT for other in near)


def _is_doubtful(one: Detection, followed: Sequence[Detection]) -> bool:
    """Return whether a detection may show an object again that another detection of its label shows."""
    left, _, right, _ = one.box
    for other in followed:
        if other.box[2] <= left or right <= other.box[0] or other.label != one.label:
            continue
        if inside(one.box, other.box) >= MOSTLY_INSIDE or overlap(one.box, other.box) >= MUCH_OVERLAP:
            return True
    return False


def _is_certain(sightings: Sequence[Sighting]) -> bool:
    return len(sightings) >= CONFIRMED_AT or sightings[-1].time - sightings[0].time >= CONFIRMED_AFTER


def _sighting(frame: int, time: float, detection: Detection) -> Sighting:
    return Sighting(frame, time, detection.label, detection.confidence, detection.box)

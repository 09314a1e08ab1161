"""Objects of footage that was analysed before: their track ids are stored with their detections."""

from collections.abc import Sequence

from ..domain.prediction import Detection
from .stays import ROUNDING
from .tracking.state import Sighting
from .tracking.tracker import MAX_FOOTAGE_GAP, MAX_TRACKS, ConfirmedTrack, Followed


def follow_stored(
    unseen: dict[int, float],
    max_gap: float,
    frame: int,
    time: float,
    elapsed: float,
    detections: Sequence[Detection],
) -> Followed:
    """Return what one frame changes, as a Tracker does, from the track ids that its detections have.

    `unseen` holds for each object the seconds for which it was not found; it is changed.
    """
    looked = min(elapsed, max_gap)
    ended = tuple(
        [
            number
            for number, seconds in unseen.items()
            if elapsed > MAX_FOOTAGE_GAP or seconds + looked - ROUNDING > max_gap
        ]
    )
    for number in ended:
        del unseen[number]
    for number in unseen:
        unseen[number] += looked
    confirmed = []
    is_full = False
    ids: list[int | None] = []
    for one in detections:
        track_id = one.track_id
        if track_id is not None and track_id not in unseen:
            if len(unseen) >= MAX_TRACKS:
                is_full, track_id = True, None
            else:
                sighting = Sighting(frame, time, one.label, one.confidence, one.box)
                confirmed.append(ConfirmedTrack(track_id, one.label, (sighting,)))
        if track_id is not None:
            unseen[track_id] = 0.0
        ids.append(track_id)
    return Followed(tuple(ids), tuple(confirmed), ended, is_full)

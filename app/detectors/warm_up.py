"""Rebuild detectors that need a warm-up at fixed frames, so that a resumed run finds the same."""

from ..domain.picture import Picture
from ..domain.prediction import Detection
from .base import Detector, DetectorFactory, WarmUp


def replay_from(sampled: int, warm_up: WarmUp) -> int:
    """Return the first sampled frame that must be fed again to go on at `sampled`. Both count from 0."""
    built_at = sampled // warm_up.rebuild_every * warm_up.rebuild_every
    return max(0, built_at - warm_up.frames)


class RebuiltDetector:
    """Gives sampled frames, in their order, to the current instance, and warms up the next one.

    Instance number n gives the detections of `rebuild_every` sampled frames from n · `rebuild_every` on.
    `start` is the first sampled frame whose detections are needed: feeding begins at `replay_from(start)`,
    and what `detect` returns before `start` must be ignored. A frame that could not be decoded is not fed:
    each run leaves out the same frames, so the instances stay the same.
    """

    def __init__(self, factory: DetectorFactory, warm_up: WarmUp, start: int = 0) -> None:
        self._factory = factory
        self._warm_up = warm_up
        self._first = start // warm_up.rebuild_every
        self._instances: dict[int, Detector] = {}

    def detect(self, sampled: int, picture: Picture, frame: int) -> tuple[Detection, ...]:
        """Return the detections in the sampled frame number `sampled`."""
        number, position = divmod(sampled, self._warm_up.rebuild_every)
        # The next instance comes first. If the current one raised before it, the next one would miss a frame
        # that it gets in a run that is resumed later.
        if position >= self._warm_up.rebuild_every - self._warm_up.frames:
            self._instance(number + 1).detect(picture, frame)
        if number < self._first:
            return ()
        self._instances = {each: instance for each, instance in self._instances.items() if each >= number}
        return self._instance(number).detect(picture, frame)

    def _instance(self, number: int) -> Detector:
        if number not in self._instances:
            self._instances[number] = self._factory()
        return self._instances[number]

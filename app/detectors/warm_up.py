"""Detectors with a memory, rebuilt at fixed places: a resumed run finds what an undisturbed one does."""

from ..domain.picture import Picture
from ..domain.prediction import Detection
from .base import Detector, DetectorFactory, Memory


def replay_from(sampled: int, memory: Memory) -> int:
    """The first sampled frame that must be fed again in order to go on at `sampled`; both count from 0."""
    segment = sampled // memory.segment
    return max(0, segment * memory.segment - memory.warmup)


class Segments:
    """Feeds sampled frames, in order, to the instance of their segment, and warms the next one's.

    `start` is the sampled frame whose detections are the first that matter: feeding begins at
    `replay_from(start)`, and what `feed` returns before `start` is to be thrown away. A frame that could not
    be decoded is not fed; since every run leaves out the same ones, the instances stay the same.
    """

    def __init__(self, factory: DetectorFactory, memory: Memory, start: int = 0) -> None:
        self._factory = factory
        self._memory = memory
        self._first_segment = start // memory.segment
        self._instances: dict[int, Detector] = {}

    def feed(self, sampled: int, picture: Picture, frame: int) -> tuple[Detection, ...]:
        """The detections of the sampled frame number `sampled`."""
        segment, place = divmod(sampled, self._memory.segment)
        # The next segment's comes first: if the current one's fault ended this call, it would miss a frame
        # that a run resumed in the next segment gives it.
        if place >= self._memory.segment - self._memory.warmup:
            self._instance(segment + 1).detect(picture, frame)
        if segment < self._first_segment:
            return ()
        self._instances = {of: instance for of, instance in self._instances.items() if of >= segment}
        return self._instance(segment).detect(picture, frame)

    def _instance(self, segment: int) -> Detector:
        if segment not in self._instances:
            self._instances[segment] = self._factory()
        return self._instances[segment]

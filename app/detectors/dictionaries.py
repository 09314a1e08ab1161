"""Notice markers of another dictionary than the configured one, of which nothing would be found."""

from collections import Counter
from threading import Lock

import cv2

from ..domain.picture import Image

NAMES = ("4x4_100", "5x5_1000", "6x6_1000", "7x7_1000", "original",
         "apriltag_16h5", "apriltag_25h9", "apriltag_36h10", "apriltag_36h11")  # fmt: skip
"""The dictionaries that are looked for: of the others, these hold at least the markers that are used most."""

CONFIRMED = 3
"""Frames that must show the same marker: a dark square can look like one by chance, rarely in 4x4."""

GROWTH = 1.25
"""Each look waits for this many times the frames before, so that looking costs little in the end."""


def dictionary_of(name: str) -> cv2.aruco.Dictionary:
    """Return OpenCV's dictionary of this name in a configuration."""
    suffix = "ARUCO_ORIGINAL" if name == "original" else name.upper()
    number: int = getattr(cv2.aruco, f"DICT_{suffix}")
    return cv2.aruco.getPredefinedDictionary(number)


class OtherDictionaries:
    """Looks at frames without a marker of the configured dictionary. Threads may share it."""

    def __init__(self, configured: str) -> None:
        self._names = [name for name in NAMES if name != configured]
        self._seen: Counter[tuple[str, int]] = Counter()
        self._frames = 0
        self._next = 1
        self._lock = Lock()
        self.found: str | None = None
        """The dictionary whose markers were seen."""

    def look(self, gray: Image) -> None:
        """Note a frame in which nothing was found, and look at it if its turn has come."""
        with self._lock:
            self._frames += 1
            if self.found is not None or self._frames < self._next:
                return
            self._next = int(self._frames * GROWTH) + 1
        markers = self._read(gray)
        with self._lock:
            self._seen.update(markers)
            if markers:
                self._next = self._frames + 1
            for (name, _), count in self._seen.items():
                if count >= CONFIRMED and self.found is None:
                    self.found = name

    def _read(self, gray: Image) -> set[tuple[str, int]]:
        parameters = cv2.aruco.DetectorParameters()
        parameters.errorCorrectionRate = 0.0
        detector = cv2.aruco.ArucoDetector([dictionary_of(name) for name in self._names], parameters)
        corners, ids, _, places = detector.detectMarkersMultiDict(gray)
        if not corners:
            return set()
        return {
            (self._names[place], number)
            for place, number in zip(map(int, places.ravel()), map(int, ids.ravel()), strict=True)
        }

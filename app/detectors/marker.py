"""ArUco and AprilTag markers, and QR codes."""

import cv2
import numpy as np

from ..domain.detector_config import Marker
from ..domain.picture import Image, Picture
from ..domain.prediction import Detection
from ..domain.reason import ScenarioWarning
from .base import Detector, PerThread, RawDetection, normalize
from .dictionaries import OtherDictionaries, dictionary_of


class MarkerDetector(Detector):
    """Reads codes at full resolution. Only codes that can be decoded are reported, so confidence is 1."""

    def __init__(self, config: Marker) -> None:
        dictionary = dictionary_of(config.dictionary)
        self._dictionary = config.dictionary
        self._aruco = self._qr = None
        self._others: OtherDictionaries | None = None  # until a marker of the configured one is found
        if "aruco" in config.codes:
            self._aruco = PerThread(lambda: cv2.aruco.ArucoDetector(dictionary))
            self._others = OtherDictionaries(config.dictionary)
        if "qr" in config.codes:
            self._qr = PerThread(cv2.QRCodeDetector)

    @property
    def warnings(self) -> tuple[ScenarioWarning, ...]:
        """A warning if nothing was found, and the pictures seem to show markers of another dictionary."""
        if not (self._others and self._others.found):
            return ()
        text = (
            f"No marker of the dictionary {self._dictionary} was found, but the frames seem to show markers"
            f" of {self._others.found}: create a scenario with that `dictionary`."
        )
        return (ScenarioWarning("other_dictionary", text),)

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        gray = picture.gray()
        found = []
        if self._aruco:
            found += _read_aruco(self._aruco.value, gray)
            if found:
                self._others = None
            elif others := self._others:
                others.look(gray)
        if self._qr:
            found += _read_qr(self._qr.value, gray)
        return normalize(picture, found)


def _read_aruco(detector: cv2.aruco.ArucoDetector, gray: Image) -> list[RawDetection]:
    corners, ids, _ = detector.detectMarkers(gray)
    if not corners:
        return []
    return [
        RawDetection(f"aruco:{number}", 1.0, *_bounds(quad))
        for number, quad in zip(ids.ravel().tolist(), corners, strict=True)
    ]


def _read_qr(detector: cv2.QRCodeDetector, gray: Image) -> list[RawDetection]:
    # As bytes: the method for text raises for the whole picture if one code is not UTF-8.
    read, payloads, quads, _ = detector.detectAndDecodeBytesMulti(gray)
    if not read:
        return []
    return [
        RawDetection(f"qr:{_text(payload)}", 1.0, *_bounds(quad))
        for payload, quad in zip(payloads, quads, strict=True)
        if payload
    ]


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return payload.decode("latin-1")


def _bounds(quad: np.ndarray) -> tuple[float, float, float, float]:
    """Return the box around a code's corners. OpenCV gives the coordinates of the outermost pixels."""
    x1, y1 = quad.reshape(-1, 2).min(axis=0).tolist()
    x2, y2 = quad.reshape(-1, 2).max(axis=0).tolist()
    return x1, y1, x2 + 1, y2 + 1

"""Ten seconds of a real video with identities labelled by hand."""

from pathlib import Path

import msgspec
from msgspec import Struct

from app.domain.prediction import Box, Detection
from app.predictions.codec import as_stored

from .scene import Scene, SceneFrame, Truth

_FILE = Path(__file__).with_name("pedestrians.jsonl")
_RATE = 10  # frames/s
_SIZE = (768, 576)


class _Line(Struct, frozen=True):
    """A frame of the video: confidence and corners of each detection; who is seen, in each fifth frame."""

    frame: int
    detections: list[tuple[float, float, float, float, float]]
    people: dict[str, Box] | None = None


def labelled_clip() -> Scene:
    """Return frames 200 to 300 of `vtest.avi`, which OpenCV has among its examples.

    Nine people walk to and fro, meet, and pass behind a lamp post with a sign. The detections are those of
    the detector `objects` with 3 × 3 tiles and a confidence of 0.3. Boxes were corrected and names given by
    hand; who leaves the picture and comes back has another name then.
    """
    lines = [msgspec.json.decode(line, type=_Line) for line in _FILE.read_bytes().splitlines()]
    frames = []
    for n, line in enumerate(lines):
        found = [Detection("person", confidence, tuple(box)) for confidence, *box in line.detections]  # type: ignore[arg-type]
        people = tuple(Truth(ord(name), "person", box) for name, box in (line.people or {}).items())
        is_labelled = line.people is not None
        frames.append(SceneFrame(n, n / _RATE, people, as_stored(found), is_labelled))
    return Scene("pedestrians", _SIZE, tuple(frames), _RATE)

"""Analysis of a frame, and of footage that is stored, compared with decoding the stored rows alone.

Objects wander through 4 zones and over 2 lines, with 2 alerts and presence. Processor time of one thread.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count, islice
from random import Random
from typing import Any

import msgspec

from app.analysis.analysis import Analysis
from app.domain.analysis import Alert, AnalysisRules, Presence
from app.domain.prediction import Detection, FrameSize, Prediction
from app.predictions.codec import as_stored, decode
from app.predictions.columns import decode_frames
from benchmarks.table import Goal, Row, alternate, command
from tests.support.footage import stored_row

SIZE = (1280, 720)
SIZES = (FrameSize(0, *SIZE),)
PAGE = 1000  # stored frames after which events are stored
FRAMES = 3000
FPS = 10
RULES = msgspec.convert(
    {
        "tracking": {},
        "presence": {},
        "zones": [
            {
                "name": f"zone {n}",
                "polygon": [
                    [0.2 * n, 0.1],
                    [0.2 * n + 0.3, 0.1],
                    [0.2 * n + 0.35, 0.5],
                    [0.2 * n + 0.3, 0.9],
                    [0.2 * n, 0.9],
                ],
            }
            for n in range(4)
        ],
        "lines": [
            {"name": "across", "from": [0, 0.5], "to": [1, 0.6]},
            {"name": "down", "from": [0.5, 0], "to": [0.5, 1]},
        ],
        "alerts": [
            {"name": "waits", "zone": "zone 1", "min_seconds": 3, "cooldown_seconds": 10},
            {"name": "crosses", "line": "down", "cooldown_seconds": 10},
        ],
    },
    AnalysisRules,
)


LABELS_ONLY = AnalysisRules(presence=Presence(), alerts=(Alert("seen", min_seconds=3),))


def footage(objects: int, fps: float = FPS) -> list[Prediction]:
    """Return FRAMES frames of objects that turn round at the edges, each found in each frame."""
    return list(islice(endless_footage(objects, fps), FRAMES))


def endless_footage(objects: int, fps: float) -> Iterator[Prediction]:
    """Yield frames of objects that turn round at the edges, each found in each frame."""
    rng = Random(1)
    width, height = SIZE
    actors = [
        [
            rng.uniform(50, width - 50),
            rng.uniform(150, height - 10),
            rng.gauss(0, 60 / fps),
            rng.gauss(0, 40 / fps),
        ]
        for _ in range(objects)
    ]
    for frame in count():
        found = []
        for number, actor in enumerate(actors):
            x, y, across, down = actor
            actor[2] = across if 30 < x + across < width - 30 else -across
            actor[3] = down if 130 < y + down < height else -down
            actor[0], actor[1] = x + actor[2], y + actor[3]
            x, y = actor[0] + rng.gauss(0, 2), actor[1] + rng.gauss(0, 2)
            box = (x - 30, y - 120, x + 30, y)
            found.append(Detection("person" if number % 2 else "car", rng.uniform(0.5, 0.95), box))
        yield Prediction(frame, frame / fps, as_stored(found))


def rows(frames: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Return the rows of these frames as the database returns them."""
    return [stored_row(frame) for frame in frames]


def tracked(frames: Sequence[Prediction]) -> list[Prediction]:
    """Return the frames with the track ids that analysis gives their detections."""
    analysis = Analysis(RULES)
    return [
        Prediction(one.frame, one.time, analysis.step(one.frame, one.time, SIZE, one.detections).detections)
        for one in frames
    ]


def analysing(frames: Sequence[Prediction], rules: AnalysisRules = RULES) -> float:
    """Return the microseconds that analysis takes for a frame."""
    analysis = Analysis(rules)
    began = time.thread_time()
    for one in frames:
        analysis.step(one.frame, one.time, SIZE, one.detections)
    return 1e6 * (time.thread_time() - began) / len(frames)


def decoding(rows: Sequence[Mapping[str, Any]]) -> float:
    """Return the microseconds that decoding a row takes."""
    began = time.thread_time()
    for row in rows:
        decode(row)
    return 1e6 * (time.thread_time() - began) / len(rows)


def asking_again(rows: Sequence[Mapping[str, Any]], has_stored_tracks: bool) -> float:
    """Return how many stored frames are decoded and analysed in a second."""
    analysis = Analysis(RULES, has_stored_tracks=has_stored_tracks)
    began = time.thread_time()
    for first in range(0, len(rows), PAGE):
        for one in decode_frames(rows[first : first + PAGE], SIZES):
            analysis.see(one.frame, one.time, SIZE, one.detections)
        analysis.take_events()
        analysis.save()
    return len(rows) / (time.thread_time() - began)


async def measure(rounds: int) -> list[Row]:
    """Alternate between analysis and decoding, `rounds` times."""
    ten, five = footage(10), footage(5)
    with_tracks, without = rows(tracked(five)), rows(five)
    analysed, labels, decoded = await alternate(
        rounds,
        partial(analysing, ten),
        partial(analysing, ten, LABELS_ONLY),
        partial(decoding, rows(ten)),
    )
    ids, tracking, bare = await alternate(
        rounds,
        partial(asking_again, with_tracks, has_stored_tracks=True),
        partial(asking_again, without, has_stored_tracks=False),
        lambda: 1e6 / decoding(without),
    )
    most, least = Goal("≤", 0, 300), Goal("≥", 0, 20_000)
    return [
        Row("", "analysis of a frame with 10 objects", "µs/frame", analysed, decoded, most),
        Row("", "presence and an alert without tracking, 10 objects", "µs/frame", labels, decoded, most),
        Row("", "stored frames asked again, 5 objects, stored track ids", "frames/s", ids, bare, least),
        Row("", "stored frames asked again, 5 objects, tracked", "frames/s", tracking, bare, least),
    ]


if __name__ == "__main__":
    command(__doc__, measure)

"""Write exports of two videos in every format: `python -m tools.readers.samples FOLDER`.

`expected.json` has what is in them.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from app.api.exports.exported import ExportedVideo
from app.api.exports.formats import ENDINGS, Format, event_writer, prediction_writer
from app.api.frame_range import FrameRange
from app.api.queries.events import StoredEvent
from app.domain.media import Media
from app.domain.prediction import Detection, FrameSize, Prediction
from app.predictions.codec import encode
from app.predictions.columns import DetectionColumns, decode_columns

LABELS = ["car", '=cmd|"/C calc"!A0', "a;b,c", 'says "hi"', "ほげ 🚗", "<b>&amp;", "NA", "007", "it's  two"]
RECORDED = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet", "coco", "mot", "mot_zip")
EVENT_FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet")


class Expected(msgspec.Struct, frozen=True):
    """What a reader must find: the values of columns, in the order of rows."""

    labels: list[str]
    confidences: list[float]
    boxes: list[tuple[float, float, float, float]]
    frames: list[int]
    times: list[float]
    track_ids: list[int | None]
    at: list[str | None]
    videos: list[int]
    pictures: list[str]
    event_labels: list[str]


def videos() -> list[ExportedVideo]:
    """Return a dated video and, as number 4, one without a date: some between them have no frames."""
    media = Media(width=640, height=360, fps=30.0)
    first = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    second = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
    return [
        ExportedVideo(1, first, "front; door", "yard/a.mp4", FrameRange(first), RECORDED.timestamp(), media),
        ExportedVideo(4, second, "ほげ", "yard/b.mp4", FrameRange(second), None, media),
    ]


def predictions() -> list[Prediction]:
    """Return frames with a detection of each label, frames without any, and tracks of the first label."""
    found = [
        tuple(
            Detection(label, (50 + n + frame) / 100, (10.1 + 30 * n, 20.25, 35.5 + 30 * n, 60.75), track, n)
            for n, label in enumerate(LABELS if frame % 2 else [])
            for track in [7 if n == 0 else None]
        )
        for frame in range(20)
    ]
    return [Prediction(15 * n, 15 * n / 30, each) for n, each in enumerate(found)]


def columns() -> DetectionColumns:
    """Return the frames as they come from the database."""
    encoded = encode(predictions())
    labels = encoded.labels.split("\x1e")
    rows = []
    for n, prediction in enumerate(predictions()):
        start, end = encoded.offsets[n], encoded.offsets[n + 1]
        rows.append(
            {
                "frame": prediction.frame,
                "time": prediction.time,
                "labels": labels[n],
                "confidences": encoded.confidences[4 * start : 4 * end],
                "boxes": encoded.boxes[encoded.box_size * start : encoded.box_size * end],
                "track_ids": [each.track_id for each in prediction.detections] or None,
                "error": None,
            }
        )
    return decode_columns(rows, [FrameSize(0, 640, 360)])


def events(video: ExportedVideo) -> list[StoredEvent]:
    """Return an event of each label."""
    return [
        StoredEvent(
            n + 1, "zone", "ended", label, n, f"zone {label}", None, 15, 0.5, 45, 1.5, 30, 1.0,
            (10.1, 20.25, 35.5, 60.75), 0.75, video.scenario_id, RECORDED if video.clock else None,
        )
        for n, label in enumerate(LABELS)
    ]  # fmt: skip


def written(
    name: Format, found: DetectionColumns, of: Sequence[ExportedVideo], *, has_bom: bool = False
) -> Iterator[bytes]:
    """Yield the parts of a file of predictions."""
    writer = prediction_writer(name, has_bom=has_bom)
    for number in range(1, writer.passes + 1):
        yield writer.begin(number)
        for video in of:
            yield writer.frames(video, found)
    yield writer.end()


def write(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    found, of = columns(), videos()
    for name in FORMATS:
        only = of[:1] if name == "mot" else of
        (folder / f"predictions.{ENDINGS[name]}").write_bytes(b"".join(written(name, found, only)))
    (folder / "predictions-bom.csv").write_bytes(b"".join(written("csv", found, of, has_bom=True)))
    for name in EVENT_FORMATS:
        writer = event_writer(name)
        parts = [writer.begin(), *(writer.events(video, events(video)) for video in of), writer.end()]
        (folder / f"events.{ENDINGS[name]}").write_bytes(b"".join(parts))
    rows = [
        (video, prediction, each)
        for video in of
        for prediction in found.predictions()
        for each in prediction.detections
    ]
    expected = Expected(
        [each.label for _, _, each in rows],
        [each.confidence for _, _, each in rows],
        [each.box for _, _, each in rows],
        [prediction.frame for _, prediction, _ in rows],
        [prediction.time for _, prediction, _ in rows],
        [each.track_id for _, _, each in rows],
        [video.moment(prediction.time) for video, prediction, _ in rows],
        [video.number for video, _, _ in rows],
        [video.picture_name(prediction.frame) for video in of for prediction in found.predictions()],
        LABELS * len(of),
    )
    (folder / "expected.json").write_bytes(msgspec.json.encode(expected))


if __name__ == "__main__":
    write(Path(sys.argv[1]))

"""Predictions and events as Parquet, with the columns of CSV and their types.

The package pyarrow is optional, so only `formats` imports this module, when it is needed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from ...predictions.columns import DetectionColumns
from ..queries.events import StoredEvent
from .exported import ExportedVideo
from .parts import FileInParts
from .tables import EVENT_COLUMNS, PREDICTION_COLUMNS

ROW_GROUP = 50_000
"""Rows that are held until they are written. The end of a file takes about 3 kB for each such group."""

_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(("scenario_id", "scenario", "label", "kind", "state", "name", "direction"), pa.string()),
    **dict.fromkeys(("frame", "track_id", "event_id", "start_frame", "end_frame", "best_frame"), pa.int64()),
    **dict.fromkeys(("class_id", "width", "height"), pa.int32()),
    **dict.fromkeys(
        ("time", "confidence", "x1", "y1", "x2", "y2", "start_time", "end_time", "best_time"), pa.float64()
    ),
    "best_confidence": pa.float64(),
    "at": pa.timestamp("ms", tz="UTC"),
}


class _ParquetTable:
    """A file of these columns, written in groups of rows."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._schema = pa.schema([(name, _TYPES[name]) for name in columns])
        self._written = FileInParts()
        self._writer = ParquetWriter(pa.PythonFile(self._written, mode="w"), self._schema, compression="zstd")
        self._held: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, columns: Mapping[str, Any], rows: int) -> bytes:
        """Return what can be written once these columns of lists and arrays are added."""
        arrays = [pa.array(columns[field.name], field.type) for field in self._schema]
        self._held.append(pa.record_batch(arrays, schema=self._schema))
        self._rows += rows
        if self._rows >= ROW_GROUP:
            self._write()
        return self._written.take()

    def end(self) -> bytes:
        """Return what is left, and the end of the file."""
        self._write()
        self._writer.close()
        return self._written.take()

    def _write(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held), row_group_size=2 * ROW_GROUP)
            self._held, self._rows = [], 0


class ParquetPredictions:
    """A row for each detection."""

    media_type = "application/vnd.apache.parquet"
    passes = 1

    def __init__(self) -> None:
        self._table = _ParquetTable(PREDICTION_COLUMNS)

    def begin(self, number: int) -> bytes:  # noqa: ARG002  there is one pass
        """Return nothing."""
        return b""

    def frames(self, video: ExportedVideo, found: DetectionColumns) -> bytes:
        """Return the rows that can be written now."""
        count = len(found.labels)
        if not count:
            return b""
        confidence, *sides = found.numbers.T
        columns = {
            "scenario_id": pa.repeat(str(video.scenario_id), count),
            "scenario": pa.repeat(video.name, count),
            "frame": np.repeat(found.frames, found.counts),
            "time": np.repeat(found.times, found.counts),
            "at": found.of_detections([_milliseconds(video.clock, time) for time in found.times]),
            "label": found.labels,
            "confidence": np.ascontiguousarray(confidence),
            **dict(zip(("x1", "y1", "x2", "y2"), map(np.ascontiguousarray, sides), strict=True)),
            "track_id": found.track_ids or pa.nulls(count),
            "class_id": found.class_ids or pa.nulls(count),
            "width": found.of_detections(found.widths),
            "height": found.of_detections(found.heights),
        }
        return self._table.add(columns, count)

    def end(self) -> bytes:
        """Return the end of the file."""
        return self._table.end()


class ParquetEvents:
    """A row for each event."""

    media_type = ParquetPredictions.media_type

    def __init__(self) -> None:
        self._table = _ParquetTable(EVENT_COLUMNS)

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def events(self, video: ExportedVideo, events: Sequence[StoredEvent]) -> bytes:
        """Return the rows that can be written now."""
        columns: dict[str, list[Any]] = {}
        for name in EVENT_COLUMNS:
            if name not in ("scenario", "at", "x1", "y1", "x2", "y2"):
                columns[name] = [getattr(event, name) for event in events]
        columns["scenario_id"] = [str(event.scenario_id) for event in events]
        columns["scenario"] = [video.name] * len(events)
        columns["at"] = [_whole_milliseconds(event.at) for event in events]
        boxes = [event.best_box for event in events]
        for number, name in enumerate(("x1", "y1", "x2", "y2")):
            columns[name] = [box[number] for box in boxes]
        return self._table.add(columns, len(events))

    def end(self) -> bytes:
        """Return the end of the file."""
        return self._table.end()


def _milliseconds(clock: float | None, time: float) -> int | None:
    return None if clock is None else round(1_000_000 * (clock + time)) // 1000


def _whole_milliseconds(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(microsecond=at.microsecond // 1000 * 1000)

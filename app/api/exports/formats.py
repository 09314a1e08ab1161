"""The formats by name, and what writes each."""

from importlib.util import find_spec
from typing import Literal

from .coco import CocoWriter
from .mot_folders import MotFoldersWriter
from .tables import CsvEvents, CsvPredictions
from .writers import EventWriter, JsonLinesEvents, JsonLinesPredictions, MotWriter, PredictionWriter

Format = Literal["csv", "jsonl", "parquet", "coco", "mot", "mot_zip"]

ENDINGS: dict[Format, str] = {
    "csv": "csv", "jsonl": "jsonl", "parquet": "parquet", "coco": "coco.json", "mot": "txt",
    "mot_zip": "mot.zip",
}  # fmt: skip
"""How the name of a file ends."""


EVENTS_AS = "Events are exported as csv, jsonl or parquet."


class FormatError(Exception):
    """A format cannot be written; the message says why, and what to do."""


def prediction_writer(name: Format, *, has_bom: bool = False) -> PredictionWriter:
    """Return what writes one file of predictions. Raises FormatError if a package is missing."""
    match name:
        case "csv":
            return CsvPredictions(has_bom=has_bom)
        case "jsonl":
            return JsonLinesPredictions()
        case "coco":
            return CocoWriter()
        case "mot":
            return MotWriter()
        case "mot_zip":
            return MotFoldersWriter()
        case "parquet":
            _check_parquet()
            from .parquet import ParquetPredictions

            return ParquetPredictions()


def event_writer(name: Format, *, has_bom: bool = False) -> EventWriter:
    """Return what writes one file of events. Raises FormatError if there is none, or a package is missing."""
    match name:
        case "csv":
            return CsvEvents(has_bom=has_bom)
        case "jsonl":
            return JsonLinesEvents()
        case "parquet":
            _check_parquet()
            from .parquet import ParquetEvents

            return ParquetEvents()
        case "coco" | "mot" | "mot_zip":
            raise FormatError(EVENTS_AS)


def _check_parquet() -> None:
    if find_spec("pyarrow") is None:
        raise FormatError(
            "Parquet needs a package that is not installed with this service:"
            " pip install 'videoanalysis[parquet]'. Or export csv or jsonl."
        )

"""The formats of files that commands write."""

from typing import Literal

FORMATS: dict[str, Literal["csv", "jsonl", "parquet", "coco", "mot", "mot_zip"]] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".json": "coco",
    ".txt": "mot",
    ".zip": "mot_zip",
}
"""The format of a file, by the ending of its name."""

"""Open the files of `samples` with programs that read them, and compare: `python opening.py FOLDER`.

It runs in an environment of its own, which has the readers and nothing of the service.
"""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

Columns = dict[str, Sequence[Any]]


class Sample:
    """The files of a folder, and what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.expected: dict[str, list[Any]] = json.loads((folder / "expected.json").read_text())

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def check_rows(self, found: Columns, *, has_types: bool = True) -> None:
        """Compare the rows of predictions, as columns. Without types, ids may be numbers with a fraction."""
        expected = self.expected
        same("labels", found["label"], expected["labels"])
        same("confidences", found["confidence"], expected["confidences"])
        same("frames", found["frame"], expected["frames"])
        same("times", found["time"], expected["times"])
        same("boxes", list(zip(*(found[side] for side in ("x1", "y1", "x2", "y2")), strict=True)),
             [tuple(box) for box in expected["boxes"]])  # fmt: skip
        same("tracks", [known(each) for each in found["track_id"]], expected["track_ids"])
        if has_types:
            same(
                "types of tracks",
                {type(each) for each in found["track_id"] if known(each) is not None},
                {int},
            )

    def check_moments(self, found: Sequence[Any]) -> None:
        """Compare `at`, as timestamps with a zone."""
        texts = [None if known(each) is None else each.isoformat(timespec="milliseconds") for each in found]
        same("at", texts, self.expected["at"])

    def check_frames(self, found: Sequence[Sequence[dict[str, Any]]]) -> None:
        """Compare the lists of detections of JSON Lines."""
        detections = [each for frame in found for each in frame]
        same("labels", [each["label"] for each in detections], self.expected["labels"])
        same("boxes", [list(each["box"]) for each in detections], self.expected["boxes"])


def known(value: Any) -> Any:
    """Return a value; None for what a reader shows if there is none."""
    return None if value is None or value != value or str(value) == "NaT" else value


def same(what: str, found: Any, expected: Any) -> None:
    found = list(found) if isinstance(expected, list) else found
    if found != expected:
        raise AssertionError(f"{what}: {str(found)[:200]} instead of {str(expected)[:200]}")


def pandas_files(sample: Sample) -> None:
    import pandas as pd

    # By default, pandas takes the labels NA and None for no label.
    options: dict[str, Any] = {"keep_default_na": False, "na_values": [""], "dtype": {"label": str}}
    for name in "predictions.csv", "predictions-bom.csv":
        table = pd.read_csv(sample.path(name), parse_dates=["at"], **options)
        sample.check_rows(columns_of(table.to_dict("list")), has_types=False)
        sample.check_moments(table["at"])
    table = pd.read_parquet(sample.path("predictions.parquet"))
    sample.check_rows(columns_of(table.to_dict("list")), has_types=False)
    sample.check_moments(table["at"])
    frames = pd.read_json(sample.path("predictions.jsonl"), lines=True)
    sample.check_frames(list(frames["detections"]))
    for events in (
        pd.read_csv(sample.path("events.csv"), **options),
        pd.read_parquet(sample.path("events.parquet")),
        pd.read_json(sample.path("events.jsonl"), lines=True, dtype={"label": str}),
    ):
        same("events", events["label"], sample.expected["event_labels"])


def columns_of(table: dict[Any, list[Any]]) -> Columns:
    return {str(name): values for name, values in table.items()}


def duckdb_files(sample: Sample) -> None:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")

    def columns(sql: str, name: str) -> Columns:
        answer = connection.execute(f"{sql} '{sample.path(name)}'")
        names = [each[0] for each in answer.description or ()]
        return dict(zip(names, zip(*answer.fetchall(), strict=True), strict=True))

    for name in "predictions.csv", "predictions-bom.csv", "predictions.parquet":
        table = columns("FROM", name)
        sample.check_rows(table)
        sample.check_moments(table["at"])
    frames = columns("SELECT detections FROM", "predictions.jsonl")
    sample.check_frames(frames["detections"])
    for name in "events.csv", "events.parquet", "events.jsonl":
        table = columns("SELECT label FROM", name)
        same("events", table["label"], sample.expected["event_labels"])


def polars_files(sample: Sample) -> None:
    import polars as pl

    for name in "predictions.csv", "predictions-bom.csv":
        table = pl.read_csv(sample.path(name), try_parse_dates=True)
        sample.check_rows(table.to_dict(as_series=False))
        sample.check_moments(table["at"].to_list())
    table = pl.read_parquet(sample.path("predictions.parquet"))
    sample.check_rows(table.to_dict(as_series=False))
    sample.check_moments(table["at"].to_list())
    sample.check_frames(pl.read_ndjson(sample.path("predictions.jsonl"))["detections"].to_list())
    for events in (
        pl.read_csv(sample.path("events.csv")),
        pl.read_parquet(sample.path("events.parquet")),
        pl.read_ndjson(sample.path("events.jsonl")),
    ):
        same("events", events["label"].to_list(), sample.expected["event_labels"])


def faster_coco_eval_file(sample: Sample) -> None:
    """Evaluate the file against itself: each box must be found at its place."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(sample.path("predictions.coco.json"))
    annotations = truth.loadAnns(truth.getAnnIds())
    names = {each["id"]: each["name"] for each in truth.loadCats(truth.getCatIds())}
    same("labels", [names[each["category_id"]] for each in annotations], sample.expected["labels"])
    same("pictures", [each["file_name"] for each in truth.loadImgs(truth.getImgIds())],
         sample.expected["pictures"])  # fmt: skip
    results = [
        {key: each[key] for key in ("image_id", "category_id", "bbox", "score")} for each in annotations
    ]
    evaluation = COCOeval_faster(truth, truth.loadRes(results), "bbox", print_function=lambda *_: None)
    evaluation.run()
    same("average precision", round(float(evaluation.stats[0]), 6), 1.0)


def trackers_file(sample: Sample) -> None:
    """Read the tracks, and evaluate them against themselves as the true ones."""
    from trackers.eval import evaluate_mot_sequence
    from trackers.io.mot import load_mot_file

    path = sample.path("predictions.txt")
    of_first = sample.expected["videos"].count(1)
    expected = sample.expected["frames"][:of_first]
    same("frames", sorted(load_mot_file(path)), sorted({frame + 1 for frame in expected}))
    boxes = [list(box) for each in load_mot_file(path).values() for box in each.boxes]
    same("boxes", [[round(side, 2) for side in box] for box in boxes],
         [[round(side, 2) for side in (x1 + 1, y1 + 1, x2 - x1, y2 - y1)]
          for x1, y1, x2, y2 in sample.expected["boxes"][:of_first]])  # fmt: skip
    with TemporaryDirectory() as folder:
        tracks, truth = Path(folder, "tracks.txt"), Path(folder, "truth.txt")
        followed = [line for line in Path(path).read_text().splitlines() if line.split(",")[1] != "-1"]
        tracks.write_text("\n".join(followed))
        truth.write_text("\n".join([line.replace(",-1,-1,-1", ",1,1") for line in followed]))
        result = evaluate_mot_sequence(truth, tracks, metrics=["HOTA"])
        same("HOTA", round(float(result.HOTA.HOTA), 6), 1.0)


def trackers_folders(sample: Sample) -> None:
    """Unpack the folders of both videos, and evaluate the tracks of one against themselves."""
    from trackers.eval import evaluate_mot_sequences

    with TemporaryDirectory() as folder, ZipFile(sample.path("predictions.mot.zip")) as archive:
        archive.extractall(folder)
        sequences = sorted(Path(folder).glob("*/gt/gt.txt"))
        same("sequences", len(sequences), 2)
        tracks = Path(folder, "tracks")
        tracks.mkdir()
        for each in sequences:
            shutil.copy(each, tracks / f"{each.parent.parent.name}.txt")
        result = evaluate_mot_sequences(folder, tracks, metrics=["HOTA"])
        same("HOTA", round(float(result.aggregate.HOTA.HOTA), 6), 1.0)


def datumaro_file(sample: Sample) -> None:
    """Import as CVAT does: it looks for `annotations/instances_….json` and keeps what it understands."""
    import datumaro as dm

    with TemporaryDirectory() as folder:
        place = Path(folder, "annotations", "instances_default.json")
        place.parent.mkdir()
        Path(folder, "images").mkdir()  # the pictures themselves need not be there
        shutil.copy(sample.path("predictions.coco.json"), place)
        dataset = dm.Dataset.import_from(folder, "coco_instances")
        names = [each.name for each in dataset.categories()[dm.AnnotationType.label]]
        items = list(dataset)
        same("pictures", sorted(item.id + ".jpg" for item in items), sorted(sample.expected["pictures"]))
        boxes = [box for item in items for box in item.annotations]
        found = sorted((names[box.label], *(round(side, 2) for side in box.points)) for box in boxes)
        expected = zip(sample.expected["labels"], sample.expected["boxes"], strict=True)
        same("boxes", found, sorted((label, *box) for label, box in expected))


def libreoffice_file(sample: Sample) -> None:
    """Open CSV with the column of labels as text, and save it again: each cell must be as it was."""
    comma, quote, utf8, text_column_6 = 44, 34, 76, "6/2"
    with TemporaryDirectory() as folder:
        office = ["soffice", f"-env:UserInstallation=file://{folder}/profile", "--headless"]
        for source, options in (
            (sample.path("predictions-bom.csv"),
             [f"--infilter=CSV:{comma},{quote},{utf8},1,{text_column_6}", "--convert-to", "ods"]),
            (f"{folder}/predictions-bom.ods",
             ["--convert-to", f"csv:Text - txt - csv (StarCalc):{comma},{quote},{utf8},1,,0,false,false"]),
        ):  # fmt: skip
            command = [*office, *options, "--outdir", folder, source]
            subprocess.run(command, check=True, capture_output=True, timeout=180)
        with Path(folder, "predictions-bom.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    same("labels", [each["label"] for each in rows], sample.expected["labels"])
    same("confidences", [float(each["confidence"]) for each in rows], sample.expected["confidences"])
    same("frames", [int(each["frame"]) for each in rows], sample.expected["frames"])


READERS: dict[str, Callable[[Sample], None]] = {
    "pandas": pandas_files,
    "DuckDB": duckdb_files,
    "Polars": polars_files,
    "faster-coco-eval": faster_coco_eval_file,
    "trackers": trackers_file,
    "trackers, of folders": trackers_folders,
    "datumaro": datumaro_file,
    "LibreOffice": libreoffice_file,
}


def main() -> int:
    """Try every reader, and print a line for each."""
    sample, failed = Sample(Path(sys.argv[1])), 0
    for name, read in READERS.items():
        if name == "LibreOffice" and shutil.which("soffice") is None:
            print(f"{name}: not installed")
            continue
        try:
            read(sample)
        except Exception as error:
            failed += 1
            print(f"{name}: {type(error).__name__}: {error}")
        else:
            print(f"{name}: as it was written")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""The samples that `make readers` opens with many programs are what they say."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from tools.readers.samples import LABELS, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path)
    return tmp_path


def test_samples_hold_every_label_in_every_format(folder: Path) -> None:
    from pyarrow import parquet

    expected = json.loads((folder / "expected.json").read_text())["labels"]
    assert set(expected) == set(LABELS)
    with (folder / "predictions-bom.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == expected
    frames = [json.loads(line) for line in (folder / "predictions.jsonl").read_text("utf-8").splitlines()]
    assert [each["label"] for frame in frames for each in frame["detections"]] == expected
    assert parquet.read_table(folder / "predictions.parquet")["label"].to_pylist() == expected
    assert len((folder / "predictions.txt").read_text().splitlines()) == len(expected) / 2
    assert parquet.read_table(folder / "events.parquet")["label"].to_pylist() == 2 * LABELS


def test_ids_of_coco_hold_together_over_several_videos(folder: Path) -> None:
    coco = json.loads((folder / "predictions.coco.json").read_text("utf-8"))
    pictures = {each["id"]: each for each in coco["images"]}
    assert len(pictures) == len(coco["images"]) == len({each["file_name"] for each in coco["images"]})
    assert {each["video_id"] for each in coco["images"]} == {each["id"] for each in coco["videos"]}
    names = {each["id"]: each["name"] for each in coco["categories"]}
    assert sorted(names.values()) == sorted(LABELS)
    assert set(Counter(each["id"] for each in coco["annotations"]).values()) == {1}
    for each in coco["annotations"]:
        picture = pictures[each["image_id"]]
        left, top, width, height = each["bbox"]
        assert left + width <= picture["width"]
        assert top + height <= picture["height"]
        assert each["area"] == pytest.approx(width * height)
        assert names[each["category_id"]] in LABELS

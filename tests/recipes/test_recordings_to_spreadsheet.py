"""docs/recipes/recordings-to-spreadsheet.md"""

import csv
from pathlib import Path
from typing import Any, cast

import av

from tests.support.command import run_command
from tests.support.pictures import road
from tests.support.recipes import blocks_of, commands_of

RECIPE = "recordings-to-spreadsheet"


def stop_sign_clip(path: Path) -> None:
    """Write a clip of two seconds in which a stop sign moves to the right, over the middle."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "veryfast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number in range(20):
            picture = road(640, 360, (130 + 12 * number, 60, 150))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cast("Any", picture), format="bgr24")))
        container.mux(stream.encode())


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_the_recipe_ends_in_spreadsheets(tmp_path: Path, scenarios_dsn: str, predictions_dsn: str) -> None:
    recordings = tmp_path / "recordings" / "yard"
    recordings.mkdir(parents=True)
    stop_sign_clip(recordings / "cam1_20260131-103000.mp4")
    (tmp_path / "zones.json").write_text(*blocks_of(RECIPE, "json"))
    for command in commands_of(RECIPE):
        databases = ("--scenarios-dsn", scenarios_dsn, "--predictions-dsn", predictions_dsn)
        ended = run_command(tmp_path, *command, *databases)
        assert ended.code == 0, (command, ended)
    assert (tmp_path / "found.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert {row["label"] for row in rows_of(tmp_path / "found.csv")} == {"stop sign"}
    dated = rows_of(tmp_path / "dated.csv")
    assert {row["scenario"] for row in dated} == {"recordings/yard/cam1_20260131-103000.mp4"}
    assert {row["at"][:16] for row in dated} == {"2026-01-31T09:30"}
    assert all(row["label"] == "stop sign" for row in rows_of(tmp_path / "who.csv"))
    assert rows_of(tmp_path / "seen.csv") == []  # the clip shows neither people nor cars
    visits = rows_of(tmp_path / "visits.csv")
    assert {(row["kind"], row["name"]) for row in visits} >= {("zone", "road"), ("line", "middle")}

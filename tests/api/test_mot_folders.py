"""Exports of several videos as the MOT Challenge has them."""

import gc
import zipfile
from io import BytesIO
from uuid import UUID
from zipfile import ZipFile

import httpx
import pytest
from msgspec import Raw
from msgspec.structs import replace

from app.api.exports.mot_folders import MotFoldersWriter
from app.domain.analysis import Tracking
from app.domain.batch import BatchSpec, encode_batch
from app.domain.detector_config import Marker
from app.domain.spec import ScenarioSpec
from app.postgres import Database
from tests.support.rows import MEDIA, add_checkpoint, add_prediction, add_scenario
from tools.readers.samples import columns, videos

BATCH = UUID(int=7)
FIRST, SECOND, PLAIN, EMPTY = (
    "00001-yard_a.mp4", "00002-yard_a.mp4_2", "00003-yard_tracks_ほげ.mp4", "00004-empty.mp4",
)  # fmt: skip


@pytest.fixture
async def batch(scenarios: Database, predictions: Database) -> str:
    """Store two recordings of one path, one in which nothing is followed, and one without detections."""
    async with scenarios.connection() as connection:
        await connection.execute(
            "INSERT INTO batches (id, spec, name, watch, at_once) VALUES ($1, $2, 'yard', false, 4)",
            BATCH,
            Raw(encode_batch(BatchSpec("**/*.mp4", Raw(b'{"detector":{"type":"marker"}}')))),
        )
    for number, source in enumerate(("yard/a.mp4", "yard/a.mp4", "yard/tracks: ほげ.mp4", "empty.mp4")):
        spec = ScenarioSpec(source, Marker(), tracking=None if number == 2 else Tracking())
        scenario_id = await add_scenario(scenarios, spec=spec, media=MEDIA, age=10 - number, batch_id=BATCH)
        await add_checkpoint(predictions, scenario_id, next_frame=40, attempt=1)
        found = [] if number == 3 else [("car", 0.5), ("dog", 0.25)]
        await add_prediction(predictions, scenario_id, 7, *found)  # none is a track yet
        if number < 2:
            tracks = [None, 4 + number]
            await add_prediction(predictions, scenario_id, 39, *found, track_ids=tracks)
    return f"/batches/{BATCH}/export"


async def texts_of(http: httpx.AsyncClient, path: str, **query: str) -> dict[str, str]:
    answer = await http.get(path, params={"format": "mot_zip", **query})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/zip"
    assert ".mot.zip" in answer.headers["Content-Disposition"]
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


async def test_each_recording_of_a_batch_has_a_folder(http: httpx.AsyncClient, batch: str) -> None:
    texts = await texts_of(http, batch)
    assert {name: text for name, text in texts.items() if not name.endswith("seqinfo.ini")} == {
        f"{FIRST}/gt/gt.txt": "40,4,12.1,21.0,18.9,20.0,1,1,1\n",
        f"{SECOND}/gt/gt.txt": "40,5,12.1,21.0,18.9,20.0,1,1,1\n",
        f"{PLAIN}/det/det.txt": "8,-1,11.1,21.0,19.9,20.0,0.5,-1,-1,-1\n"
        "8,-1,12.1,21.0,18.9,20.0,0.25,-1,-1,-1\n",
        f"{EMPTY}/gt/gt.txt": "",
    }
    assert texts[f"{FIRST}/seqinfo.ini"] == (
        f"[Sequence]\nname={FIRST}\nimDir=img1\nframeRate={MEDIA.fps:g}\n"
        f"seqLength={max(40, MEDIA.frames or 0)}\nimWidth={MEDIA.width}\nimHeight={MEDIA.height}\n"
        "imExt=.jpg\n"
    )
    assert (await http.get(batch, params={"format": "mot_zip", "what": "events"})).status_code == 400


async def test_a_scenario_is_a_zip_of_one_folder(
    http: httpx.AsyncClient, scenarios: Database, batch: str
) -> None:
    async with scenarios.connection() as connection:
        scenario_id = await connection.fetchval("SELECT id FROM scenarios ORDER BY created_at LIMIT 1")
    texts = await texts_of(http, f"/scenarios/{scenario_id}/export", label="dog")
    assert sorted(texts) == [f"{FIRST}/gt/gt.txt", f"{FIRST}/seqinfo.ini"]


def test_an_export_that_is_broken_off_leaves_no_fault() -> None:
    writer = MotFoldersWriter()
    assert writer.frames(videos()[0], columns()).startswith(b"PK")
    del writer  # a fault in `__del__` is a warning, which fails a test
    gc.collect()


def test_a_file_may_be_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is not known when it begins, and without 64 bits it may have 2 GiB."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    writer = MotFoldersWriter()
    data = writer.frames(videos()[0], columns()) + writer.end()
    with ZipFile(BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert max(entry.file_size for entry in archive.infolist()) > zipfile.ZIP64_LIMIT


def test_a_folder_has_a_name_that_file_systems_take() -> None:
    writer = MotFoldersWriter()
    video = replace(videos()[0], source="\U00020000" * 100 + ".mp4")
    with ZipFile(BytesIO(writer.frames(video, columns()) + writer.end())) as archive:
        folders = {name.partition("/")[0] for name in archive.namelist()}
    assert len(folders) == 1
    assert len(folders.pop().encode()) <= 255

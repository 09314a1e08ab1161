"""Both clients against a service: what they send is understood, and what it answers is read."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import cv2
import pytest
from anyio import create_task_group, fail_after, to_thread

from app.client import AsyncClient, Client, ClientError, Detection, ScenarioStatus, StreamMessage
from tests.browser.site import Site
from tests.client.conftest import KEY
from tests.support.clips import marker_clip
from tests.support.models import yolov8
from tests.support.pictures import plain

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")
MARKER = {"type": "marker"}
KINDS = {"scenario", "source", "event", "progress", "batch"}
OPTIONS: dict[str, Any] = {"sampling": {"mode": "all"}, "presence": {}, "tags": ["yard"]}


async def listed(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def in_thread(site: Site, work: Callable[[Client], T]) -> T:
    """Return what `work` returns with a blocking client: the service runs on this thread's loop."""

    def run() -> T:
        with Client(site.url, KEY) as client:
            return work(client)

    return await to_thread.run_sync(run)


async def test_a_scenario_is_created_waited_for_read_exported_and_deleted(
    client: AsyncClient, tmp_path: Path
) -> None:
    told: list[ScenarioStatus] = []
    made = await client.scenarios.create("clip.mp4", MARKER, name="front door", **OPTIONS)
    ended = await client.wait(made.id, every=0.1, told=told.append)
    assert (ended.id, ended.name, ended.outcome, ended.has_ended) == (
        made.id,
        "front door",
        "completed",
        True,
    )
    assert ended.progress.percent == 100
    assert ended.media is not None
    assert ended.media.width == 320
    assert told[-1] == ended

    frames = await listed(client.predictions(made.id, limit=3))  # four pages
    assert [frame.frame for frame in frames] == list(range(10))
    (found,) = frames[7].detections
    assert isinstance(found, Detection)
    assert found.label == "aruco:7"
    assert [f.frame for f in await listed(client.predictions(made.id, label="aruco:4"))] == [4]
    events = await listed(client.events(made.id, limit=4))
    assert sorted({event.label for event in events}) == [f"aruco:{n}" for n in range(10)]
    assert {event.kind for event in events} == {"presence"}
    assert await listed(client.events(made.id, label="aruco:3", kind="presence")) == [events[3]]
    of_all = await listed(client.events(label="aruco:3"))
    assert [each for each in of_all if each.scenario_id == made.id] == [events[3]]

    csv = tmp_path / "out.csv"
    csv.write_text("of before")
    await client.export(made.id, "csv", csv)
    assert len(csv.read_text().splitlines()) == 11
    await client.export(made.id, "jsonl", csv, what="events", label="aruco:5")
    assert [json.loads(line)["label"] for line in csv.read_text().splitlines()] == ["aruco:5"]
    with pytest.raises(ClientError) as error:
        await client.export(made.id, "nonsense", csv)
    assert error.value.status == 400
    assert files_in(tmp_path) == ["out.csv"]
    assert "aruco:5" in csv.read_text()  # an export that fails leaves the file that is there

    assert (await client.scenarios.patch(made.id, name="back door", tags=None)).name == "back door"
    assert [each.id for each in await listed(client.scenarios.list(text="back", limit=1))] == [made.id]
    assert made.id not in [each.id async for each in client.scenarios.list(ended=False)]
    assert (await client.scenarios.start(made.id)).attempt == 2
    await client.wait(made.id, every=0.1)
    await client.scenarios.delete(made.id)
    with pytest.raises(ClientError) as error:
        await client.scenarios.get(made.id)
    problem = error.value
    assert (problem.status, problem.title) == (404, "Not found")
    assert str(problem) == f"There is no scenario {made.id}. GET /scenarios lists those that exist."


async def test_a_creation_can_be_repeated(client: AsyncClient) -> None:
    key, chosen = uuid4().hex, uuid4()
    first, second = [await client.scenarios.create("clip.mp4", MARKER, idempotency_key=key) for _ in range(2)]
    assert first.id == second.id
    made = [await client.scenarios.create("clip.mp4", MARKER, id=chosen) for _ in range(2)]
    assert [each.id for each in made] == [str(chosen)] * 2
    assert (await client.scenarios.create("clip.mp4", MARKER)).id != first.id


async def test_what_fails_is_one_exception_with_a_sentence(client: AsyncClient, site: Site) -> None:
    with pytest.raises(ClientError) as error:
        await client.scenarios.create("clip.mp4", {"type": "nonsense"})
    assert (error.value.status, error.value.field, error.value.type) == (
        422,
        "detector.type",
        "/problems/invalid",
    )
    failed = await client.scenarios.create("broken.mp4", MARKER)
    ended = await client.wait(failed.id, every=0.1)
    assert ended.outcome == "failed"
    assert ended.error
    camera = await client.scenarios.create("test:testsrc2?duration=3600", MARKER)
    with pytest.raises(TimeoutError):
        await client.wait(camera.id, every=0.1, timeout=0.3)
    stopped = await client.scenarios.stop(camera.id)
    assert stopped.state != "active"
    assert (await client.wait(camera.id, every=0.1)).outcome == "stopped"
    async with AsyncClient(site.url, "a wrong key of tests") as stranger:
        with pytest.raises(ClientError, match="The API key is not valid"):
            await stranger.system()


async def test_batches_models_recordings_and_the_service(
    client: AsyncClient, site: Site, tmp_path: Path
) -> None:
    batch = await client.batches.create(
        "*.mp4", {"detector": MARKER, "sampling": {"mode": "all"}}, name="all"
    )
    ended = await client.batches.wait(batch.id, every=0.2)
    assert (ended.state, ended.counts.completed, ended.counts.failed) == ("done", 1, 1)
    assert [fault.path for fault in ended.failures] == ["broken.mp4"]
    assert [each.id for each in await listed(client.batches.list(name="all"))] == [batch.id]
    (part,) = await listed(client.batches.predictions(batch.id, label="aruco:2"))
    assert [frame.frame for frame in part.predictions] == [2]
    await client.batches.export(batch.id, "coco", tmp_path / "coco.json")
    assert len(json.loads((tmp_path / "coco.json").read_text())["annotations"]) == 10
    assert (await client.batches.patch(batch.id, at_once=2)).at_once == 2
    await client.batches.delete(batch.id, stop=True)

    yolov8(site.settings.model_root / "boxes.onnx")
    models = await listed(client.models.list())
    assert [(model.name, model.state) for model in models] == [("boxes.onnx", "understood")]
    assert (await client.models.get("boxes.onnx")).layout == models[0].layout
    tried = await client.models.try_picture(
        "boxes.onnx", cv2.imencode(".jpg", plain())[1].tobytes(), confidence=0.01
    )
    assert tried.width > 0

    uploaded = await client.upload(marker_clip(tmp_path / "sent.mp4", frames=10), "new.mp4")
    assert uploaded.source == "./uploads/new.mp4"
    with pytest.raises(ClientError, match=r"new\.mp4"):
        await client.upload(tmp_path / "sent.mp4", "new.mp4")
    assert (await client.system()).version
    assert await listed(client.channels.list()) == []
    assert await listed(client.deliveries.list(state="dead")) == []
    with pytest.raises(ClientError, match="There is no channel 'ops'"):
        await client.channels.test("ops")
    assert isinstance(await client.read("runners"), dict)


async def test_the_blocking_client_does_the_same(site: Site, tmp_path: Path) -> None:
    def work(client: Client) -> None:
        made = client.scenarios.create("clip.mp4", MARKER, **OPTIONS)
        assert client.wait(made.id, every=0.1).outcome == "completed"
        assert len(list(client.predictions(made.id, limit=3))) == 10
        assert len(list(client.events(made.id))) == 10
        client.export(made.id, "mot", tmp_path / "mot.txt")
        assert (tmp_path / "mot.txt").stat().st_size > 0
        sent = client.upload(marker_clip(tmp_path / "sent.mp4", frames=10), "blocking.mp4")
        assert sent.size == (tmp_path / "sent.mp4").stat().st_size
        with pytest.raises(ClientError, match="There is no scenario"):
            client.scenarios.stop(uuid4())
        camera = client.scenarios.create("test:testsrc2?duration=3600", MARKER)
        told = next(each for each in client.changes() if each.scenario_id == camera.id)
        assert told.kind in ("scenario", "progress")
        client.scenarios.stop(camera.id)
        assert {each.kind for each in client.changes(seconds=0.1)} <= KINDS  # and it ends

    await in_thread(site, work)


async def test_a_stream_that_is_lost_goes_on_where_it_was(client: AsyncClient, site: Site) -> None:
    messages: list[StreamMessage] = []

    async def follow() -> None:
        async for message in client.changes():
            messages.append(message)  # noqa: PERF401 - they are looked at while more come

    def ends(scenario_id: str) -> list[StreamMessage]:
        return [
            each
            for each in messages
            if (each.kind, each.scenario_id, each.data.get("to")) == ("scenario", scenario_id, "inactive")
        ]

    def happened(scenario_id: str) -> list[StreamMessage]:
        return [each for each in messages if each.kind == "event" and each.scenario_id == scenario_id]

    with fail_after(120):
        async with create_task_group() as tasks:
            tasks.start_soon(follow)
            while not any(each.kind == "progress" for each in messages):  # it has begun
                await client.wait(
                    (await client.scenarios.create("clip.mp4", MARKER, **OPTIONS)).id, every=0.1
                )
            first = await client.scenarios.create("clip.mp4", MARKER, **OPTIONS)
            while not (ends(first.id) and happened(first.id)):
                await client.wait(first.id, every=0.1)
            assert happened(first.id)[0].event().label.startswith("aruco:")
            await site.stop()
            await site.start()
            second = await client.scenarios.create("clip.mp4", MARKER, **OPTIONS)
            while not ends(second.id):
                await client.wait(second.id, every=0.1)
            tasks.cancel_scope.cancel()
    assert len(ends(first.id)) == 1
    changes = (each for each in messages if each.kind == "scenario" and each.scenario_id == second.id)
    assert next(changes).data["from"] is None  # none was missed, not even the first

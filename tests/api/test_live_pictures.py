"""Live pictures over HTTP: new ones, of the present run, read once for all clients."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import anyio
import cv2
import httpx
import numpy as np
import pytest
from msgspec.structs import replace

from app.api import live_frames
from app.api.queries import live_pictures as queries
from app.domain.analysis import Line
from app.domain.media import Media
from app.postgres import Database
from tests.api.conftest import Start, connected, listening
from tests.support.rows import MEDIA, SPEC, add_checkpoint, add_prediction, add_scenario
from tests.support.waiting import until

CAMERA = replace(SPEC, source="rtsp://camera/live", lines=(Line("door", (0.0, 0.9), (1.0, 0.9)),))
LIVE: Media = replace(MEDIA, live=True)
MOST_AGE = 60.0
"""Seconds after which a picture is too old, in these tests: a busy machine may need more than one."""

JPEG = bytes(cv2.imencode(".jpg", np.full((90, 160, 3), 128, np.uint8))[1])


class Camera:
    """A scenario with a camera, and the pictures that its runner stores."""

    def __init__(self, predictions: Database, scenario_id: UUID) -> None:
        self.id = scenario_id
        self.url = f"/scenarios/{scenario_id}/frame.jpg"
        self.token, self.attempt = uuid4(), 1
        self._predictions = predictions

    async def show(self, frame: int, *, age: float = 0.0, token: UUID | None = None) -> None:
        await self.execute(
            "INSERT INTO live_pictures VALUES ($1, 1, $2, $3, $4,"
            " clock_timestamp() - make_interval(secs => $5), 640, 360, $6) ON CONFLICT (scenario_id)"
            " DO UPDATE SET frame = excluded.frame, at = excluded.at, run_token = excluded.run_token",
            self.id, token or self.token, frame, float(frame), age, JPEG,
        )  # fmt: skip

    async def execute(self, sql: str, *values: Any) -> None:
        async with self._predictions.connection() as connection:
            await connection.execute(sql, *values)

    async def is_watched(self) -> bool:
        async with self._predictions.connection() as connection:
            return bool(await connection.fetchval("SELECT count(*) FROM watched WHERE until > now()"))


@pytest.fixture
async def camera(scenarios: Database, predictions: Database, monkeypatch: pytest.MonkeyPatch) -> Camera:
    monkeypatch.setattr(live_frames, "_MOST_AGE", MOST_AGE)
    monkeypatch.setattr(live_frames, "_PATIENCE", 0.4)
    monkeypatch.setattr(live_frames, "LONG_POLL", 0.4)
    scenario_id = await add_scenario(scenarios, spec=CAMERA, media=LIVE)
    camera = Camera(predictions, scenario_id)
    await add_checkpoint(predictions, scenario_id, live=True, run_token=camera.token)
    await camera.execute(
        "INSERT INTO watched VALUES ($1, now() - interval '1 h', now() + interval '1 h')", camera.id
    )
    await add_prediction(predictions, scenario_id, 7, ("person", 0.5))
    return camera


async def test_the_newest_picture_is_shown(http: httpx.AsyncClient, camera: Camera) -> None:
    await camera.show(7)
    response = await http.get(camera.url)
    assert (response.status_code, response.content) == (200, JPEG)
    assert (response.headers["frame-number"], response.headers["frame-time"]) == ("7", "7.0")
    assert response.headers["cache-control"] == "no-store"
    again = await http.get(camera.url, headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304


async def test_a_first_client_marks_the_scenario_and_waits_for_a_picture(
    http: httpx.AsyncClient, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    await camera.execute("DELETE FROM watched")
    monkeypatch.setattr(live_frames, "_PATIENCE", 20.0)
    await camera.show(6)  # of an earlier watch
    responses: list[httpx.Response] = []

    async def ask() -> None:
        responses.append(await http.get(camera.url))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await until(camera.is_watched)
        await camera.show(7)
    assert responses[0].headers["frame-number"] == "7"


@pytest.mark.parametrize("how", ["old", "another run's", "deleted", "none"])
async def test_a_picture_that_is_not_the_present_runs_is_never_shown(
    http: httpx.AsyncClient, camera: Camera, how: str
) -> None:
    if how != "none":
        await camera.show(
            7, age=MOST_AGE + 1 if how == "old" else 0.0, token=uuid4() if how == "another run's" else None
        )
    if how == "deleted":
        await camera.execute("UPDATE checkpoints SET dropped = true")
    response = await http.get(camera.url)
    assert response.status_code == 503
    assert "No picture came within" in response.json()["detail"]


async def test_a_picture_that_was_read_is_not_shown_after_the_run_lost_its_fence(
    http: httpx.AsyncClient, camera: Camera
) -> None:
    await camera.show(7)
    assert (await http.get(camera.url)).status_code == 200
    await camera.execute("UPDATE checkpoints SET attempt = 2, run_token = $1", uuid4())

    async def is_gone() -> bool:
        return (await http.get(f"{camera.url}?after=6")).status_code == 204

    await until(is_gone, timeout=MOST_AGE / 2)  # long before it would be too old


async def test_a_later_frame_is_waited_for(
    http: httpx.AsyncClient, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    await camera.show(7)
    assert (await http.get(f"{camera.url}?after=6")).status_code == 200
    assert (await http.get(f"{camera.url}?after=7")).status_code == 204
    monkeypatch.setattr(live_frames, "LONG_POLL", 20.0)
    responses: list[httpx.Response] = []

    async def ask() -> None:
        responses.append(await http.get(f"{camera.url}?after=7"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.lowlevel.checkpoint()
        await camera.show(9)
    assert responses[0].headers["frame-number"] == "9"


async def test_any_number_of_clients_is_served_from_one_read(
    http: httpx.AsyncClient, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    find = queries.find_live_picture

    async def counted(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        return await find(*arguments)

    monkeypatch.setattr("app.api.live_pictures.find_live_picture", counted)
    monkeypatch.setattr("app.api.live_pictures.READ_EVERY", 60.0)
    await camera.show(7)
    statuses: list[int] = []

    async def ask() -> None:
        statuses.append((await http.get(camera.url)).status_code)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(ask)
    assert statuses == [200] * 50
    assert reads == 1


async def test_an_annotated_picture_shows_what_was_stored_of_its_frame(
    http: httpx.AsyncClient, camera: Camera
) -> None:
    await camera.show(7)
    coloured = {}
    for annotated in ("true", "false"):
        response = await http.get(f"{camera.url}?annotated={annotated}&width=80")
        image = np.asarray(cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR), int)
        assert image.shape == (45, 80, 3)
        coloured[annotated] = np.ptp(image, axis=2)[39:42, 40:].max() > 60  # where the line is
    assert coloured == {"true": True, "false": False}


async def test_what_is_no_live_source_or_does_not_run_is_told(
    http: httpx.AsyncClient, camera: Camera, scenarios: Database
) -> None:
    async def problem(path: str) -> tuple[int, str]:
        response = await http.get(path)
        return response.status_code, response.json()["detail"]

    assert (await problem(f"{camera.url}?frame=7"))[0] == 409
    assert (await problem(f"{camera.url}?frame=7&after=1"))[0] == 400
    recorded = await add_scenario(scenarios)
    assert (await problem(f"/scenarios/{recorded}/frame.jpg?after=1"))[0] == 400
    assert (await problem(f"/scenarios/{recorded}/live.mjpeg"))[0] == 409
    assert (await problem(f"/scenarios/{uuid4()}/live.mjpeg"))[0] == 404
    ended = await add_scenario(scenarios, spec=CAMERA, media=LIVE, state="inactive", outcome="stopped")
    status, detail = await problem(f"/scenarios/{ended}/frame.jpg")
    assert (status, "does not run" in detail) == (409, True)


@pytest.fixture
async def stream(start: Start, camera: Camera) -> AsyncIterator[str]:
    async with start() as app, listening(app) as url:
        yield f"{url}/scenarios/{camera.id}/live.mjpeg"


async def test_a_stream_has_each_picture_and_ends_with_the_scenario(
    stream: str, camera: Camera, scenarios: Database
) -> None:
    await camera.show(7)
    async with httpx.AsyncClient(timeout=30) as http, http.stream("GET", stream) as response:
        assert response.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        received = b""
        parts = response.aiter_bytes()
        async for part in parts:
            received += part
            if received.count(JPEG) == 1:
                await camera.show(8)
            if received.count(JPEG) == 2:
                break
        async with scenarios.connection() as connection:
            await connection.execute("DELETE FROM scenarios")
        async for part in parts:
            received += part
    assert received.count(b"\r\n--frame\r\n") == received.count(JPEG) == 2


async def test_streams_are_bounded(stream: str, camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.routes.pictures._MOST_STREAMS", 1)
    await camera.show(7)
    async with httpx.AsyncClient(timeout=30) as http:
        async with http.stream("GET", stream) as response:
            assert response.status_code == 200
            received = response.aiter_bytes()
            await anext(received)
            refused = await http.get(stream)
            assert refused.status_code == 503
            assert refused.json()["type"] == "/problems/too-many-streams"

        async def is_free() -> bool:
            await camera.show(9)
            async with http.stream("GET", stream) as again:
                return again.status_code == 200

        await until(is_free)


async def test_a_page_of_another_site_cannot_hold_a_stream(start: Start, camera: Camera) -> None:
    async with start() as app, connected(app) as http:
        headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert (await http.get(f"/scenarios/{camera.id}/live.mjpeg", headers=headers)).status_code == 403

"""HTTP cameras of every kind, as the API shows them."""

from collections.abc import Callable
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from itertools import chain, count
from pathlib import Path

from tests.support.http_cameras import MULTIPART, PARTS, Part, Reply, headed, http_camera, jpeg
from tests.support.service import Json, ServiceProcess, running
from tests.support.waiting import until

Answer = Callable[[BaseHTTPRequestHandler], Reply]
WANTED = 5  # frames of each camera


def mjpeg(part: Part, **headers: str) -> Answer:
    """Return a camera that sends ten numbered pictures a second, as parts of one response."""

    def answer(_: object) -> Reply:
        return Reply({"Content-Type": MULTIPART} | headers, map(part, map(jpeg, count())), interval=0.1)

    return answer


def without_first_boundary(_: object) -> Reply:
    first = b"Content-Type: image/jpeg\r\n\r\n" + jpeg(0) + b"\r\n"
    return Reply(
        {"Content-Type": MULTIPART}, chain([first], map(headed(), map(jpeg, count(1)))), interval=0.1
    )


def rejecting_ranges(request: BaseHTTPRequestHandler) -> Reply:
    if request.headers["Range"]:
        return Reply({"Content-Length": "0"}, iter(()), 416)
    return mjpeg(headed())(request)


def snapshot(media_type: str | None) -> Answer:
    """Return a camera that answers each request with the next picture."""
    numbers = count()

    def answer(_: object) -> Reply:
        headers = {"Content-Type": media_type} if media_type else {}
        return Reply(headers, iter([jpeg(next(numbers))]), interval=0)

    return answer


CAMERAS: dict[str, Answer] = {
    **{name: mjpeg(part) for name, part in PARTS.items()},
    "the largest length": mjpeg(headed(), **{"Content-Length": str(2**31 - 1)}),
    "a length of 0": mjpeg(headed(), **{"Content-Length": "0"}),
    "no boundary before the first part": without_first_boundary,
    "no ranges": rejecting_ranges,
    "snapshot": snapshot("image/jpeg"),
    "snapshot as octets": snapshot("application/octet-stream"),
    "snapshot without a type": snapshot(None),
}


async def test_cameras_of_every_kind_are_read_at_once(tmp_path: Path) -> None:
    with ExitStack() as stack:
        addresses = {name: stack.enter_context(http_camera(answer)) for name, answer in CAMERAS.items()}
        async with running(tmp_path, runner_slots=len(CAMERAS)) as service:
            ids = {
                name: await service.create(
                    f"{address}/cam", {"type": "marker"}, sampling={"mode": "fps", "fps": 10}
                )
                for name, address in addresses.items()
            }
            for name, scenario_id in ids.items():
                predictions = await until(lambda: some(service, scenario_id), 60, poll=0.1)  # noqa: B023 - awaited here
                assert predictions
                labels = [[each["label"] for each in frame["detections"]] for frame in predictions]
                numbers = [int(label.partition(":")[2]) for (label,) in labels]
                assert numbers == sorted(set(numbers)), name
                scenario = await service.get(scenario_id)
                assert (scenario["state"], scenario["source_state"]) == ("active", "open"), (name, scenario)
                assert scenario["media"]["live"], name


async def some(service: ServiceProcess, scenario_id: str) -> list[Json] | None:
    scenario = await service.get(scenario_id)
    assert scenario["state"] != "inactive", scenario
    predictions = await service.predictions(scenario_id)
    return predictions if len(predictions) >= WANTED else None

"""The promise: every sampled frame is stored exactly once, whatever was killed."""

import random
from functools import partial
from pathlib import Path

import pytest
from anyio import sleep

from tests.support.clips import SIZE, marker_box, marker_clip
from tests.support.service import Json, ServiceProcess, running
from tests.support.waiting import until

MARKER = {"type": "marker"}
KILLS = 10
ANALYSIS: Json = {
    "tracking": {"max_gap_seconds": 1.0},
    "presence": {},
    "zones": [{"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "anchor": "center"}],
    "lines": [{"name": "middle", "from": [0.5, 0], "to": [0.5, 1]}],
    "alerts": [
        {"name": "stay", "zone": "left", "min_seconds": 0.5, "cooldown_seconds": 3},
        {"name": "crossing", "line": "middle"},
    ],
}


def assert_markers(predictions: list[Json], frames: int, size: tuple[int, int] = SIZE) -> None:
    """Each frame is there once, in order, with the one marker that was drawn into it."""
    assert [prediction["frame"] for prediction in predictions] == list(range(frames))
    for prediction in predictions:
        (detection,) = prediction["detections"]
        assert detection["label"] == f"aruco:{prediction['frame'] % 1000}"
        assert prediction["time"] == pytest.approx(prediction["frame"] / 30, abs=1e-6)
        box = marker_box(prediction["frame"], size)
        assert max(abs(found - drawn) for found, drawn in zip(detection["box"], box, strict=True)) <= 2


def what_happened(events: list[Json]) -> list[Json]:
    """Return the events without the scenario that they are of. Their ids count from 1."""
    assert sorted(event["event_id"] for event in events) == list(range(1, len(events) + 1))
    found = []
    for event in events:
        picture = event["picture"] | {"path": event["picture"]["path"].replace(event["scenario_id"], "")}
        found.append(event | {"scenario_id": "", "picture": picture})
    return found


async def pictures_of(service: ServiceProcess, scenario_id: str) -> dict[str, bytes]:
    """Return the picture of the last event of each kind: a JPEG, decoded from the recording."""
    last = {event["kind"]: event for event in await service.events(scenario_id)}
    found = {}
    for kind, event in last.items():
        answer = await service.http.get(event["picture"]["path"], params={"width": 320})
        assert answer.status_code == 200, answer.text
        found[kind] = answer.content
    return found


async def test_every_frame_of_a_clip_is_stored_with_what_is_in_it(tmp_path: Path, clips: Path) -> None:
    async with running(tmp_path, media_root=clips) as service:
        scenario_id = await service.create("minute.mp4", MARKER, sampling={"mode": "all"})
        scenario = await service.ends(scenario_id)
        assert (scenario["outcome"], scenario["error"]) == ("completed", None)
        expected = {
            "width": 320,
            "height": 180,
            "fps": 30.0,
            "frames": 1800,
            "duration_seconds": 60.0,
            "live": False,
            "codec": "h264",
            "first_timestamp": 0.0,
        }
        assert expected.items() <= scenario["media"].items()
        progress = scenario["progress"]
        assert progress["percent"] == 100
        assert progress["frames_read"] == progress["frames_sampled"] == progress["detections"] == 1800
        assert progress["frames_dropped"] == progress["frames_failed"] == 0
        assert_markers(await service.predictions(scenario_id), 1800)


async def next_attempt(service: ServiceProcess, ids: list[str], before: int) -> int:
    """Return how many runs these scenarios have had, and 0 if that is as before and some have not ended."""
    scenarios = [await service.get(scenario_id) for scenario_id in ids]
    attempts: int = sum(scenario["attempt"] for scenario in scenarios)
    return attempts if attempts > before or all(scenario["outcome"] for scenario in scenarios) else 0


@pytest.mark.timeout(600)
async def test_what_is_stored_is_the_same_after_ten_kills(tmp_path: Path) -> None:
    asked: list[Json] = [
        {"detector": MARKER, "sampling": {"mode": "all"}},
        {"detector": {"type": "motion"}, "sampling": {"mode": "all"}},
        {"detector": MARKER, "sampling": {"mode": "fps", "fps": 7}},
        {"detector": {"type": "motion"}, "sampling": {"mode": "fps", "fps": 10}, **ANALYSIS},
    ]
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    clip = marker_clip(tmp_path / "minute.mp4")
    async with running(tmp_path, media_root=clip.parent) as service:
        undisturbed = [await service.create("minute.mp4", **each) for each in asked]
        for scenario_id in undisturbed:
            await service.ends(scenario_id, timeout=200)
        disturbed = [await service.create("minute.mp4", **each) for each in asked]
        attempts = 0
        for _ in range(KILLS):
            attempts = await until(partial(next_attempt, service, disturbed, attempts))
            await sleep(chance.uniform(0, 0.8))
            service.kill()
            await service.start()
        for expected_id, scenario_id in zip(undisturbed, disturbed, strict=True):
            scenario = await service.ends(scenario_id, timeout=200)
            assert scenario["outcome"] == "completed", scenario
            expected = await service.predictions(expected_id)
            assert await service.predictions(scenario_id) == expected
            expected_events = what_happened(await service.events(expected_id))
            assert what_happened(await service.events(scenario_id)) == expected_events
        kinds = {event["kind"] for event in expected_events}
        assert kinds == {"object", "zone", "line", "presence", "alert"}
        pictures = await pictures_of(service, undisturbed[-1])
        assert set(pictures) == kinds
        assert await pictures_of(service, disturbed[-1]) == pictures
        assert_markers(await service.predictions(disturbed[0]), 1800)
        assert max([(await service.get(scenario_id))["attempt"] for scenario_id in disturbed]) > 3


async def running_scenarios(service: ServiceProcess, ids: list[str]) -> bool:
    return all([(await service.get(scenario_id))["progress"]["frames_sampled"] for scenario_id in ids])


async def test_a_polite_end_keeps_every_finished_frame_and_the_next_start_goes_on_at_once(
    tmp_path: Path, clips: Path
) -> None:
    async with running(tmp_path, media_root=clips) as service:
        ids = [
            await service.create("minute.mp4", MARKER, sampling={"mode": "all"}, name=f"number {number}")
            for number in range(4)
        ]
        await until(lambda: running_scenarios(service, ids))
        service.terminate(timeout=10)
        await service.start()
        for scenario_id in ids:
            released = [event for event in await service.history(scenario_id) if event["attempt"] == 2]
            assert released[0]["to"] == "init_startup"
            assert released[0]["reason"] == "the runner gave the run back"
            scenario = await service.ends(scenario_id, timeout=90)
            assert (scenario["outcome"], scenario["attempt"]) == ("completed", 2)
        assert_markers(await service.predictions(ids[0]), 1800)

"""The same code as a fleet: separate processes, a real Kafka, a real Postgres."""

import os
import random
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from anyio import sleep

from tests.fleet import held_detector
from tests.fleet.held_detector import PERMITS
from tests.support.fleet import SETTINGS, Fleet, fleet
from tests.support.kafka import local_broker
from tests.support.missing import broker_or_skip
from tests.support.service import Json
from tests.support.waiting import until

MARKER = {"type": "marker"}
ALL = {"mode": "all"}
TIMEOUT = float(str(SETTINGS["heartbeat_timeout"]))
LONG = os.environ.get("VA_TEST_LONG") == "1"
"""The figures of a release rather than of every commit."""

SLACK = 1 if LONG else 10
"""How much longer things may take on every commit, when other work runs on the machine."""

ROLES = {"api": "api", "first": "orchestrator", "second": "orchestrator"}
RUNNERS = {"runner1": "runner", "runner2": "runner", "runner3": "runner"}

pytestmark = pytest.mark.timeout(900 if LONG else 600)


def assert_markers(predictions: list[Json], frames: int) -> None:
    assert [prediction["frame"] for prediction in predictions] == list(range(frames))
    for prediction in predictions:
        labels = [detection["label"] for detection in prediction["detections"]]
        assert labels == [f"aruco:{prediction['frame'] % 1000}"]


async def completed(members: Fleet, ids: list[str], frames: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    for scenario_id in ids:
        scenario = await members.api.ends(scenario_id, timeout=max(1.0, deadline - time.monotonic()))
        assert scenario["outcome"] == "completed", scenario
        assert_markers(await members.api.predictions(scenario_id), frames)


async def runner_of(members: Fleet, scenario_id: str) -> str:
    """The name of the member that a scenario's run was last dispatched to."""
    dispatched = [
        event
        for event in await members.api.history(scenario_id)
        if event["reason"].startswith("dispatched to ")
    ]
    return next(name for name in RUNNERS if dispatched[-1]["runner_id"].endswith(members.runner_id(name)))


async def stored(members: Fleet, scenario_id: str) -> int:
    frames: int = (await members.api.get(scenario_id))["progress"]["frames_sampled"]
    return frames


async def all_have_more_than(frames: int, members: Fleet, ids: list[str]) -> bool:
    return all([await stored(members, scenario_id) > frames for scenario_id in ids])


async def test_sixty_clips_are_spread_over_three_runners_and_stored_exactly_once(
    tmp_path: Path, media: Path, kafka: str
) -> None:
    async with fleet(tmp_path, media, kafka, **ROLES, **RUNNERS) as members:
        await until(lambda: seen(members, 3))
        ids = [await members.api.create("90.mp4", MARKER, sampling=ALL) for _ in range(60)]
        await completed(members, ids, 90, timeout=360)
        shares = Counter([await runner_of(members, scenario_id) for scenario_id in ids])
        # A runner whose heartbeats are late gets no runs until the next one.
        assert min(shares[name] for name in RUNNERS) >= (10 if LONG else 4), shares


async def seen(members: Fleet, count: int) -> bool:
    runners = (await members.api.http.get("/runners")).json()["items"]
    return bool([runner["state"] for runner in runners].count("alive") == count)


async def test_whatever_is_killed_every_frame_is_stored_exactly_once(
    tmp_path: Path, media: Path, kafka: str
) -> None:
    seconds, clips = (120, 60) if LONG else (30, 15)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with fleet(tmp_path, media, kafka, **ROLES, **RUNNERS) as members:
        ids = [await members.api.create("300.mp4", MARKER, sampling=ALL) for _ in range(clips)]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await sleep(2)
            victim = members.members[chance.choice(list(members.members))]
            victim.kill()
            await sleep(1)
            victim.launch()
        await members.api.ready()
        await completed(members, ids, 300, timeout=300)


async def test_a_dead_runners_scenario_resumes_elsewhere_within_the_timeout_plus_two_seconds(
    tmp_path: Path, media: Path, kafka: str
) -> None:
    async with fleet(tmp_path, media, kafka, **ROLES, **RUNNERS) as members:
        await until(lambda: seen(members, 3))
        scenario_id = await members.api.create("1800.mp4", MARKER, sampling=ALL)
        await until(lambda: stored(members, scenario_id))
        holder = members.members[await runner_of(members, scenario_id)]
        holder.kill()
        killed = datetime.now(UTC)

        async def resumed() -> datetime | None:
            history = await members.api.history(scenario_id)
            active = [event for event in history if event["to"] == "active" and event["attempt"] == 2]
            return datetime.fromisoformat(active[0]["at"]) if active else None

        moment = await until(resumed, timeout=60)
        assert moment is not None
        assert (moment - killed).total_seconds() <= SLACK * (TIMEOUT + 2)
        await completed(members, [scenario_id], 1800, timeout=180)


async def test_a_runner_that_leaves_hands_over_within_two_seconds_and_one_that_joins_is_used(
    tmp_path: Path, media: Path, kafka: str
) -> None:
    async with fleet(tmp_path, media, kafka, api="api", first="orchestrator", runner1="runner") as members:
        scenario_id = await members.api.create("1800.mp4", MARKER, sampling=ALL)
        await until(lambda: stored(members, scenario_id))
        await members.add("runner2", "runner").ready()
        await until(lambda: seen(members, 2))
        leaving = datetime.now(UTC)
        members.members["runner1"].process.send_signal(signal.SIGTERM)

        async def handed() -> datetime | None:
            history = await members.api.history(scenario_id)
            again = [
                event for event in history if event["attempt"] == 2 and event["to"] == "in_startup_processing"
            ]
            return datetime.fromisoformat(again[0]["at"]) if again else None

        moment = await until(handed)
        assert moment is not None
        assert (moment - leaving).total_seconds() <= SLACK * 2
        reasons = [event["reason"] for event in await members.api.history(scenario_id)]
        assert "the runner gave the run back" in reasons  # and did not lose it in the end
        assert await runner_of(members, scenario_id) == "runner2"
        await completed(members, [scenario_id], 1800, timeout=180)


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_an_outage_of_kafka_loses_nothing_and_stops_no_run(
    tmp_path: Path, media: Path, how: str
) -> None:
    outage, frames = 60.0 if LONG else 3 * TIMEOUT, 300
    runners = {"runner1": "runner", "runner2": "runner"}
    go_on, end = (tmp_path / permit for permit in PERMITS.values())
    with broker_or_skip(local_broker()) as broker:
        apps = dict.fromkeys(runners, f"{held_detector.__name__}:build")
        async with fleet(tmp_path, media, broker.address, {}, apps, **ROLES, **runners) as members:
            held = {"type": "mock"}  # so that it outlasts the outage
            busy = [await members.api.create(f"{frames}.mp4", held, sampling=ALL) for _ in range(2)]
            for scenario_id in busy:
                await members.api.reaches(scenario_id, "active")
            broker.kill() if how == "killed" else broker.freeze()
            began = time.monotonic()
            refused = await members.api.http.post(
                "/scenarios", json={"source": "90.mp4", "detector": MARKER, "sampling": ALL}
            )
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
            assert time.monotonic() - began < SLACK * 3
            await sleep(max(0.0, outage - (time.monotonic() - began)))
            go_on.touch()
            await until(lambda: all_have_more_than(min(PERMITS), members, busy))
            end.touch()
            broker.start() if how == "killed" else broker.thaw()

            async def accepted() -> str | None:
                answer = await members.api.http.post(
                    "/scenarios", json={"source": "90.mp4", "detector": MARKER, "sampling": ALL}
                )
                return answer.json()["id"] if answer.status_code in (201, 202) else None

            new = await until(accepted, timeout=60, poll=0.5)
            assert new is not None
            await until(lambda: exists(members, new), timeout=60)
            await completed(members, [new], 90, timeout=180)
            for scenario_id in busy:
                scenario = await members.api.ends(scenario_id, timeout=200)
                assert (scenario["outcome"], scenario["attempt"]) == ("completed", 1), scenario
                there = [each["frame"] for each in await members.api.predictions(scenario_id)]
                assert there == list(range(frames))


async def exists(members: Fleet, scenario_id: str) -> bool:
    answer = await members.api.http.get(f"/scenarios/{scenario_id}")
    return answer.status_code == 200

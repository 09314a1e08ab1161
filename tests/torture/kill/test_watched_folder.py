"""Row 20: `kill -9` of random members of a fleet while a watched folder fills.

100 kills while 200 files come at full length. Each file is analysed once, under each name that it has.
"""

import random
from collections import Counter
from pathlib import Path

import httpx
import pytest
from anyio import create_task_group, sleep

from tests.support.chaos_fleet import ChaosFleet, chaos_fleet
from tests.support.ground_truth import make_clips
from tests.support.waiting import until
from tests.torture.battery import Battery, size
from tests.torture.kill.folder import WatchedFolder, is_settled, verify_folder

pytestmark = pytest.mark.timeout(size(400, 3000))

ROLES = {
    "api1": "api",
    "api2": "api",
    "first": "orchestrator",
    "second": "orchestrator",
    "runner1": "runner",
    "runner2": "runner",
}
FILES, KILLS, SECONDS = size(18, 200), size(4, 100), size(5, 300)
BODY = {
    "sources": "**/*.mp4",
    "scenario": {
        "detector": {"type": "marker"},
        "sampling": {"mode": "all"},
        "restart": {"max_restarts": 1000},  # kills may come faster than a run stores its first batch
    },
    "watch": True,
    "at_once": 6,
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), 20, 40, 60)


async def post(fleet: ChaosFleet) -> str:
    """Ask one api or another for the batch until it is accepted, always with the same key."""
    while True:
        try:
            answer = await fleet.chance.choice(fleet.apis).http.post(
                "/batches", json=BODY, headers={"Idempotency-Key": "yard"}
            )
        except httpx.TransportError:
            await sleep(0.2)
            continue
        if answer.status_code in (201, 202):
            return str(answer.json()["id"])
        assert answer.status_code == 503, answer.text
        await sleep(0.2)


async def test_whatever_is_killed_each_file_of_a_watched_folder_is_analysed_once(
    tmp_path: Path, clips: Path, kafka: str, battery: Battery
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    media = tmp_path / "media"
    media.mkdir()
    async with chaos_fleet(tmp_path, media, kafka, ROLES) as fleet:
        fleet.chance.seed(seed)
        folder = WatchedFolder(media, clips, random.Random(seed))
        async with fleet.database("scenarios") as scenarios, fleet.database("predictions") as predictions:
            async with create_task_group() as group:
                group.start_soon(folder.fill, FILES, SECONDS)
                batch = await post(fleet)
                await fleet.kill(ROLES, KILLS, SECONDS)
                assert await post(fleet) == batch
            fleet.assert_all_run()
            await until(lambda: is_settled(folder, scenarios), timeout=size(200, 900), poll=0.5)
            found = await verify_folder(folder, scenarios, predictions)
            shown = (await fleet.apis[0].http.get(f"/batches/{batch}")).json()
            count = await scenarios.fetchval("SELECT count(*) FROM scenarios")
    shares = Counter(kill.role for kill in fleet.kills)
    leaders = sum(kill.led for kill in fleet.kills)
    battery.passed(
        20,
        "`kill -9` of random members of a Kafka fleet while a watched folder fills: files that grow, are"
        " replaced, renamed, damaged, linked or oddly named",
        f"{len(fleet.kills)} kills ({', '.join(f'{n} of {role}s' for role, n in sorted(shares.items()))},"
        f" {leaders} of them leading), {folder.put} files",
        str(found),
    )
    assert not found.damage, found
    assert len(fleet.kills) == KILLS
    counts = shown["counts"]
    assert counts["files"] == sum(counts.values()) - counts["files"] >= count + folder.refused
    assert (shown["state"], shown["problem"], shown["percent"]) == ("running", None, 100.0)


@pytest.mark.long
async def test_the_verifier_sees_files_analysed_too_early_if_nobody_waits_until_they_are_whole(
    tmp_path: Path, clips: Path, kafka: str, battery: Battery
) -> None:
    media = tmp_path / "media"
    media.mkdir()
    roles = {"api1": "api", "first": "orchestrator", "runner1": "runner"}
    async with (
        chaos_fleet(tmp_path, media, kafka, roles, app="tests.torture.kill.unguarded:hasty_scans") as fleet,
        fleet.database("scenarios") as scenarios,
        fleet.database("predictions") as predictions,
    ):
        folder = WatchedFolder(media, clips, random.Random(1))
        await post(fleet)
        await folder.fill(45, 20)
        await until(lambda: is_settled(folder, scenarios), timeout=200, poll=0.5)
        found = await verify_folder(folder, scenarios, predictions)
    battery.unguarded(20, "waiting until a file is whole", "45 files", str(found))
    assert found.unexpected

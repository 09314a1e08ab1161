"""What disturbs a run without ending it: it goes on, in the same attempt, and stores the same."""

import os
import signal
from collections.abc import Set
from pathlib import Path

from anyio import sleep

from tests.service.test_exactly_once import assert_markers
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until

MARKER = {"type": "marker"}
ALL = {"mode": "all"}


async def stored(service: ServiceProcess, scenario_id: str) -> int:
    frames: int = (await service.get(scenario_id))["progress"]["frames_sampled"]
    return frames


async def stores_more(service: ServiceProcess, scenario_id: str, than: int) -> bool:
    answer = await service.http.get(f"/scenarios/{scenario_id}")
    return answer.status_code == 200 and answer.json()["progress"]["frames_sampled"] > than


async def assert_undisturbed(service: ServiceProcess, scenario_id: str) -> None:
    scenario = await service.ends(scenario_id)
    assert (scenario["outcome"], scenario["attempt"]) == ("completed", 1)
    assert_markers(await service.predictions(scenario_id), 1800)


def server_of(folder: Path, but: Set[int]) -> int:
    """Return the process of the embedded server: 0 until it has started again after those were killed."""
    try:
        pid = int((folder / "data/postgres/data/postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return 0
    return 0 if pid in but else pid


async def test_a_run_outlasts_the_death_of_its_database_server(tmp_path: Path, clips: Path) -> None:
    async with running(tmp_path, media_root=clips) as service:
        scenario_id = await service.create("minute.mp4", MARKER, sampling=ALL)
        before = 0
        killed = set[int]()
        for _ in range(2):
            await until(lambda: stores_more(service, scenario_id, before))  # noqa: B023 - awaited
            before = await stored(service, scenario_id)
            server = await until(lambda: server_of(tmp_path, but=killed))
            os.kill(server, signal.SIGKILL)
            killed.add(server)
        await until(lambda: stores_more(service, scenario_id, before))
        await assert_undisturbed(service, scenario_id)


async def test_a_process_that_is_frozen_past_its_leases_goes_on(tmp_path: Path, clips: Path) -> None:
    async with running(tmp_path, media_root=clips, heartbeat_interval=0.2, heartbeat_timeout=1) as service:
        scenario_id = await service.create("minute.mp4", MARKER, sampling=ALL)
        for _ in range(2):
            before = await stored(service, scenario_id)
            await until(lambda: stores_more(service, scenario_id, before))  # noqa: B023 - awaited here
            service.process.send_signal(signal.SIGSTOP)
            await sleep(2)
            service.process.send_signal(signal.SIGCONT)
        await assert_undisturbed(service, scenario_id)

"""Databases that are slow, silent, cut off and started again, under a service that runs scenarios."""

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from time import monotonic

import httpx
import pytest
from anyio import create_task_group, fail_after, sleep

from app.api.databases import open_request_database
from app.postgres import TRANSIENT, Database, open_database
from tests.support.proxy import Proxy, proxied
from tests.support.waiting import until
from tests.torture.battery import LONG, Battery, size
from tests.torture.databases.site import AWAY, BACK_WITHIN, CLIP, NAMES, Site, site

CLIENTS = 3
ANSWERED_WITHIN = 2.0  # seconds
SILENCE, SLOWNESS, OUTAGE = size(4, 60), size(4, 30), size(2, 20)  # seconds
LATENCY = 5.0
RESETS, RESTARTS = size(10, 200), size(2, 20)
BOTH = NAMES
WHERE: list[Sequence[str]] = (
    [("scenarios",), ("predictions",), BOTH] if LONG else [("scenarios",), ("predictions",)]
)

OF_SCENARIOS = {
    "list",
    "look",
    "predictions",
    "history",
    "runners",
    "events",
    "create",
    "stop",
    "start",
    "delete",
}
OF_PREDICTIONS = {"list", "history"}  # the others may be kept: the scenario that is asked for is completed
OF_NONE = {"live", "metrics", "detectors", "models"}
READY_AGE = 1.0  # seconds for which /health/ready repeats its answer


async def begin(kind: str, proxies: Sequence[Proxy]) -> None:
    for proxy in proxies:
        if kind == "silence":
            proxy.silence()
        elif kind == "amnesia":
            proxy.silence()
            proxy.forget()
        elif kind == "slowness":
            proxy.latency = LATENCY
        else:
            proxy.cut()


async def end(proxies: Sequence[Proxy]) -> None:
    for proxy in proxies:
        proxy.latency = 0.0
        await proxy.open()


async def fault(world: Site, kind: str, where: Sequence[str], seconds: float, known: str) -> float:
    """Ask everything again and again while databases are away; how long it then took to be back."""
    proxies = [world.proxies[name] for name in where]
    before = [await world.ask("GET", "/health/ready")]
    assert before[0].status_code == 200
    await begin(kind, proxies)
    began = monotonic()
    refused = OF_SCENARIOS if "scenarios" in where else OF_PREDICTIONS
    while (asked_at := monotonic()) < began + seconds:
        found = await world.ask_everything(known)
        answers = {name: answer.status_code for name, answer in found.items()}
        assert refused <= {name for name, status in answers.items() if status == 503}, (kind, answers)
        assert {answers[name] for name in OF_NONE} == {200}, (kind, answers)
        if asked_at - began > READY_AGE:
            assert {AWAY[name] for name in where} <= set(found["ready"].json()["waiting_for"])
        if found["create"].status_code in (201, 202):
            world.promises.clips.add(found["create"].json()["id"])
        await sleep(size(1, 4))
    return await recovery(world, partial(end, proxies))


async def recovery(world: Site, recover: Callable[[], Awaitable[object]]) -> float:
    """How long it takes after `recover` until the API answers as ever."""
    await recover()
    began = monotonic()
    await until(world.is_back, timeout=30, poll=0.1)
    return monotonic() - began


@pytest.mark.timeout(size(400, 3600))
async def test_databases_that_are_away_cost_no_promise(tmp_path: Path, battery: Battery) -> None:
    back: list[float] = []
    async with site(tmp_path) as world:
        known = await world.service.create(**CLIP)
        await world.service.ends(known)
        async with create_task_group() as tasks:
            for _ in range(CLIENTS):
                tasks.start_soon(world.act)
            for kind, seconds in (
                ("silence", SILENCE),
                ("amnesia", SILENCE),
                ("slowness", SLOWNESS),
                ("cut", OUTAGE),
            ):
                for where in WHERE if kind == "silence" or LONG else [BOTH]:
                    seconds_back = await fault(world, kind, where, seconds, known)
                    back.append(seconds_back)
            for number in range(RESETS):
                proxy = world.proxies[NAMES[number % 2]]
                if number % 3:
                    proxy.cut()
                    await proxy.open()
                else:
                    proxy.lose_answer()
                await sleep(random.uniform(0, 0.5))
            for number in range(RESTARTS):
                world.restart_server(number)
                await until(world.server_is_gone, timeout=60)
                back.append(await recovery(world, partial(until, world.server_answers, 20)))
            tasks.cancel_scope.cancel()
        await world.drain(timeout=size(90, 300))
        lost = await world.lost()
        answers = world.answers
        figures = (
            f"{lost}; 503 for {answers.refused:,} of {answers.count:,} requests, the slowest after"
            f" {answers.slowest:.2f} s (/health/live {answers.lag:.2f} s); back after {max(back):.1f} s"
        )
        print(figures, answers.slowest_of, [round(each, 1) for each in back])
        assert not lost.damage, lost
        assert not answers.wrong, answers.wrong[:5]
        within = size(2, 1) * ANSWERED_WITHIN  # the short form runs beside other tests
        assert answers.slowest <= within + answers.lag, figures
        assert max(back) <= BACK_WITHIN, figures
    tried = (
        f"{SILENCE} s of silence, {SILENCE} s with connections forgotten, {SLOWNESS} s of {LATENCY:g} s"
        f" latency, {OUTAGE} s refused, {RESETS} resets, {RESTARTS} restarts of Postgres"
    )
    battery.passed(5, "databases that are slow, silent, cut off and restarted", tried, figures)


class Users:
    """Fifteen tasks that use one pool of ten."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.uses = 0

    async def use(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(*TRANSIENT):
                async with self.database.transaction() as connection:
                    await connection.execute("SELECT pg_sleep(0.01)")
                self.uses += 1
            await sleep(0.01)

    async def go_on(self) -> None:
        """Wait until they have used it as often as they are."""
        before = self.uses
        await until(lambda: self.uses >= before + 15, timeout=60)


@pytest.mark.timeout(size(400, 900))
async def test_no_connection_of_a_pool_is_lost(scenarios_dsn: str, battery: Battery) -> None:
    slowest, free = 0.0, 0
    async with (
        proxied(scenarios_dsn) as proxy,
        open_request_database(proxy.dsn) as requests,
        open_database(proxy.dsn, size=10) as patient,
    ):
        users = [Users(requests), Users(patient)]
        async with create_task_group() as tasks:
            for each in users:
                tasks.start_soon(each.database.watch)
                for _ in range(15):
                    tasks.start_soon(each.use)
            for kind in ("silence", "amnesia", "slowness", "cut") * size(1, 5):
                for each in users:
                    await each.go_on()
                await begin(kind, [proxy])
                await sleep(size(2, 8))
                await end([proxy])
                began = monotonic()
                for each in users:
                    await each.go_on()
                slowest = max(slowest, monotonic() - began)
            tasks.cancel_scope.cancel()
        for each in users:
            with fail_after(5):
                async with AsyncExitStack() as stack:
                    for _ in range(10):
                        connection = await stack.enter_async_context(each.database.connection())
                        free += await connection.fetchval("SELECT 1")
    assert free == 20
    assert slowest <= BACK_WITHIN
    tried = f"{4 * size(1, 5)} faults under 30 users of two pools of 10"
    battery.passed(
        5, "the slots of pools", tried, f"{20 - free} of 20 lost; in use again within {slowest:.1f} s"
    )


async def test_without_bounds_of_its_own_the_api_answers_late(tmp_path: Path, battery: Battery) -> None:
    async with site(tmp_path, app="tests.torture.databases.unguarded:patient_requests") as world:
        known = await world.service.create(**CLIP)
        await world.service.ends(known)
        await begin("silence", [world.proxies["predictions"]])
        with pytest.raises(httpx.ReadTimeout):
            await world.service.http.get("/scenarios", timeout=2 * ANSWERED_WITHIN)
        await end([world.proxies["predictions"]])
    seen = f"no answer within {2 * ANSWERED_WITHIN:g} s"
    battery.unguarded(5, "bounds for requests alone", "1 silence", seen)


async def test_without_care_for_lost_acknowledgements_frames_are_lost(
    tmp_path: Path, battery: Battery
) -> None:
    async with site(tmp_path, app="tests.torture.databases.unguarded:trusted_writes") as world:
        proxy = world.proxies["predictions"]
        for _ in range(15):
            scenario_id = await world.service.create(**CLIP)
            world.promises.clips.add(scenario_id)
            ended = partial(world.has_ended, scenario_id)
            for _ in range(10):  # a run may need some peace to get anywhere
                if await ended():
                    break
                proxy.silence()
                await sleep(0.4)  # longer than between two batches
                proxy.cut()
                await proxy.open()
                await sleep(0.2)
            await until(ended, timeout=60)
            lost = await world.lost()
            if lost.missing:
                break
    assert lost.damage
    battery.unguarded(5, "reading again after a lost acknowledgement", f"{lost.promises} clips", str(lost))

"""Runs whose database is away, loses answers, or forgets the scenario."""

import json
import random
from typing import Any

import pytest
from anyio import create_task_group, sleep

from app.messages import (
    DropResults,
    RunStarted,
)
from app.postgres import Connection, open_database
from app.predictions.checkpoint import Fence
from app.runner import run as run_module
from app.runner.cleanup.purge import Purge
from app.runner.storing import checkpoints as store
from app.runner.storing import fenced_store
from tests.runner.runs import (
    ENDLESS,
    TEN_THOUSAND_FRAMES,
    World,
    executing,
    run_claimed,
    spec,
)
from tests.support.ports import free_port
from tests.support.proxy import Proxy, proxied
from tests.support.waiting import until


async def test_a_source_state_that_could_not_be_stored_is_stored_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 1

    async def fail_once(connection: Connection, fence: Fence, *state: Any) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionResetError
        await note(connection, fence, *state)

    note = store.note_source_state
    monkeypatch.setattr(store, "note_source_state", fail_once)
    run = world.run(spec(f"rtsp://127.0.0.1:{free_port()}/gone", policy="always"))

    async def reconnecting() -> bool:
        return bool((await world.checkpoint())["source_state"] == "reconnecting")

    async def tried_again() -> bool:
        return bool(json.loads((await world.checkpoint())["source_loss"])["tries"] > 1)

    async with executing(run):
        await run_claimed(world)
        await until(reconnecting)
        loss = json.loads((await world.checkpoint())["source_loss"])
        assert "nothing listens there" in loss["error"]
        await until(tried_again)
        run.stop("stop")


async def away(proxy: Proxy, seconds: float) -> None:
    proxy.cut()
    await sleep(seconds)
    await proxy.open()


async def test_a_run_outlasts_a_database_that_is_away_for_a_while(world: World, predictions_dsn: str) -> None:
    async with proxied(predictions_dsn) as proxy, open_database(proxy.dsn) as distant:
        run = world.run(spec(ENDLESS), database=distant)
        async with executing(run):
            await until(world.stored)
            await away(proxy, 2)
            before = run.next_frame
            await until(lambda: run.next_frame > before)
            run.stop("stop")
    frames = [row["frame"] for row in await world.stored()]
    assert frames == list(range(run.next_frame))
    assert (await world.checkpoint())["frames_sampled"] == len(frames)


async def test_connections_cut_at_any_moment_neither_lose_nor_repeat_a_frame(
    threaded: World, predictions_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "PACE", 0.001)
    monkeypatch.setattr(fenced_store, "MAX_BACKOFF", 0.01)
    monkeypatch.setattr(fenced_store, "MIN_BACKOFF", 0.01)
    chance = random.Random(1)
    async with proxied(predictions_dsn) as proxy, open_database(proxy.dsn) as distant:
        run = threaded.run(spec(TEN_THOUSAND_FRAMES), database=distant)
        async with executing(run) as over:
            for _ in range(50):
                before = run.next_frame  # each time it must have got on, or a busy machine gets nowhere
                await until(lambda: over.is_set() or run.next_frame > before)  # noqa: B023 - awaited here
                if over.is_set():
                    break
                await sleep(chance.uniform(0, 0.1))
                if chance.random() < 0.5:
                    proxy.lose_answer()
                else:
                    await away(proxy, 0)
    assert [row["frame"] for row in await threaded.stored()] == list(range(10_000))
    assert (await threaded.checkpoint())["frames_sampled"] == 10_000


async def test_nothing_is_left_of_a_scenario_that_is_deleted_while_a_run_still_stores(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "PACE", 0.001)
    purge = Purge(world.database)
    async with create_task_group() as group:
        group.start_soon(purge.run)
        async with executing(world.run(spec(TEN_THOUSAND_FRAMES))):
            await until(world.stored)
            await purge.handle(DropResults(world.scenario_id))
        assert [type(event) for event in world.events] == [RunStarted]

        async def purged() -> bool:
            return bool((await world.checkpoint())["purged"])

        await until(purged)
        assert await world.stored() == []
        group.cancel_scope.cancel()

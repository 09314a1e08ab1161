"""Detectors that crash every time: by an exception, or with the whole process, again and again.

Such a scenario must end as failed within its limit of restarts, whoever starts its process again, and its
neighbours must be completed. Everything is read from the rows of both databases.
"""

from collections import Counter
from pathlib import Path

import pytest
from anyio import create_task_group

from tests.support.chaos_fleet import ChaosFleet
from tests.support.fleet import fleet
from tests.support.ground_truth import make_clips
from tests.support.waiting import until
from tests.torture.battery import Battery, size
from tests.torture.crash.fatal_detectors import (
    ABORTS,
    ABORTS_LATER,
    BROKEN,
    IS_KILLED,
    LATER,
    RAISES,
    RAISES_AND_IS_KILLED,
    RAISES_AT_FIRST,
)
from tests.torture.crash.supervision import APP, RESTARTS, create, mock, one_process, supervise
from tests.torture.crash.verifier import FRAMES, Found, Verifier

pytestmark = pytest.mark.timeout(size(400, 900))

FEW = 8
ROUNDS = size(1, 5)
NEIGHBOURS = size(2, 4)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_clips(tmp_path_factory.mktemp("clips"), FRAMES, FEW)
    (folder / "broken.onnx").write_bytes(b"no model")
    return folder


async def test_an_exception_every_time_ends_the_scenario_with_its_reason(
    tmp_path: Path, clips: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    dsns = (scenarios_dsn, predictions_dsn)
    async with one_process(tmp_path, clips, dsns) as (service, verifier):
        raising = [await create(service, mock(RAISES)) for _ in range(ROUNDS)]
        broken = [await create(service, mock(BROKEN)) for _ in range(ROUNDS)]
        no_model = [await create(service, {"type": "onnx", "model": "broken.onnx"}) for _ in range(ROUNDS)]
        recovers = await create(service, mock(RAISES_AT_FIRST))
        neighbours = [await create(service, {"type": "marker"}) for _ in range(NEIGHBOURS)]
        everyone = [*raising, *broken, *no_model, recovers, *neighbours]
        await until(lambda: verifier.ended(everyone), timeout=120, poll=0.2)
        found = {each: await verifier.look(each) for each in everyone}
        idle = await verifier.idle()
    attempts = max(found[each].attempts for each in (*raising, *broken, *no_model))
    whole = sum(found[each].is_whole for each in neighbours)
    battery.passed(
        11,
        "detectors that fail every time: in each frame, when they are made, or without a model",
        f"{3 * ROUNDS} scenarios with a limit of {RESTARTS} restarts",
        f"all failed with their reason, after at most {attempts} attempts;"
        f" {whole} of {NEIGHBOURS} neighbours whole",
    )
    for each in raising:
        assert (found[each].outcome, found[each].attempts) == ("failed", 1)
        assert "the model takes other pictures" in (found[each].error or "")
        # The analysed frames are stored all the same, each once, with its error.
        assert found[each].frames == list(range(len(found[each].frames)))
        assert 20 <= found[each].failed == len(found[each].frames)
    for each in broken:
        assert (found[each].outcome, found[each].attempts) == ("failed", RESTARTS + 1)
        assert "the model is too large" in (found[each].error or "")
    for each in no_model:
        assert (found[each].outcome, found[each].attempts) == ("failed", 1)
        assert "broken.onnx" in (found[each].error or "")
    assert (found[recovers].outcome, found[recovers].frames) == ("completed", list(range(FRAMES)))
    assert found[recovers].failed == 15
    assert whole == NEIGHBOURS
    assert idle == 0


@pytest.mark.parametrize("seed", [ABORTS, IS_KILLED, ABORTS_LATER])
async def test_what_takes_its_process_down_every_time_is_given_up_and_its_neighbours_are_completed(
    tmp_path: Path,
    clips: Path,
    scenarios_dsn: str,
    predictions_dsn: str,
    battery: Battery,
    seed: int,
) -> None:
    deaths: Counter[int] = Counter()
    async with one_process(tmp_path, clips, (scenarios_dsn, predictions_dsn)) as (service, verifier):
        async with create_task_group() as group:
            group.start_soon(supervise, [service], deaths)
            neighbours = [await create(service, {"type": "marker"}) for _ in range(NEIGHBOURS)]
            fatal = await create(service, mock(seed))
            await until(lambda: verifier.ended([fatal, *neighbours]), timeout=200, poll=0.2)
            group.cancel_scope.cancel()
        crashed = await verifier.look(fatal)
        found = [await verifier.look(each) for each in neighbours]
        idle = await verifier.idle()
    whole = sum(each.is_whole for each in found)
    battery.passed(
        11,
        f"a detector that {'aborts' if seed != IS_KILLED else 'is killed'} with the only process"
        f"{' some frames later' if seed == ABORTS_LATER else ''}, which is started again",
        f"{deaths[0]} deaths, limit of {RESTARTS} restarts",
        f"{crashed.outcome} after {crashed.attempts} attempts; {whole} of {NEIGHBOURS} neighbours whole",
    )
    assert crashed.outcome == "failed", crashed
    assert "given up after" in (crashed.error or "")
    # Whatever stored a frame more was worth another attempt, and those that follow it.
    assert RESTARTS < crashed.attempts <= (RESTARTS + 1) * (len(crashed.frames) + 1)
    assert crashed.frames == list(range(len(crashed.frames)))
    assert len(crashed.frames) <= LATER
    assert whole == NEIGHBOURS, found
    assert idle == 0


async def fail_and_be_killed(
    folder: Path, clips: Path, dsns: tuple[str, str], app: str = APP
) -> tuple[Found, int]:
    """A detector that fails in every frame of a short clip, killed with its process when all of them are
    stored and before that is reported; and how often the process died."""
    deaths: Counter[int] = Counter()
    async with one_process(folder, clips, dsns, app) as (service, verifier):
        async with create_task_group() as group:
            group.start_soon(supervise, [service], deaths)
            fatal = await create(service, mock(RAISES_AND_IS_KILLED), source=f"{FEW}.mp4")
            await until(lambda: verifier.ended([fatal]), timeout=120, poll=0.2)
            group.cancel_scope.cancel()
        assert await verifier.idle() == 0
        return await verifier.look(fatal), deaths[0]


async def test_what_failed_in_every_frame_has_failed_though_its_process_died_before_it_said_so(
    tmp_path: Path, clips: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    found, deaths = await fail_and_be_killed(tmp_path, clips, (scenarios_dsn, predictions_dsn))
    battery.passed(
        11,
        "a detector that fails in every frame, killed with its process before it could be reported",
        f"{deaths} death",
        f"{found.outcome} after {found.attempts} attempts, {found.failed} of {FEW} frames with their error",
    )
    assert (found.outcome, found.attempts, deaths) == ("failed", 2, 1)
    assert "the model takes other pictures" in (found.error or "")
    assert (found.frames, found.failed) == (list(range(FEW)), FEW)


@pytest.mark.long
async def test_without_a_look_at_what_is_stored_it_would_have_been_completed(
    tmp_path: Path, clips: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    dsns = (scenarios_dsn, predictions_dsn)
    found, deaths = await fail_and_be_killed(tmp_path, clips, dsns, "tests.torture.crash.services:forgetful")
    battery.unguarded(
        11,
        "a look at the errors that an earlier attempt has stored",
        f"{deaths} death",
        f"{found.outcome}, {found.failed} of {FEW} frames with their error",
    )
    assert (found.outcome, found.failed) == ("completed", FEW)


async def test_in_a_fleet_it_is_given_up_and_its_neighbours_are_completed(
    tmp_path: Path, clips: Path, kafka: str, battery: Battery
) -> None:
    deaths: Counter[int] = Counter()
    roles = {"api": "api", "first": "orchestrator", "runner1": "runner", "runner2": "runner"}
    async with fleet(tmp_path, clips, kafka) as members:
        for name, role in roles.items():
            members.add(name, role, app=APP)
        for member in members.members.values():
            await member.ready(60)
        runners = [members.members[name] for name in ("runner1", "runner2")]
        rows = ChaosFleet(members, roles, tmp_path, clips)
        async with rows.database("scenarios") as scenarios, rows.database("predictions") as predictions:
            verifier = Verifier(scenarios, predictions)
            async with create_task_group() as group:
                group.start_soon(supervise, runners, deaths)
                neighbours = [await create(members.api, {"type": "marker"}) for _ in range(2 * NEIGHBOURS)]
                fatal = [await create(members.api, mock(seed)) for seed in (ABORTS, IS_KILLED)[: size(1, 2)]]
                await until(lambda: verifier.ended([*fatal, *neighbours]), timeout=600, poll=0.2)
                group.cancel_scope.cancel()
            crashed = [await verifier.look(each) for each in fatal]
            found = [await verifier.look(each) for each in neighbours]
            idle = await verifier.idle()
    whole = sum(each.is_whole for each in found)
    battery.passed(
        11,
        "detectors that take down runners of a Kafka fleet, which are started again",
        f"{deaths.total()} deaths of 2 runners, limit of {RESTARTS} restarts",
        f"all failed, after at most {max(each.attempts for each in crashed)} attempts;"
        f" {whole} of {len(found)} neighbours whole",
    )
    for each in crashed:
        assert each.outcome == "failed", each
        assert "given up after" in (each.error or "")
        assert each.attempts == RESTARTS + 1
    assert whole == len(found), found
    assert idle == 0


@pytest.mark.long
async def test_without_a_budget_it_is_tried_for_ever(
    tmp_path: Path, clips: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    deaths: Counter[int] = Counter()
    dsns = (scenarios_dsn, predictions_dsn)
    app = "tests.torture.crash.services:unlimited"
    async with one_process(tmp_path, clips, dsns, app) as (service, verifier):
        async with create_task_group() as group:
            group.start_soon(supervise, [service], deaths)
            restart = {"policy": "on_failure", "max_restarts": 0}
            fatal = await create(service, mock(ABORTS), restart=restart)

            async def tried_again_and_again() -> bool:
                return (await verifier.look(fatal)).attempts >= 4

            await until(tried_again_and_again, timeout=100, poll=0.1)
            group.cancel_scope.cancel()
        found = await verifier.look(fatal)
    battery.unguarded(
        11,
        "the budget of restarts",
        "a limit of 0 restarts",
        f"{found.attempts} attempts, still {found.state}",
    )
    assert found.state != "inactive"

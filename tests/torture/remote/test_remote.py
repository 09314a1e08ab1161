"""Real inference servers that are killed, frozen, slow, wrong or cut off: no frame is lost or stored wrong.

Two servers: Triton (binary tensors) and MLServer (JSON). Recordings are analysed one after the other while
faults are given to the server; each recording's rows must be those that the same model gave without a server.
`make torture-remote` installs the servers; without them, the tests are skipped.
"""

import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from anyio import Event, move_on_after, sleep

from app.detectors.oip.inference import decode_response
from app.detectors.remote import session
from app.detectors.remote.session import RemoteSession
from app.domain.detector_config import Onnx, Remote
from app.messages import RunFinished
from app.postgres import Database
from app.runner.run import Run
from tests.runner.runs import World, executing, spec
from tests.support import models
from tests.support.clips import marker_clip
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.torture.battery import Battery, size
from tests.torture.remote.link import Link, linked
from tests.torture.remote.servers import RealMLServer, RealServer, RealTriton, serving

FAULTS = ("killed", "frozen", "slow", "error", "nan", "wrong", "cut")
ROUNDS = size(1, 100)
FRAMES = 300
CONFIDENCE = 0.3
ANSWER_WITHIN = 1.0  # seconds
PATIENCE = 30.0  # seconds without a frame after which the server itself is looked at
CRASHED = "crashed"  # counted beside the faults

Rows = list[tuple[Any, ...]]


@pytest.fixture(params=[RealTriton, RealMLServer])
def kind(request: pytest.FixtureRequest) -> type[RealServer]:
    chosen: type[RealServer] = request.param
    if not chosen.python().exists():
        pytest.skip(f"needs {chosen.environment}, which make torture-remote sets up")
    return chosen


@pytest.fixture
async def world(predictions: Database, tmp_path: Path) -> AsyncIterator[World]:
    models.yolov8(tmp_path / "yolo.onnx", (160, 160))
    marker_clip(tmp_path / "clip.mp4", frames=FRAMES, size=(256, 192))
    world = World(predictions, tmp_path)
    yield world
    world.servers.close()


async def rows(world: World) -> Rows:
    async with world.database.connection() as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            "SELECT frame, time, labels, confidences, boxes, error FROM predictions"
            " WHERE scenario_id = $1 ORDER BY frame",
            world.scenario_id,
        )
    return [tuple(row) for row in found]


async def truth(world: World) -> Rows:
    """What the model gives here."""
    here = World(world.database, world._clips)
    await here.run(spec("clip.mp4", Onnx("yolo.onnx", CONFIDENCE))).execute()
    found = await rows(here)
    assert len(found) == FRAMES
    assert all(labels for _, _, labels, *_ in found)
    return found


async def suffer(fault: str, server: RealServer, link: Link, chance: random.Random) -> None:
    """Give the server a fault, and take it away again."""
    match fault:
        case "killed":
            server.kill()
            await sleep(chance.uniform(0, 0.5))
            await server.start()
        case "frozen":
            server.signal(signal.SIGSTOP)
            await sleep(chance.uniform(0.2, 1.5 * ANSWER_WITHIN))
            server.signal(signal.SIGCONT)
        case "cut":
            cuts = link.cuts
            link.cut_after = chance.randrange(1, 40_000)
            await until(lambda: link.cuts > cuts, timeout=30)
        case "slow" | "error" | "nan" | "wrong":
            server.do(fault)
            await sleep(chance.uniform(0.1, 1.5 * ANSWER_WITHIN))
            server.do("")


async def progress(run: Run, over: Event, server: RealServer) -> int:
    """Return when a frame was stored, or the run is over.

    A server that ended by itself, or answers nobody, is started again. Returns how often.
    """
    begun, restarts = run.next_frame, 0
    while True:
        with move_on_after(PATIENCE):
            await until(
                lambda: over.is_set() or run.next_frame > begun or not server.is_running, timeout=2 * PATIENCE
            )
        if over.is_set() or run.next_frame > begun:
            return restarts
        answers = server.is_running and await server.answers()
        assert not answers, f"the server answers, but no frame is stored: {server.log()}"
        server.kill()
        await server.start()
        restarts += 1


async def analyse(
    world: World, server: RealServer, link: Link, faults: list[str], chance: random.Random
) -> Counter[str]:
    """Analyse the recording once, with as many of the faults as there is time for, which are removed."""
    given: Counter[str] = Counter()
    remote = Remote(
        f"http://127.0.0.1:{link.port}/v2/models/yolo", timeout_seconds=ANSWER_WITHIN, confidence=CONFIDENCE
    )
    run = world.run(spec("clip.mp4", remote))
    async with executing(run) as over:
        while faults and not over.is_set():
            given[CRASHED] += await progress(run, over, server)
            if over.is_set() or run.next_frame > FRAMES - 30:
                break
            await suffer(faults[-1], server, link, chance)
            given[faults.pop()] += 1
        await until(over.is_set, timeout=120)
    assert isinstance(world.events[-1], RunFinished), world.events[-1]
    return given


@pytest.mark.timeout(size(400, 7200))
async def test_no_frame_is_lost_or_stored_wrong_whatever_the_server_does(
    kind: type[RealServer], world: World, tmp_path: Path, battery: Battery
) -> None:
    chance = random.Random(13)
    expected = await truth(world)
    faults = [fault for fault in FAULTS for _ in range(ROUNDS)]
    chance.shuffle(faults)
    given: Counter[str] = Counter()
    scenarios, wrong, lost, failed = 0, 0, 0, 0
    with serving(kind, tmp_path, tmp_path / "yolo.onnx", free_port()) as server:
        await server.start()
        async with linked(server.port) as link:
            while faults:
                each = World(world.database, tmp_path)
                each.servers = world.servers
                given += await analyse(each, server, link, faults, chance)
                scenarios += 1
                found = await rows(each)
                lost += len(expected) - len({row[0] for row in found})
                failed += sum(row[-1] is not None for row in found)
                for row in found:
                    if row not in expected:
                        wrong += 1
                        print("stored:", row, "instead of", [each for each in expected if each[0] == row[0]])
    crashes = given.pop(CRASHED, 0)
    assert given == dict.fromkeys(FAULTS, ROUNDS)
    battery.passed(
        16,
        f"faults of a real {kind.__name__.removeprefix('Real')}",
        f"{', '.join(FAULTS)}, {ROUNDS} each, over {scenarios} recordings",
        f"{lost} of {scenarios * FRAMES:,} frames lost, {wrong} stored wrong, {failed} with an error;"
        f" the server crashed {crashes} times",
    )
    assert (lost, wrong, failed) == (0, 0, 0)


def accept(body: Any, _model: Any, names: tuple[str, ...]) -> Any:
    """Read outputs, and believe them."""
    response = decode_response(body)
    arrays = {tensor.name: tensor.values for tensor in response.outputs}
    return response, [arrays[name] for name in names]


@pytest.mark.timeout(200)
async def test_the_verifier_sees_wrong_answers_that_are_believed(
    kind: type[RealServer],
    world: World,
    tmp_path: Path,
    battery: Battery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = await truth(world)
    monkeypatch.setattr(session, "read_outputs", accept)
    monkeypatch.setattr(RemoteSession, "check_shapes", lambda *_: None)
    with serving(kind, tmp_path, tmp_path / "yolo.onnx", free_port()) as server:
        await server.start()
        async with linked(server.port) as link:
            fault = "nan" if kind is RealTriton else "wrong"
            await analyse(world, server, link, 3 * [fault], random.Random(1))
    found = await rows(world)
    wrong = sum(row not in expected for row in found)
    battery.unguarded(16, "the check of outputs", f"{len(found)} frames", f"{wrong} stored wrong")
    assert wrong > 0

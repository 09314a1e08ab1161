"""Row 8: decoding that crashes, hangs, eats memory or just ends, each scenario in a process of its own.

The verifier reads both databases, and the system's account of the service's process.
"""

import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
from anyio import to_thread
from msgspec import Struct

from tests.support.ground_truth import idle_runners, make_clips
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until
from tests.torture.battery import Battery, size
from tests.torture.decoder.fragile_decoder import FRAME

pytestmark = [
    pytest.mark.timeout(size(240, 1800)),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's memory"),
]

REASONS = {
    "crashes": "segmentation fault",
    "aborts": "aborted",
    "hangs": "was stuck",
    "eats": "MemoryError",
    "quits": "ended before its source did",
}
ROUNDS, NEIGHBOURS, FRAMES = size(1, 10), 2, 900
ALL = {"mode": "all"}


class Findings(Struct):
    """What the databases say of the scenarios beside faulty ones, and of those. `told` maps sources to
    how they ended; `idle` runners get nothing more, as if somebody had asked them to leave."""

    frames: int = 0
    missing: int = 0
    doubled: int = 0
    unfinished: int = 0
    restarted: int = 0
    idle: int = 0
    told: list[tuple[str, str | None]] = []
    most_attempts: int = 0

    def __str__(self) -> str:
        return (
            f"{self.missing:,} missing, {self.doubled:,} doubled of {self.frames:,} frames; neighbours:"
            f" {self.unfinished} unfinished, {self.restarted} restarted; {self.idle} runners idle"
        )


async def verify(scenarios_dsn: str, predictions_dsn: str) -> Findings:
    """Compare what is stored with what each clip holds, while the service runs or has died."""
    found = Findings()
    scenarios, predictions = await asyncpg.connect(scenarios_dsn), await asyncpg.connect(predictions_dsn)
    try:
        found.idle = await idle_runners(scenarios)
        for row in await scenarios.fetch("SELECT id, spec::jsonb ->> 'source' AS source, * FROM scenarios"):
            name = Path(row["source"]).stem
            is_faulty = name in REASONS
            stored = await predictions.fetch(
                "SELECT frame FROM predictions WHERE scenario_id = $1", row["id"]
            )
            frames = [each["frame"] for each in stored]
            expected = set(range(FRAME if is_faulty else FRAMES))
            found.frames += len(expected)
            found.missing += len(expected - set(frames))
            found.doubled += len(frames) - len(set(frames))
            if is_faulty:
                found.told.append((name, row["error"] if row["outcome"] == "failed" else None))
                found.most_attempts = max(found.most_attempts, row["attempt"])
            else:
                found.unfinished += row["outcome"] != "completed"
                found.restarted += row["attempt"] != 1
    finally:
        await scenarios.close()
        await predictions.close()
    return found


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_clips(tmp_path_factory.mktemp("clips"), FRAMES)
    for name in REASONS:
        (folder / f"{name}.mp4").symlink_to(folder / f"{FRAMES}.mp4")
    return folder


@asynccontextmanager
async def fragile(
    folder: Path,
    clips: Path,
    scenarios_dsn: str,
    predictions_dsn: str,
    decoding: str,
    app: str = "tests.torture.decoder.services:fragile",
) -> AsyncIterator[ServiceProcess]:
    """A service whose decoding fails."""
    async with running(
        folder,
        app=app,
        media_root=clips,
        scenarios_dsn=scenarios_dsn,
        predictions_dsn=predictions_dsn,
        decoding=decoding,
        runner_slots=16,
    ) as service:
        yield service


async def start(service: ServiceProcess, name: str) -> str:
    restart = {"policy": "on_failure", "max_restarts": 0}
    return await service.create(f"{name}.mp4", {"type": "marker"}, sampling=ALL, restart=restart)


def peak_memory(service: ServiceProcess) -> int:
    """The most that the service's own process ever had of memory, in MiB."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) // 1024


async def test_what_decoding_does_wrong_costs_its_scenario_alone(
    tmp_path: Path, clips: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    async with fragile(tmp_path, clips, scenarios_dsn, predictions_dsn, "process") as service:
        for _ in range(ROUNDS):
            ids = [await start(service, name) for name in [*[str(FRAMES)] * NEIGHBOURS, *REASONS]]
            for scenario_id in ids:
                await service.ends(scenario_id, timeout=200)
        memory = peak_memory(service)
        await until(lambda: not psutil.Process(service.process.pid).children(recursive=True))
        found = await verify(scenarios_dsn, predictions_dsn)
    battery.passed(
        8,
        "decoding that crashes, aborts, hangs, eats memory or just ends, with `VA_DECODING=process`",
        f"{len(found.told)} faulty scenarios beside {NEIGHBOURS * ROUNDS} others",
        f"{found}; the service's own memory at most {memory} MiB",
    )
    assert (found.missing, found.doubled, found.unfinished, found.restarted) == (0, 0, 0, 0), found
    assert found.idle == 0, found
    assert len(found.told) == ROUNDS * len(REASONS)
    assert [told for told in found.told if REASONS[told[0]] not in (told[1] or "")] == []
    assert found.most_attempts <= 2  # the first stored something
    assert memory < 1024


@pytest.mark.long
async def test_with_threads_the_verifier_sees_the_service_and_its_neighbours_die(
    tmp_path: Path, clips: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    async with fragile(tmp_path, clips, scenarios_dsn, predictions_dsn, "thread") as service:
        neighbour = await start(service, str(FRAMES))
        await service.reaches(neighbour, "active")
        with suppress(httpx.TransportError, AssertionError):
            await start(service, "crashes")
        await until(lambda: service.process.poll() is not None, timeout=60)
        code = service.process.returncode
    found = await verify(scenarios_dsn, predictions_dsn)
    battery.unguarded(
        8, "a process for each decoder", "1 crash", f"the service died of signal {-code}; {found}"
    )
    assert code == -signal.SIGSEGV
    assert found.unfinished == 1
    assert found.missing > 0


@pytest.mark.long
async def test_the_verifier_sees_a_runner_idle_where_a_run_that_just_ended_counts_as_given_back(
    tmp_path: Path, clips: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    app = "tests.torture.decoder.services:releasing"
    async with fragile(tmp_path, clips, scenarios_dsn, predictions_dsn, "process", app) as service:
        await start(service, "quits")

        async def is_idle() -> bool:
            return (await verify(scenarios_dsn, predictions_dsn)).idle > 0

        await until(is_idle, timeout=60)
        found = await verify(scenarios_dsn, predictions_dsn)
    battery.unguarded(8, "failing runs that just ended", "1 run", str(found))
    assert found.idle == 1


async def test_a_shutdown_takes_decoders_along_even_frozen_ones(
    tmp_path: Path, clips: Path, scenarios_dsn: str, predictions_dsn: str
) -> None:
    async with fragile(tmp_path, clips, scenarios_dsn, predictions_dsn, "process") as service:
        for live in ("true", "false"):
            source = f"test:testsrc2?size=64x36&rate=50&duration=86400&live={live}"
            scenario_id = await service.create(source, {"type": "mock"}, sampling=ALL)
            await service.reaches(scenario_id, "active", timeout=60)
        decoders = psutil.Process(service.process.pid).children()
        assert len(decoders) == 2
        decoders[0].send_signal(signal.SIGSTOP)
        began = time.monotonic()
        await to_thread.run_sync(service.terminate)
        assert time.monotonic() - began < 10
        await until(lambda: not any(map(is_alive, decoders)))


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs still: one that has ended may wait for somebody to ask how."""
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)

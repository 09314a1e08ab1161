"""Scenarios created, run and finished per second, compared with pgbench making the same changes.

A scenario is a recording of one frame with the `mock` detector. The process that runs the orchestrator and
the runner publishes CreateScenario on the bus, with at most IN_FLIGHT scenarios unfinished. The databases are
on the embedded server with its usual settings, so every commit is on disk. pgbench sends the same server what
such a scenario writes, one transaction per decision (lifecycles.sql), from as many clients as the service has
connections to a database. pgbench sends no notifications, because they change no rows.
"""

import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, redirect_stderr
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import anyio
import numpy as np
from anyio import CapacityLimiter, Event, create_task_group, to_thread

from app import logs
from app.bus import Bus
from app.bus.delivery import RetryPolicy
from app.bus.kafka.bus import open_kafka_bus
from app.bus.memory import open_memory_bus
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Mock
from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.spec import ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import CreateScenario, Instance, orchestrator_commands
from app.orchestrator import run_orchestrator
from app.orchestrator.leases import LeaseTiming
from app.postgres import TRANSIENT, Database, migrate, open_planned_once
from app.postgres.embedded.account import Account
from app.postgres.embedded.binaries import find_binaries
from app.postgres.embedded.server import EmbeddedServer, embedded_server
from app.runner.context import RunContext
from app.runner.frames.workers import WorkerLanes, Workers
from app.runner.service import Runner
from benchmarks.table import Row, alternate, at_least, command
from tests.support.clips import encode
from tests.support.kafka import any_broker
from tests.support.waiting import until

SCENARIOS = 500
IN_FLIGHT = 64
SLOTS = 16
CLIENTS = 10
PGBENCH_SECONDS = 3
PARTS = ("scenarios", "predictions")
SPEC = ScenarioSpec("frame.mp4", Mock(seed=1), sampling=EveryFrame())


async def through_the_service(folder: Path, server: EmbeddedServer, kind: str, broker: str | None) -> float:
    """Return the scenarios per second of a warm service, from the first command to the last end."""
    async with AsyncExitStack() as stack:
        names = [f"{kind}_{part}" for part in PARTS]
        scenarios, predictions = [
            await stack.enter_async_context(_database(open_planned_once(server.dsn(name)))) for name in names
        ]
        bus: Bus
        if broker is None:
            bus = await stack.enter_async_context(open_memory_bus(RetryPolicy(transient=TRANSIENT)))
        else:
            bus = await stack.enter_async_context(open_kafka_bus([broker], RetryPolicy(transient=TRANSIENT)))
        group = await stack.enter_async_context(create_task_group())
        stack.callback(group.cancel_scope.cancel)
        dsn = server.dsn(names[0])
        await group.start(partial(run_orchestrator, dsn, scenarios, bus, LeaseTiming(), alone=broker is None))
        workers = WorkerLanes(Workers(os.cpu_count() or 1))
        context = RunContext(predictions, folder, ModelCache(folder), Networks(""), workers)
        runner = Runner(Instance("bench", uuid4()), SLOTS, bus, context, heartbeat_interval=1.0)
        await group.start(partial(runner.run, Event()))
        await _all_end(scenarios, bus, IN_FLIGHT)
        began = time.perf_counter()
        await _all_end(scenarios, bus, SCENARIOS)
        return SCENARIOS / (time.perf_counter() - began)


@asynccontextmanager
async def _database(opened: AbstractAsyncContextManager[Database]) -> AsyncGenerator[Database, None]:
    async with opened as database, create_task_group() as group:
        group.start_soon(database.watch)
        yield database
        group.cancel_scope.cancel()


async def _all_end(scenarios: Database, bus: Bus, count: int) -> None:
    """Create `count` scenarios, and return when all have completed."""
    limit = CapacityLimiter(IN_FLIGHT)

    async def create() -> None:
        async with limit:
            scenario_id = uuid4()
            new = CreateScenario(uuid4(), scenario_id, encode_spec(SPEC))
            await bus.publish(orchestrator_commands, new, str(scenario_id))

    async def completed() -> int:
        async with scenarios.connection() as connection:
            sql = "SELECT count(*) FROM scenarios WHERE outcome = 'completed'"
            number: int = await connection.fetchval(sql)
        return number

    wanted = await completed() + count

    async def all_have() -> bool:
        return await completed() == wanted

    async with create_task_group() as group:
        for _ in range(count):
            group.start_soon(create)
    await until(all_have, timeout=60, poll=0.02)


async def pgbench(folder: Path, server: EmbeddedServer) -> float:
    """Return the scenarios per second that pgbench writes."""
    programs = find_binaries(None, Account.for_data(folder / "data"))
    address = parse_qs(urlsplit(server.dsn("bench")).query)
    command = [
        str(programs / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", "--jobs=2",
        f"--time={PGBENCH_SECONDS}", f"--file={Path(__file__).with_suffix('.sql')}",
        f"--host={address['host'][0]}", f"--port={address['port'][0]}", "--username=postgres", "bench",
    ]  # fmt: skip
    run = partial(subprocess.run, command, check=True, capture_output=True, text=True)
    answer = await to_thread.run_sync(run)
    return next(float(line.split()[2]) for line in answer.stdout.splitlines() if line.startswith("tps = "))


async def measure(rounds: int) -> list[Row]:
    """Alternate between in-memory bus, Kafka and pgbench, on the service's event loop."""
    return await to_thread.run_sync(_measure, rounds)


def _measure(rounds: int) -> list[Row]:
    sys.setswitchinterval(0.0005)  # as app.process does
    with any_broker() as broker, Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        logs.configure("text", "info")  # as by default, and nobody reads it
        work = partial(_take_turns, rounds, broker)
        return anyio.run(work, backend_options={"use_uvloop": True})


async def _take_turns(rounds: int, broker: str) -> list[Row]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        encode(folder / "frame.mp4", [np.zeros((64, 64), np.uint8)])
        packages = {f"{kind}_{part}": part for kind in ("memory", "kafka") for part in PARTS}
        async with embedded_server(folder / "postgres", databases=[*packages, "bench"]) as server:
            for database, part in [*packages.items(), *(("bench", part) for part in PARTS)]:
                await migrate(server.dsn(database), f"app.{part}")
            memory, kafka, reference = await alternate(
                rounds,
                partial(through_the_service, folder, server, "memory", None),
                partial(through_the_service, folder, server, "kafka", broker),
                partial(pgbench, folder / "postgres", server),
            )
    title = f"scenarios of one frame, {SLOTS} slots,"
    return [
        Row("7", f"{title} memory bus", "scenarios/s", memory, reference, at_least(0.50)),
        Row("7", f"{title} Kafka", "scenarios/s", kafka, reference, at_least(0.35)),
    ]


if __name__ == "__main__":
    command(__doc__, measure)

"""The orchestrator: drives every scenario through its lifecycle."""

from functools import partial
from pathlib import Path

from anyio import TASK_STATUS_IGNORED, create_task_group
from anyio.abc import TaskStatus

from ..bus import Bus
from ..concurrency.micro_batching import MicroBatcher, none_if_it_fails
from ..messages import (
    ORCHESTRATOR,
    CreateScenario,
    Message,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    orchestrator_commands,
    runner_events,
    scenario_changes,
)
from ..postgres import Database
from .batches.keeper import ScanTiming
from .handlers import create_scenarios, handle_command, handle_event, handle_run_events
from .leader import Leader
from .leases import LeaseTiming

# These events come with every scenario and are handled in batches. The others are rare.
_FREQUENT = RunStarted | RunStopped | RunFinished | RunFailed


async def run_orchestrator(
    dsn: str,
    database: Database,
    bus: Bus,
    timing: LeaseTiming,
    *,
    alone: bool,
    media_root: Path = Path("media"),
    scan_timing: ScanTiming | None = None,
    task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    """Handle commands and events, and lead or wait to lead, until cancelled.

    `dsn` and `database` are the scenarios database. `alone`: no other process may use it.
    `media_root` is the folder in which batches find their files.
    """
    creations = MicroBatcher(none_if_it_fails(partial(create_scenarios, database)))
    run_events = MicroBatcher(none_if_it_fails(partial(handle_run_events, database)))
    leader = Leader(
        dsn,
        database,
        bus,
        timing,
        alone=alone,
        media_root=media_root,
        scan_timing=scan_timing or ScanTiming(),
    )

    async def on_command(message: Message) -> None:
        is_plain = isinstance(message, CreateScenario) and message.is_plain
        if not (is_plain and await creations.ask(message)):
            await handle_command(database, message)
        leader.signals.after_message(message)

    async def on_event(message: Message) -> None:
        if not (isinstance(message, _FREQUENT) and await run_events.ask(message)):
            await handle_event(database, message)
        leader.signals.after_message(message)

    async with create_task_group() as group:
        await group.start(leader.run)
        for topic, handle in (
            (orchestrator_commands, on_command),
            (scenario_changes, on_command),
            (runner_events, on_event),
        ):
            await group.start(partial(bus.consume, topic, handle, group=ORCHESTRATOR))
        task_status.started()

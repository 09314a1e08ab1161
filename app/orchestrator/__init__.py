"""The orchestrator: drives every scenario through its lifecycle."""

from functools import partial

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
)
from ..postgres import Database
from .handlers import create_all, handle_command, handle_event, take_all
from .leader import Leader, Timing

# What one scenario needs at least is done for many at once; the rest is rare.
_FREQUENT = RunStarted | RunStopped | RunFinished | RunFailed


async def run_orchestrator(
    dsn: str,
    database: Database,
    bus: Bus,
    timing: Timing,
    *,
    alone: bool,
    task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    """Handle commands and events, and lead or wait to lead, until cancelled.

    `dsn` and `database` are the scenarios database. `alone` says that no other process may use it.
    """
    async with create_task_group() as group:
        leader = Leader(dsn, database, bus, timing, alone=alone)
        await group.start(leader.run)

        creations = MicroBatcher(none_if_it_fails(partial(create_all, database)))
        events = MicroBatcher(none_if_it_fails(partial(take_all, database)))

        async def on_command(message: Message) -> None:
            if not (isinstance(message, CreateScenario) and await creations.ask(message)):
                await handle_command(database, message)
            leader.note_move(message)

        async def on_event(message: Message) -> None:
            if not (isinstance(message, _FREQUENT) and await events.ask(message)):
                await handle_event(database, message)
            leader.note_move(message)

        for topic, handle in ((orchestrator_commands, on_command), (runner_events, on_event)):
            await group.start(partial(bus.consume, topic, handle, group=ORCHESTRATOR))
        task_status.started()

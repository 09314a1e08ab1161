"""A runner: takes the runs that are dispatched to it, and reports which it holds and how they end."""

from functools import partial
from uuid import UUID

import structlog
from anyio import (
    TASK_STATUS_IGNORED,
    Event,
    create_memory_object_stream,
    create_task_group,
    move_on_after,
    sleep,
    to_thread,
)
from anyio.abc import TaskGroup, TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from structlog.contextvars import bind_contextvars

from ..bus import Bus, BusUnavailableError
from ..concurrency.wake import Wake
from ..domain.features import FEATURES
from ..domain.redaction import redact
from ..messages import (
    RESULTS,
    Instance,
    Message,
    RunEvent,
    RunFailed,
    RunnerHeartbeat,
    RunnerLeaving,
    RunReport,
    StartRun,
    StopRun,
    Topic,
    results_changes,
    results_commands,
    runner_commands,
    runner_events,
    runner_heartbeats,
)
from . import metrics
from .cleanup.abandoned_events import settle_abandoned
from .cleanup.dates import Dates
from .cleanup.evidence_cap import bound_evidence
from .cleanup.old_deliveries import bound_deliveries
from .cleanup.old_stream_entries import remove_old_entries
from .cleanup.purge import Purge
from .cleanup.retention import remove_old
from .context import RunContext
from .live_pictures import publish_live_pictures
from .run import Run
from .storing.backfill import fill_timelines
from .storing.shared_statements import SharedStatements

log = structlog.get_logger(__name__)

_FEATURES = tuple(sorted(FEATURES))

DRAIN_SECONDS = 5.0
"""Seconds that a leaving runner waits for its runs to store the frames that they have."""


class Runner:
    """Holds runs by (scenario, attempt), each until its end was published."""

    def __init__(
        self,
        instance: Instance,
        slots: int,
        bus: Bus,
        context: RunContext,
        *,
        heartbeat_interval: float,
        live_retention_days: float | None = None,
        max_evidence: int = 10**10,
    ) -> None:
        """`max_evidence`: bytes that the pictures of events of all scenarios may have."""
        self._instance = instance
        self._slots = slots
        self._bus = bus
        self._context = context
        self._interval = heartbeat_interval
        self._retention = live_retention_days
        self._max_evidence = max_evidence
        self._runs: dict[tuple[UUID, int], Run] = {}
        self._is_leaving = False
        self._report = Wake()
        self._shared = SharedStatements(context.database)
        self._none_left = Event()

    async def run(self, leave: Event, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Execute the runs that are dispatched until `leave` is set; then release every run, and return."""
        purge = Purge(self._context.database)
        dates = Dates(self._context.database)
        async with create_task_group() as group:
            handle = partial(self._handle, group)
            await group.start(partial(self._bus.consume, runner_commands, handle))
            await group.start(partial(self._bus.consume, results_commands, purge.handle, group=RESULTS))
            await group.start(partial(self._bus.consume, results_changes, dates.handle, group=RESULTS))
            group.start_soon(purge.run)
            group.start_soon(dates.run)
            group.start_soon(bound_deliveries, self._context.database)
            group.start_soon(publish_live_pictures, self._context.database, self._context.live)
            group.start_soon(settle_abandoned, self._context.database)
            group.start_soon(bound_evidence, self._context.database, self._max_evidence)
            group.start_soon(remove_old_entries, self._context.database)
            group.start_soon(fill_timelines, self._context.database)
            if self._retention is not None:
                group.start_soon(remove_old, self._context.database, self._retention)
            group.start_soon(self._beat)
            task_status.started()
            await leave.wait()
            await self._leave()
            group.cancel_scope.cancel()
        await to_thread.run_sync(self._context.servers.close)

    @property
    def held(self) -> list[tuple[UUID, int]]:
        """The runs that it holds: scenario and attempt."""
        return list(self._runs)

    async def _leave(self) -> None:
        self._is_leaving = True
        log.info("leaving", runs=len(self._runs))
        for run in self._runs.values():
            run.stop("release")
        self._shared.hurry()
        with move_on_after(DRAIN_SECONDS) as deadline:
            leaving = RunnerLeaving(self._instance)
            await self._publish(runner_events, leaving, self._instance.runner_id)
            if self._runs:
                await self._none_left.wait()
        if deadline.cancelled_caught:
            log.warning("left with runs that did not end: their leases will expire", runs=len(self._runs))

    async def _beat(self) -> None:
        while True:
            runs = tuple(
                RunReport(scenario_id, attempt, run.next_frame)
                for (scenario_id, attempt), run in self._runs.items()
            )
            backend = self._context.models.backend
            beat = RunnerHeartbeat(
                self._instance, self._slots, runs, _FEATURES, backend.name, backend.precision or None
            )
            try:
                await self._bus.publish(runner_heartbeats, beat, self._instance.runner_id)
            except BusUnavailableError as error:  # the next one tells what is true by then
                log.warning("cannot send a heartbeat", error=str(error))
            await self._report.wait(self._interval)

    async def _handle(self, group: TaskGroup, message: Message) -> None:
        assert isinstance(message, StartRun | StopRun)  # noqa: S101 - the topic has no other messages
        if message.instance != self._instance:
            return
        key = (message.scenario_id, message.attempt)
        if isinstance(message, StopRun):
            if key in self._runs:
                self._runs[key].stop("stop")
                self._shared.hurry()
        elif key not in self._runs:
            # That it started, that its source changed, and how it ended.
            send, events = create_memory_object_stream[RunEvent](3)
            run = Run(
                message,
                self._context,
                send.send_nowait,
                self._report.set,
                self._shared,
                may_emit=lambda: not events.statistics().current_buffer_used,
                # Beside so many others it gets no core of its own, so short recordings are stored as one.
                is_patient=len(self._runs) >= self._context.workers.cores.count,
            )
            if self._is_leaving:
                run.stop("release")
            self._runs[key] = run
            metrics.RUNS.set(len(self._runs))
            group.start_soon(self._hold, message, run, send, events)

    async def _hold(
        self,
        command: StartRun,
        run: Run,
        send: MemoryObjectSendStream[RunEvent],
        events: MemoryObjectReceiveStream[RunEvent],
    ) -> None:
        bind_contextvars(
            scenario=str(command.scenario_id), attempt=command.attempt, runner=self._instance.runner_id
        )
        try:
            async with create_task_group() as group:
                group.start_soon(self._publish_all, events)
                with send:
                    await self._execute(command, run, send)
        finally:
            del self._runs[command.scenario_id, command.attempt]
            metrics.RUNS.set(len(self._runs))
            if self._is_leaving and not self._runs:
                self._none_left.set()

    async def _execute(self, command: StartRun, run: Run, send: MemoryObjectSendStream[RunEvent]) -> None:
        try:
            await run.execute()
        except Exception as fault:  # a bug of ours costs this run alone
            log.exception("run failed")
            error = redact(f"internal error of the runner, see its log: {fault!r}")
            send.send_nowait(
                RunFailed(command.scenario_id, command.attempt, run.next_frame, error=error, retryable=True)
            )

    async def _publish_all(self, events: MemoryObjectReceiveStream[RunEvent]) -> None:
        with events:
            async for event in events:
                await self._publish(runner_events, event, str(event.scenario_id))

    async def _publish(self, topic: Topic, message: Message, key: str) -> None:
        while True:
            try:
                return await self._bus.publish(topic, message, key)
            except BusUnavailableError as error:
                log.warning("cannot publish yet", topic=topic.name, error=str(error))
                await sleep(1)

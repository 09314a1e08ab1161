"""Have files analysed, some at a time, and see how each ends."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal, Protocol, TypeVar
from uuid import UUID, uuid4

import structlog
from anyio import create_task_group, sleep, to_thread
from asyncpg import Record
from msgspec import Struct

from ...api import ApiOptions
from ...api.commands import send_command
from ...api.http.problems import UNAVAILABLE, ProblemError
from ...api.new_scenario import creation_of
from ...api.options import ApiDeps
from ...api.queries.scenarios import Scenario, find_scenario, find_unended, with_space_reason
from ...domain.states import State
from ...messages import OrchestratorCommand, StartScenario, StopScenario
from ...postgres import TRANSIENT
from .plan import Plan, PlanError
from .recordings import RecordedFile

log = structlog.get_logger(__name__)

T = TypeVar("T")

_POLL = 0.2  # seconds
_MORE_THAN_SLOTS = 2  # scenarios that wait, so that a free slot has the next one at once
_PATIENCE = 30.0  # seconds for a command to be handled: nobody waits for an answer over HTTP
_ALL = 1_000_000

Ending = Literal["completed", "failed"]


class AnalysedFile(Struct, frozen=True):
    """How a file ended. `was_done`: an earlier command had analysed it. `error`: why it failed."""

    recording: RecordedFile
    ending: Ending
    scenario: Scenario | None = None
    error: str | None = None
    was_done: bool = False


class ProgressShown(Protocol):
    """What is told while files are analysed."""

    def note(self, text: str) -> None:
        """Show a sentence."""

    def update(self, recording: RecordedFile, scenario: Scenario) -> None:
        """Show how far a file is."""

    def end(self, file: AnalysedFile) -> None:
        """Show how a file ended."""


class _Running(Struct):
    """A file that is being analysed. `after`: the attempt that had ended before this command."""

    recording: RecordedFile
    id: UUID
    after: int = 0


class FileAnalysis:
    """Analyses files by one plan."""

    def __init__(self, deps: ApiDeps, plan: Plan, slots: int, progress: ProgressShown) -> None:
        self._deps = deps
        self._options = ApiOptions(version="", publish_wait=_PATIENCE, command_wait=_PATIENCE)
        self._plan = plan
        self._at_once = slots + _MORE_THAN_SLOTS
        self._progress = progress
        self._ended: dict[RecordedFile, AnalysedFile] = {}
        self._running: dict[UUID, _Running] = {}

    async def run(self, recordings: Sequence[RecordedFile]) -> list[AnalysedFile]:
        """Return how each file ended, in their order."""
        await self._stop_others()
        waiting = deque(recordings)
        while waiting or self._running:
            while waiting and len(self._running) < self._at_once:
                await self._begin(waiting.popleft())
            async with create_task_group() as group:
                for each in list(self._running.values()):
                    group.start_soon(self._look, each)
            if self._running:
                await sleep(_POLL)
        return [self._ended[each] for each in recordings]

    async def _stop_others(self) -> None:
        """Stop what another command has left unfinished, because it would go on beside this one's files.

        Of this command's own files, those are started again when it is their turn.
        """
        left = await self._unended(_ALL)
        if left:
            self._progress.note("An earlier command was interrupted: its runs are ended first.")
        for row in left:
            await self._send(StopScenario(uuid4(), row["id"]))
        while await self._unended(1):  # noqa: ASYNC110  nothing tells of it in this process
            await sleep(_POLL)

    async def _begin(self, recording: RecordedFile) -> None:
        """Create or start the scenario of a file, unless it has been analysed."""
        try:
            scenario_id, new = await to_thread.run_sync(self._plan.of, recording)
        except PlanError as error:
            return self._end(AnalysedFile(recording, "failed", error=str(error)))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            return self._end(AnalysedFile(recording, "failed", error=f"It cannot be read: {reason}."))
        known = await self._find(scenario_id)
        if known is not None and known.outcome == "completed":
            return self._end(AnalysedFile(recording, "completed", known, was_done=True))
        try:
            if known is None:
                await self._send(creation_of(new, scenario_id))
            else:
                await self._send(StartScenario(uuid4(), scenario_id))
        except ProblemError as error:
            return self._end(AnalysedFile(recording, "failed", known, str(error)))
        self._running[scenario_id] = _Running(recording, scenario_id, known.attempt if known else 0)
        return None

    async def _look(self, running: _Running) -> None:
        scenario = await self._find(running.id)
        if scenario is None or scenario.attempt <= running.after:  # the command waits to be handled
            return
        if scenario.state != State.INACTIVE:  # a text, as it is stored
            self._progress.update(running.recording, scenario)
            return
        del self._running[running.id]
        if scenario.outcome == "completed":
            self._end(AnalysedFile(running.recording, "completed", scenario))
        else:
            self._end(AnalysedFile(running.recording, "failed", scenario, _reason(running, scenario)))

    def _end(self, file: AnalysedFile) -> None:
        self._ended[file.recording] = file
        self._progress.end(file)

    async def _find(self, scenario_id: UUID) -> Scenario | None:
        deps, timeout = self._deps, self._options.heartbeat_timeout
        scenario = await until_answered(
            partial(find_scenario, deps.scenarios, deps.predictions, scenario_id, timeout)
        )
        return None if scenario is None else with_space_reason(scenario, deps.full_since())

    async def _unended(self, most: int) -> list[Record]:
        return await until_answered(partial(find_unended, self._deps.scenarios, most))

    async def _send(self, command: OrchestratorCommand) -> None:
        """Send a command, which may take effect later. Raises ProblemError if it is refused."""
        await until_answered(partial(send_command, self._deps, self._options, command, ""))


def _reason(running: _Running, scenario: Scenario) -> str:
    """Return why a file failed, as a sentence that names it as the user did."""
    text = (scenario.error or "it was stopped").rstrip(".").replace(scenario.source, running.recording.shown)
    return f"{text}." if text.startswith(running.recording.shown) else f"{text[:1].upper()}{text[1:]}."


async def until_answered(work: Callable[[], Awaitable[T]]) -> T:
    """Return what `work` returns, once the database answers: if its server ended, it is started again."""
    while True:
        try:
            return await work()
        except ProblemError as error:
            if error.problem.status != UNAVAILABLE.status:
                raise
        except TRANSIENT as error:
            log.warning("waiting for the database", error=repr(error))
        await sleep(1)

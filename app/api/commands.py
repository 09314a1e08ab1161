"""Send commands to the orchestrator, and wait a little for their results."""

from uuid import UUID

import structlog
from anyio import CancelScope, current_time, fail_after, sleep
from msgspec import Struct

from ..bus import BusUnavailableError
from ..messages import BatchCommand, CreateScenario, OrchestratorCommand, subject_of, topic_of
from ..postgres import TRANSIENT
from .http.problems import (
    BATCH_CONFLICT,
    CONFLICT,
    MISMATCH,
    NOT_FOUND,
    ProblemError,
    no_batch,
    no_scenario,
    unavailable,
)
from .options import ApiDeps, ApiOptions
from .queries.commands import CommandResult, find_command_result

log = structlog.get_logger(__name__)


class Accepted(Struct, frozen=True):
    """The command is safe and will be handled."""

    id: UUID
    detail: str


_FIRST_PAUSE, _MAX_PAUSE = 0.02, 0.2  # seconds between queries for the result, growing


async def send_command(deps: ApiDeps, options: ApiOptions, command: OrchestratorCommand, repeat: str) -> bool:
    """Publish a command, and return whether it was done in time; if not, it is safe and will be handled.

    `repeat` tells the user how to repeat the request. Raises ProblemError: 503 if the command may be lost;
    404, 409 or 422 if the orchestrator refused it.
    """
    started = current_time()
    try:
        with fail_after(options.publish_wait):
            await deps.bus.publish(topic_of(command), command, key=str(subject_of(command)))
    except (TimeoutError, BusUnavailableError) as error:
        log.warning("command not published", subject=str(subject_of(command)), error=repr(error))
        detail = f"The command may not have been received. {repeat}"
        raise unavailable(detail, scenario_id=_scenario_of(command)) from error
    with CancelScope(deadline=max(started + options.command_wait, current_time() + _MAX_PAUSE)):
        _raise_if_refused(await _result(deps, command), command)
        return True
    return False


async def _result(deps: ApiDeps, command: OrchestratorCommand) -> CommandResult:
    pause = _FIRST_PAUSE
    while True:
        try:
            if result := await find_command_result(deps.scenarios, command.command_id):
                return result
        except TRANSIENT as error:  # the command is safe, whether its result can be read or not
            log.warning("cannot read the result of a command", error=repr(error))
        await sleep(pause)
        pause = min(pause * 1.5, _MAX_PAUSE)


def _raise_if_refused(result: CommandResult, command: OrchestratorCommand) -> None:
    match result.answer:
        case "conflict":
            kind = BATCH_CONFLICT if isinstance(command, BatchCommand) else CONFLICT
            raise ProblemError(kind, result.detail, scenario_id=_scenario_of(command))
        case "mismatch":
            raise ProblemError(MISMATCH, result.detail, scenario_id=_scenario_of(command))
        case "unknown" if isinstance(command, CreateScenario):
            field = "replaces" if "`replaces`" in result.detail else "source"
            raise ProblemError(NOT_FOUND, result.detail, field=field)
        case "unknown":
            is_batch = isinstance(command, BatchCommand)
            raise (no_batch if is_batch else no_scenario)(subject_of(command))


def _scenario_of(command: OrchestratorCommand) -> UUID | None:
    return None if isinstance(command, BatchCommand) else command.scenario_id

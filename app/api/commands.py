"""Commands to the orchestrator: published, then their answers waited for."""

import structlog
from anyio import CancelScope, current_time, fail_after, sleep
from asyncpg import Record

from ..bus import BusUnavailableError
from ..messages import OrchestratorCommand, orchestrator_commands
from ..postgres import TRANSIENT
from .http.problems import CONFLICT, MISMATCH, ProblemError, no_scenario, unavailable
from .options import ApiDeps, ApiOptions

log = structlog.get_logger(__name__)

_FIRST_LOOK, _LAST_LOOK = 0.02, 0.2  # seconds between looks for the answer, growing


async def send_command(deps: ApiDeps, options: ApiOptions, command: OrchestratorCommand, repeat: str) -> bool:
    """Publish a command and wait a little: True once it was done, False where it is safe but not done yet.

    `repeat` tells the user how to repeat the request. Raises ProblemError: 503 where it may have been lost,
    404, 409 or 422 where the orchestrator refused it.
    """
    began = current_time()
    try:
        with fail_after(options.publish_wait):
            await deps.bus.publish(orchestrator_commands, command, key=str(command.scenario_id))
    except (TimeoutError, BusUnavailableError) as error:
        log.warning("command not published", scenario=str(command.scenario_id), error=repr(error))
        detail = f"The command may not have been received. {repeat}"
        raise unavailable(detail, scenario_id=command.scenario_id) from error
    with CancelScope(deadline=max(began + options.command_wait, current_time() + _LAST_LOOK)):
        return _judge(await _answer(deps, command), command)
    return False


async def _answer(deps: ApiDeps, command: OrchestratorCommand) -> Record:
    sql = "SELECT answer, detail FROM handled_commands WHERE command_id = $1"
    pause = _FIRST_LOOK
    while True:
        try:
            async with deps.scenarios.connection() as connection:
                if row := await connection.fetchrow(sql, command.command_id):
                    return row
        except TRANSIENT as error:  # the command is safe all the same
            log.warning("cannot look for a command's answer", error=repr(error))
        await sleep(pause)
        pause = min(pause * 1.5, _LAST_LOOK)


def _judge(answer: Record, command: OrchestratorCommand) -> bool:
    match answer["answer"]:
        case "conflict":
            raise ProblemError(CONFLICT, answer["detail"], scenario_id=command.scenario_id)
        case "mismatch":
            raise ProblemError(MISMATCH, answer["detail"], scenario_id=command.scenario_id)
        case "unknown":
            raise no_scenario(command.scenario_id)
    return True

"""What became of commands that were sent to the orchestrator."""

from uuid import UUID

from msgspec import Struct

from ...postgres import Database
from ...scenarios.command_answer import CommandAnswer


class CommandResult(Struct, frozen=True):
    """How the orchestrator answered a command. `detail` says why it was not done."""

    answer: CommandAnswer
    detail: str


async def find_command_result(scenarios: Database, command_id: UUID) -> CommandResult | None:
    """Return the result of a command, or None if it is not handled yet."""
    sql = "SELECT answer, detail FROM handled_commands WHERE command_id = $1"
    async with scenarios.connection() as connection:
        row = await connection.fetchrow(sql, command_id)
    return None if row is None else CommandResult(*row)

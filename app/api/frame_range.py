"""Where the frames of a scenario are stored: with itself, or with the one whose footage it asks."""

from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from .http.problems import GONE, ProblemError
from .options import ApiDeps
from .queries.footage import asked_scenario, find_footage
from .queries.predictions import MAX_FRAME
from .queries.scenarios import exists

FOOTAGE_GONE = "The scenario whose footage this one asks was deleted, and its predictions with it."


class FrameRange(Struct, frozen=True):
    """The frames `first` to `end`, exclusive, of a scenario.

    `is_dated`: whether their times are Unix time; None: if the scenario's own source is live.
    """

    scenario_id: UUID
    first: int = 0
    end: int = MAX_FRAME
    is_dated: bool | None = None


async def locate_frames(deps: ApiDeps, row: Record) -> FrameRange:
    """Return the frames of a row of scenarios (id, spec); none while it is not known which it asks.

    Raises ProblemError (410) if they were deleted.
    """
    asked = asked_scenario(row)
    if asked is None:
        return FrameRange(row["id"])
    if not await exists(deps.scenarios, asked):
        raise ProblemError(GONE, FOOTAGE_GONE, scenario_id=asked)
    footage = await find_footage(deps.predictions, row["id"])
    if footage is None:
        return FrameRange(asked, 0, 0)
    return FrameRange(asked, footage.first, footage.end, footage.is_live)

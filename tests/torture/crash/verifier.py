"""Read the outcome of scenarios from the rows of both databases."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct

from tests.support.ground_truth import idle_runners

FRAMES = 300
CLIP = f"{FRAMES}.mp4"


class Found(Struct):
    """What stands in the databases about one scenario."""

    state: str
    outcome: str | None
    error: str | None
    attempts: int
    frames: list[int]
    failed: int
    wrong: int

    @property
    def is_whole(self) -> bool:
        """Whether it is a completed one of CLIP with each frame once, as it shows itself."""
        return (self.outcome, self.frames, self.failed, self.wrong) == (
            "completed",
            list(range(FRAMES)),
            0,
            0,
        )


class Verifier:
    """Reads the rows of both databases."""

    def __init__(self, scenarios: Any, predictions: Any) -> None:
        self._scenarios = scenarios
        self._predictions = predictions

    async def look(self, scenario_id: UUID) -> Found:
        """What there is now; attempts as the history has them."""
        row = await self._scenarios.fetchrow(
            "SELECT state, outcome, error, attempt FROM scenarios WHERE id = $1", scenario_id
        )
        handed = await self._scenarios.fetchval(
            "SELECT count(*) FROM scenario_events"
            " WHERE scenario_id = $1 AND to_state = 'in_startup_processing'",
            scenario_id,
        )
        rows = await self._predictions.fetch(
            "SELECT frame, labels, error FROM predictions WHERE scenario_id = $1 ORDER BY frame", scenario_id
        )
        return Found(
            row["state"],
            row["outcome"],
            row["error"],
            handed,
            [each["frame"] for each in rows],
            sum(each["error"] is not None for each in rows),
            sum(each["labels"] != f"aruco:{each['frame'] % 1000}" for each in rows),
        )

    async def ended(self, scenario_ids: Sequence[UUID]) -> bool:
        """Whether none of them runs or waits."""
        going: int = await self._scenarios.fetchval(
            "SELECT count(*) FROM scenarios WHERE id = ANY($1) AND state <> 'inactive'", scenario_ids
        )
        return going == 0

    async def idle(self) -> int:
        """How many runners get nothing more. Ask before any was told to end."""
        return await idle_runners(self._scenarios)

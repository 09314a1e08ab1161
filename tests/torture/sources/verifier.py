"""Sources with faults as rows tell of them: when each was noticed, and how it went on."""

import time
from uuid import UUID

import asyncpg
from msgspec import Struct, field

from tests.torture.sources.cameras import Fault, FaultySource, Kind

FRAMES = 300
"""Of a recording."""


class FaultCase(Struct):
    """One source with a fault, the scenario that reads it, and the outcome.

    Moments are Unix times. `noticed` is when it was shown, or, for pictures that changed, analysed on.
    """

    kind: Kind
    fault: Fault
    source: str
    server: FaultySource | None
    detector: dict[str, str]
    scenario_id: UUID | None = None
    began: float = field(default_factory=time.time)
    noticed: float | None = None
    said: str = ""
    has_recovered: bool = False

    @property
    def onset(self) -> float | None:
        return self.server.onset if self.server else self.began

    def __str__(self) -> str:
        late = None if self.noticed is None or self.onset is None else round(self.noticed - self.onset, 1)
        return f"{self.fault} ({self.kind}): {late} s, {self.said!r}, recovered: {self.has_recovered}"


class Verifier:
    """Reads the outcome of each case from the rows of both databases."""

    def __init__(
        self, scenarios: "asyncpg.Pool[asyncpg.Record]", predictions: "asyncpg.Pool[asyncpg.Record]"
    ):
        self._scenarios = scenarios
        self._predictions = predictions

    async def look(self, case: FaultCase) -> bool:
        """Return whether the fault was noticed; when, and with which reason, is then noted in the case."""
        onset, scenario_id = case.onset, case.scenario_id
        if onset is None or scenario_id is None:
            return False
        if case.fault is Fault.CHANGE:
            return await self._goes_on(case, onset)
        ended = await self._scenarios.fetchrow(
            "SELECT extract(epoch FROM at)::float8 AS at, reason FROM scenario_events"
            " WHERE scenario_id = $1 AND at > to_timestamp($2) AND from_state IS NOT NULL"
            "   AND to_state IN ('init_startup', 'inactive') ORDER BY id LIMIT 1",
            scenario_id,
            onset,
        )
        shown = await self._predictions.fetchrow(
            "SELECT extract(epoch FROM updated_at)::float8 AS at, source_state AS reason FROM checkpoints"
            " WHERE scenario_id = $1 AND updated_at > to_timestamp($2) AND source_state = $3",
            scenario_id,
            onset,
            "frozen" if case.fault is Fault.FROZEN else "reconnecting",
        )
        found = ended or shown
        if found is not None:
            case.noticed, case.said = found["at"], found["reason"]
        return found is not None

    async def _goes_on(self, case: FaultCase, onset: float) -> bool:
        if case.server is None:
            return await self.completed(case, FRAMES)
        after: float | None = await self._predictions.fetchval(
            "SELECT min(time) FROM predictions"
            " WHERE scenario_id = $1 AND time > $2 AND length(confidences) > 0 AND error IS NULL",
            case.scenario_id,
            onset + 0.5,
        )
        if after is not None:
            case.noticed, case.said = after, "analysed on"
        return after is not None

    async def completed(self, case: FaultCase, frames: int) -> bool:
        """Whether it was completed, and every frame of the recording is there once."""
        at: float | None = await self._scenarios.fetchval(
            "SELECT extract(epoch FROM updated_at)::float8 FROM scenarios"
            " WHERE id = $1 AND outcome = 'completed'",
            case.scenario_id,
        )
        if at is None:
            return False
        case.noticed = case.noticed or at
        stored = await self._predictions.fetch(
            "SELECT frame FROM predictions WHERE scenario_id = $1 AND error IS NULL ORDER BY frame",
            case.scenario_id,
        )
        return [row["frame"] for row in stored] == list(range(frames))

    async def stored(self, scenario_id: UUID, since: float = 0.0) -> int:
        """How many frames are stored, of a live source: that came since a moment."""
        count: int = await self._predictions.fetchval(
            "SELECT count(*) FROM predictions WHERE scenario_id = $1 AND time > $2", scenario_id, since
        )
        return count

    async def state(self, scenario_id: UUID) -> str:
        """Of the source."""
        state: str = await self._predictions.fetchval(
            "SELECT source_state FROM checkpoints WHERE scenario_id = $1", scenario_id
        )
        return state

    async def inactive(self, scenario_id: UUID) -> bool:
        """Whether nothing runs."""
        return bool(
            await self._scenarios.fetchval(
                "SELECT state = 'inactive' FROM scenarios WHERE id = $1", scenario_id
            )
        )

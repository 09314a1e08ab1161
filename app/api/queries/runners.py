"""Runner instances and the runs they hold."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from ...postgres import Database


class RunnerInfo(Struct, frozen=True):
    """One runner instance: a name, and a boot id that is new at each start."""

    runner_id: str
    boot_id: UUID
    state: Annotated[
        Literal["alive", "silent", "left"],
        Meta(description="silent: no heartbeat for longer than the timeout; left: it takes no more runs"),
    ]
    slots: Annotated[int, Meta(description="how many runs it takes at once")]
    held: Annotated[int, Meta(description="how many runs it holds now")]
    scenario_ids: Annotated[list[UUID], Meta(description="the scenarios it holds")]
    heartbeat_age_seconds: float
    backend: Annotated[str | None, Meta(description="what computes networks there, such as openvino:CPU")]
    precision: Annotated[str | None, Meta(description="in what it computes: fp32, bf16 or fp16")]


class RunnerList(Struct, frozen=True):
    """The instances with a heartbeat in the last hour, and all that still hold a run."""

    items: list[RunnerInfo]


async def list_runners(scenarios: Database, heartbeat_timeout: float) -> RunnerList:
    """Return the instances, by name. Ages are by the database's clock; `heartbeat_timeout` is in seconds."""
    sql = """
        SELECT r.runner_id, r.boot_id, r.slots, r.backend, r.precision, held.scenario_ids,
               r.left_at IS NOT NULL OR r.superseded AS gone,
               greatest(extract(epoch FROM clock_timestamp() - r.heartbeat_at), 0)::float8 AS age
        FROM runners r, LATERAL (
            SELECT coalesce(array_agg(s.id ORDER BY s.id), '{}') AS scenario_ids FROM scenarios s
            WHERE s.runner_id = r.runner_id AND s.boot_id = r.boot_id
        ) AS held
        WHERE cardinality(held.scenario_ids) > 0
           OR (NOT r.superseded AND r.heartbeat_at > clock_timestamp() - interval '1 hour')
        ORDER BY r.runner_id, r.first_seen_at
    """
    async with scenarios.connection() as connection:
        rows = await connection.fetch(sql)
    return RunnerList(
        [
            RunnerInfo(
                runner_id=row["runner_id"],
                boot_id=row["boot_id"],
                state="left" if row["gone"] else "silent" if row["age"] > heartbeat_timeout else "alive",
                slots=row["slots"],
                held=len(row["scenario_ids"]),
                scenario_ids=row["scenario_ids"],
                heartbeat_age_seconds=round(row["age"], 3),
                backend=row["backend"],
                precision=row["precision"],
            )
            for row in rows
        ]
    )

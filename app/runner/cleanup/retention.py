"""Removes what live sources gave too long ago, a block of frames at a time."""

from functools import partial
from uuid import UUID

import structlog
from anyio import sleep

from ...postgres import TRANSIENT, Database
from .. import checkpoints as store
from .purge import gently

log = structlog.get_logger(__name__)

POLL = 600.0
DAY = 86_400.0  # seconds


async def forget_old(database: Database, days: float) -> None:
    """Until cancelled, remove predictions of live sources that are more than `days` days old.

    Every runner does so, each a block at a time: it does not matter who comes first.
    """
    while True:
        try:
            async with database.connection() as connection:
                scenarios = await store.live_scenarios(connection)
            for scenario_id in scenarios:
                await gently(partial(_forget_block, database, scenario_id, days * DAY))
        except TRANSIENT as error:
            log.warning("old predictions are removed later", error=repr(error))
        await sleep(POLL)


async def _forget_block(database: Database, scenario_id: UUID, older_than: float) -> bool:
    async with database.connection() as connection:
        return await store.forget_block(connection, scenario_id, older_than)

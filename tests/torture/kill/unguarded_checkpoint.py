"""The service, whose runners store rows and checkpoint one after the other rather than at once.

For half of the scenarios the rows come first, for the other half the checkpoint.
"""

from anyio import sleep
from msgspec.structs import replace

from app.postgres import Connection
from app.predictions.checkpoint import Batch, Fence
from app.runner import checkpoints as store
from app.runner import shared_statements
from tests.support.rows import packed

_PAUSE = 0.3  # seconds between the two, as of a slow disk
_write = store.write


async def _write_apart(connection: Connection, fence: Fence, batch: Batch) -> bool:
    rows_first = fence.scenario_id.int % 2 == 0
    if rows_first:
        await _insert(connection, fence, batch)
        await sleep(_PAUSE)
    moved = await _write(connection, fence, replace(batch, predictions=[]))
    if moved and not rows_first:
        await sleep(_PAUSE)
        await _insert(connection, fence, batch)
    return moved


async def _insert(connection: Connection, fence: Fence, batch: Batch) -> None:
    await connection.executemany(
        "INSERT INTO predictions (scenario_id, frame, time, labels, confidences, boxes, error)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [
            (
                fence.scenario_id,
                each.frame,
                each.time,
                "\n".join(detection.label for detection in each.detections),
                packed(*(detection.confidence for detection in each.detections)),
                packed(*(side for detection in each.detections for side in detection.box)),
                each.error,
            )
            for each in batch.predictions
        ],
    )


shared_statements.MAX_SHARED_FRAMES = -1  # so that every batch is stored by `write`
vars(store)["write"] = _write_apart

from app.main import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]

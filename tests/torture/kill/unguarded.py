"""Services that lose what their guards protect when they are killed."""

from datetime import datetime
from functools import partial

from anyio import sleep
from msgspec.structs import replace

from app import orchestrator
from app.orchestrator import rescuer
from app.orchestrator.batches.keeper import ScanTiming
from app.orchestrator.dispatcher import Dispatcher
from app.postgres import Connection
from app.predictions.checkpoint import Batch, Fence
from app.runner.storing import checkpoints
from app.service import create
from app.supervision import Asgi
from tests.support.rows import packed
from tests.torture.guards import replace_name, replace_write
from tests.torture.lifecycle import slots_first

_PAUSE = 0.3  # seconds between the two statements, as on a slow disk
_write = checkpoints.write


def separate_checkpoint() -> Asgi:
    """Build a service whose runners store rows and checkpoint in two statements.

    For half of the scenarios the rows come first, for the other half the checkpoint.
    """
    replace_write(_write_separately)
    return create()


def unordered_dispatch() -> Asgi:
    """Build a service with a dispatcher that ignores the order in which event streams tell changes."""
    replace_name(Dispatcher, "dispatch", slots_first.dispatch)
    return create()


def endless_leases() -> Asgi:
    """Build a service whose leader never ends a lease."""
    replace_name(rescuer, "next_lost", _never)
    return create()


def hasty_scans() -> Asgi:
    """Build a service that takes each file of a batch as soon as it is seen twice."""
    replace_name(orchestrator, "ScanTiming", partial(ScanTiming, interval=0.1, settle=0.0))
    return create()


async def _write_separately(connection: Connection, fence: Fence, batch: Batch) -> bool:
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


async def _never(
    connection: Connection, timeout: float, grace: float, heard_since: datetime, heard_until: datetime
) -> None:
    return None

"""Services whose runners name themselves to the witness before each write, with and without the fence."""

from app.postgres import Connection
from app.predictions.checkpoint import Batch, Fence
from app.runner.storing import checkpoints
from app.service import create
from app.supervision import Asgi
from tests.torture.guards import replace_write
from tests.torture.statements import rewriting
from tests.torture.zombies.witness import declare_writers

_NO_FENCE = {
    "attempt = $2 AND run_token = $3 AND next_frame = $4": (
        "$2::integer > 0 AND $3::uuid IS NOT NULL AND $4::bigint >= 0"
    )
}
_write = checkpoints.write


async def write_without_fence(connection: Connection, fence: Fence, batch: Batch) -> bool:
    """`checkpoints.write` without its conditions on attempt, token and next frame."""
    return await _write(rewriting(connection, _NO_FENCE), fence, batch)


def witnessed() -> Asgi:
    """Build a service whose writes the witness sees."""
    replace_write(declare_writers(_write))
    return create()


def without_fence() -> Asgi:
    """Build a service that stores a batch whichever run has the fence."""
    replace_write(declare_writers(write_without_fence))
    return create()

"""Services without a guard against databases that fail."""

from contextlib import suppress
from functools import partial

from app.api import ApiDeps, serve
from app.postgres import TRANSIENT, Connection, open_database
from app.predictions.checkpoint import Batch, Fence
from app.resources import PREDICTIONS, SCENARIOS
from app.runner.storing import checkpoints
from app.service import RoleContext, create
from app.supervision import Asgi, Work
from tests.torture.guards import replace_write, service_with
from tests.torture.statements import rewriting

_write = checkpoints.write


def patient_requests() -> Asgi:
    """Build a service whose requests wait for a database as long as its runs do."""

    async def open_api(context: RoleContext) -> Work:
        opening = partial(open_database, size=10, silence_timeout=60.0)
        scenarios, predictions = [
            await context.resources.pool(spec, opening) for spec in (SCENARIOS, PREDICTIONS)
        ]
        return partial(serve, context.app, ApiDeps(scenarios, predictions, context.bus))

    return service_with("api", open_api)


def trusted_writes() -> Asgi:
    """Build a service whose runs take a batch for stored although its acknowledgement was lost, and go on."""
    replace_write(_write_and_trust)
    return create()


async def _write_and_trust(connection: Connection, fence: Fence, batch: Batch) -> bool:
    anywhere = rewriting(connection, {"AND next_frame = $4": "AND next_frame <= $4"})
    with suppress(*TRANSIENT):
        await _write(anywhere, fence, batch)
    return True

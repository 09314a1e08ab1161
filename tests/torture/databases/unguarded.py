"""Services without a guard against databases that fail."""

from functools import partial

from app.api import ApiDeps, serve
from app.postgres import open_database
from app.resources import PREDICTIONS, SCENARIOS
from app.service import RoleContext
from app.supervision import Asgi, Work
from tests.torture.guards import service_with


def patient_requests() -> Asgi:
    """Build a service whose requests wait for a database as long as its runs do."""

    async def open_api(context: RoleContext) -> Work:
        opening = partial(open_database, size=10, silence_timeout=60.0)
        scenarios, predictions = [
            await context.resources.pool(spec, opening) for spec in (SCENARIOS, PREDICTIONS)
        ]
        return partial(serve, context.app, ApiDeps(scenarios, predictions, context.bus))

    return service_with("api", open_api)

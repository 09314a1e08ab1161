"""Build the service without one of its guards, in the process that uvicorn starts.

A guard is taken out by opening a role in another way, because roles are parameters of the service, or by
replacing a public name of a module before the service is built.
"""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from app.postgres import Connection
from app.predictions.checkpoint import Batch, Fence
from app.runner.storing import checkpoints, shared_statements
from app.service import ROLES, RoleOpener, create
from app.settings import Role
from app.supervision import Asgi

Write = Callable[[Connection, Fence, Batch], Awaitable[bool]]


def replace_name(owner: object, name: str, new: object) -> None:
    """Replace a module's or a class's name. Fails if there is none, which would leave the guard in."""
    getattr(owner, name)
    setattr(owner, name, new)


def replace_write(write: Write) -> None:
    """Replace `checkpoints.write`, and have it store every batch, also small ones."""
    replace_name(shared_statements, "MAX_SHARED_FRAMES", -1)
    replace_name(checkpoints, "write", write)


def service_with(name: Role, opener: RoleOpener) -> Asgi:
    """Build the service with one of its roles opened by `opener`."""
    return create([replace(role, open=opener) if role.name == name else role for role in ROLES])

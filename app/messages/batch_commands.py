"""Commands about batches."""

from uuid import UUID

from msgspec import Raw

from .base import Message


class CreateBatch(Message, frozen=True):
    """Store a batch; its files become scenarios. The api sends it; an orchestrator handles it.

    `spec` is a BatchSpec as JSON. `needs` are features that its scenarios need.
    """

    command_id: UUID
    batch_id: UUID
    spec: Raw
    needs: tuple[str, ...]
    name: str
    tags: tuple[str, ...]
    watch: bool
    at_once: int


class UpdateBatch(Message, frozen=True):
    """Change a batch; None leaves what it is. The api sends it; an orchestrator handles it."""

    command_id: UUID
    batch_id: UUID
    name: str | None = None
    tags: tuple[str, ...] | None = None
    watch: bool | None = None
    at_once: int | None = None


class StopBatch(Message, frozen=True):
    """Stop the scenarios of a batch, and make no more. The api sends it; an orchestrator handles it."""

    command_id: UUID
    batch_id: UUID


class StartBatch(Message, frozen=True):
    """Go on with a stopped batch; with `failed`, also with its scenarios that failed.

    The api sends it; an orchestrator handles it.
    """

    command_id: UUID
    batch_id: UUID
    failed: bool = False


class DeleteBatch(Message, frozen=True):
    """Delete a batch with its scenarios; with `stop`, also one that is not stopped.

    The api sends it; an orchestrator handles it.
    """

    command_id: UUID
    batch_id: UUID
    stop: bool = False

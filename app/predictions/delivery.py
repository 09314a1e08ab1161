"""One event on its way to one channel, as the runner stores it and the notifier sends it."""

from typing import Literal
from uuid import UUID, uuid5

from msgspec import Struct

from ..domain.event import Event

_NAMESPACE = UUID("8d7d6a3c-9a3c-4f53-9d0e-6a1a1f2f1b57")

DeliveryState = Literal["pending", "sent", "dead"]
"""`dead`: it was given up, and is sent only if someone asks for it."""


class Told(Struct, frozen=True):
    """What a delivery tells, as it is stored. `event` is None for a test of the channel.

    `at`: the wall clock at the start of the event, as Unix time in seconds, if it is known. `has_picture`:
    one of the event is kept.
    """

    scenario_name: str = ""
    event: Event | None = None
    at: float | None = None
    has_picture: bool = False


class NewDelivery(Struct, frozen=True):
    """A delivery to be stored with the batch that holds its event."""

    id: UUID
    event_id: int
    channel: str
    payload: str
    """A Told as JSON."""


def delivery_id(scenario_id: UUID, event_id: int, channel: str) -> UUID:
    """Return the id by which receivers recognise a repeated message."""
    return uuid5(_NAMESPACE, f"{scenario_id}\n{event_id}\n{channel}")

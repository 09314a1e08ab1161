"""What a channel is sent: version 1 of the payload."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from ..domain.event import Event
from ..predictions.delivery import Told
from .queue import Claimed

NotificationType = Literal[
    "event.object", "event.zone", "event.line", "event.presence", "event.alert", "channel.test"
]


class ScenarioOfNotification(Struct, frozen=True):
    """The scenario, with its name as it was when its run started."""

    id: UUID
    name: str


class NotificationLinks(Struct, frozen=True):
    """Addresses below VA_PUBLIC_URL. They need an API key if the service has keys.

    `picture` is null if none of a live source's event is kept.
    """

    scenario: str
    moment: Annotated[str, Meta(description="the predictions from the event's start to its end")]
    picture: str | None


class NotificationData(Struct, frozen=True):
    """`at`: the wall clock at the event's start, if it is known. `links` need VA_PUBLIC_URL.

    All but `id` and `channel` are null in a test of the channel.
    """

    id: UUID
    channel: str
    scenario: ScenarioOfNotification | None
    event: Event | None
    at: datetime | None
    links: NotificationLinks | None


class Notification(Struct, frozen=True):
    """A payload as Standard Webhooks recommends it. Fields may be added; `version` grows if one changes.

    `timestamp`: when the message was made; a repetition has the same.
    """

    type: NotificationType
    version: int
    timestamp: datetime
    data: NotificationData


class OutgoingMessage(Struct, frozen=True):
    """A message as senders take it: `id` is that of the delivery, the same in each repetition."""

    id: UUID
    type: NotificationType
    scenario_id: UUID | None
    body: bytes
    scenario_name: str = ""


def make_message(claimed: Claimed, public_url: str) -> OutgoingMessage:
    """Return the message of a delivery. `public_url` is empty if nobody set it."""
    event, told, scenario_id = claimed.told.event, claimed.told, claimed.scenario_id
    at = None if told.at is None else datetime.fromtimestamp(told.at, UTC)
    data = NotificationData(
        id=claimed.id,
        channel=claimed.channel,
        scenario=None if event is None else ScenarioOfNotification(scenario_id, told.scenario_name),
        event=event,
        at=at,
        links=_links(scenario_id, event, public_url, told) if event is not None and public_url else None,
    )
    kind = _TYPES[None if event is None else event.kind]
    body = msgspec.json.encode(Notification(kind, 1, claimed.created_at, data))
    if event is None:
        return OutgoingMessage(claimed.id, kind, None, body)
    return OutgoingMessage(claimed.id, kind, scenario_id, body, told.scenario_name)


def _links(scenario_id: UUID, event: Event, public_url: str, told: Told) -> NotificationLinks:
    scenario = f"{public_url.rstrip('/')}/scenarios/{scenario_id}"
    picture = None
    if told.has_picture:
        picture = f"{scenario}/events/{event.event_id}/picture.jpg"
    elif told.at is None:  # a recording, whose pictures are decoded when someone asks for them
        picture = f"{scenario}/frame.jpg?frame={event.best_frame}&annotated=true"
    return NotificationLinks(
        scenario=scenario,
        moment=f"{scenario}/predictions?from_frame={event.start_frame}&to_frame={event.end_frame + 1}",
        picture=picture,
    )


_TYPES: dict[str | None, NotificationType] = {
    "object": "event.object",
    "zone": "event.zone",
    "line": "event.line",
    "presence": "event.presence",
    "alert": "event.alert",
    None: "channel.test",
}

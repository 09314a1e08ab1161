"""Which events are told to which channels."""

import time
from collections.abc import Iterable
from uuid import UUID

import msgspec
from msgspec.structs import replace

from ...domain.analysis import Notify
from ...domain.event import Event
from ...domain.spec import ScenarioSpec
from ...predictions.checkpoint import Batch
from ...predictions.delivery import NewDelivery, Told, delivery_id
from ...predictions.evidence import KINDS

MOST_LATE = 600.0
"""Seconds after which an event of a live source is no news any more, and is not told."""

_TOLD_AT_ONCE = ("line", "alert")  # which have happened when they begin; the others are told when they end


def new_deliveries(
    notify: Notify | None,
    scenario_id: UUID,
    scenario_name: str,
    events: Iterable[Event],
    *,
    unix_time: float | None,
    recorded_at: float | None = None,
    keeps_pictures: bool = False,
) -> list[NewDelivery]:
    """Return a delivery for each event that is to be told and each channel that is to be told of it.

    `unix_time`: the present, on the clock of the events' times; None for a recording, whose date is
    `recorded_at` if that is known. `keeps_pictures`: of events of a live source. An event that is returned
    again later has the same id, and is stored once.
    """
    if notify is None or (unix_time is None and not notify.recordings):
        return []
    found: list[NewDelivery] = []
    for event in events:
        is_due = event.kind in _TOLD_AT_ONCE or event.state == "ended"
        is_late = unix_time is not None and unix_time - event.end_time > MOST_LATE
        if event.kind not in notify.on or not is_due or is_late:
            continue
        began = recorded_at if unix_time is None else 0.0
        at = None if began is None else began + event.start_time
        has_picture = keeps_pictures and unix_time is not None and event.kind in KINDS
        told = Told(scenario_name, event, at, has_picture)
        payload = msgspec.json.encode(told).decode()
        found += [
            NewDelivery(delivery_id(scenario_id, event.event_id, channel), event.event_id, channel, payload)
            for channel in dict.fromkeys(notify.channels)
        ]
    return found


def with_deliveries(
    spec: ScenarioSpec, scenario_id: UUID, unix_offset: float, keeps_pictures: bool, batch: Batch
) -> Batch:
    """Return the batch with the deliveries of its events. `unix_offset` is that of the Checkpoint."""
    update = batch.analysis
    if update is None or not update.events or spec.notify is None:
        return batch
    unix_time = unix_offset + time.monotonic() if batch.is_live else None
    found = new_deliveries(
        spec.notify,
        scenario_id,
        spec.name,
        update.events,
        unix_time=unix_time,
        recorded_at=None if spec.recorded_at is None else spec.recorded_at.timestamp(),
        keeps_pictures=keeps_pictures,
    )
    return replace(batch, analysis=replace(update, deliveries=tuple(found)))

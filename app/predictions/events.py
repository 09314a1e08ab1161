"""Encode events for one statement, and decode a stored row."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from ..domain.event import Event

_encoder = msgspec.json.Encoder()

COLUMNS = (
    "event_id bigint, kind text, state text, label text, track_id bigint, name text, direction text,"
    " start_frame bigint, start_time double precision, end_frame bigint, end_time double precision,"
    " best_frame bigint, best_time double precision, best_box real[], best_confidence real"
)
"""The columns of encoded events, for PostgreSQL's `json_to_recordset`."""


class EventRow(Protocol):
    """A row of `current_events`, with at least the columns of an Event by name."""

    def __getitem__(self, column: str, /) -> Any: ...


def encode_events(events: Sequence[Event]) -> str:
    """Return events as JSON with one object for each, its keys as in `COLUMNS`.

    It is one parameter of a statement, and double precision numbers keep their values.
    """
    return _encoder.encode(events).decode()


def decode_event(row: EventRow) -> Event:
    """Return a stored row.

    Confidences are rounded to 4 decimals and boxes to 2, as those of predictions are.
    """
    x1, y1, x2, y2 = row["best_box"]
    return Event(
        row["event_id"],
        row["kind"],
        row["state"],
        row["label"],
        row["track_id"],
        row["name"] or None,
        row["direction"],
        row["start_frame"],
        row["start_time"],
        row["end_frame"],
        row["end_time"],
        row["best_frame"],
        row["best_time"],
        (round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2)),
        round(row["best_confidence"], 4),
    )

"""What encode_events makes of events, decode_event gives back after it was stored."""

import asyncio
from typing import get_args
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.domain.event import Event, EventKind, EventState
from app.postgres import open_connection
from app.predictions.events import COLUMNS, decode_event, encode_events

INSERT = f"""
    INSERT INTO events (scenario_id, {", ".join(column.strip().split()[0] for column in COLUMNS.split(","))})
    SELECT $1, event_id, kind, state, label, track_id, coalesce(name, ''), direction, start_frame,
           start_time, end_frame, end_time, best_frame, best_time, best_box, best_confidence
      FROM json_to_recordset($2::text::json) AS e ({COLUMNS})
"""  # noqa: S608 - of the code's own constants

numbers = st.integers(0, 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=20)
sides = st.floats(0, 10_000, width=32)


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """Events of one scenario, with ids from 1."""
    drawn = []
    for event_id in range(1, draw(st.integers(0, 5)) + 1):
        kind: EventKind = draw(st.sampled_from(get_args(EventKind)))
        start_frame, end_frame = sorted(draw(st.tuples(numbers, numbers)))
        times = st.floats(0, 1e10)
        start_time, end_time = sorted(draw(st.tuples(times, times)))
        drawn.append(
            Event(
                event_id,
                kind,
                draw(st.sampled_from(get_args(EventState))),
                draw(texts),
                None if kind == "presence" else draw(numbers),
                None if kind in ("object", "presence") else draw(texts),
                draw(st.sampled_from(["left", "right"])) if kind == "line" else None,
                start_frame,
                start_time,
                end_frame,
                end_time,
                draw(numbers),
                draw(times),
                draw(st.tuples(sides, sides, sides, sides)),
                draw(st.floats(0, 1, width=32)),
            )
        )
    return drawn


def rounded(event: Event) -> Event:
    """The event with as many decimals as decode_event gives."""
    x1, y1, x2, y2 = event.best_box
    box = (round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2))
    return replace(event, best_box=box, best_confidence=round(event.best_confidence, 4))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=events())
def test_each_event_is_decoded_from_the_database_as_it_was_encoded(
    predictions_dsn: str, found: list[Event]
) -> None:
    assert asyncio.run(stored(predictions_dsn, found)) == [rounded(event) for event in found]


async def stored(dsn: str, found: list[Event]) -> list[Event]:
    scenario_id = uuid4()
    async with open_connection(dsn) as connection:
        await connection.execute(INSERT, scenario_id, encode_events(found))
        rows = await connection.fetch(
            "SELECT * FROM events WHERE scenario_id = $1 ORDER BY event_id", scenario_id
        )
    return [decode_event(row) for row in rows]


STAY = Event(1, "object", "ended", "car", 7, None, None, 3, 0.1, 9, 0.3, 5, 0.2, (1.0, 2.0, 3.0, 4.0), 0.5)


@pytest.mark.parametrize(
    ("event", "constraint"),
    [
        (replace(STAY, event_id=0), "event_id"),
        (replace(STAY, end_frame=2), "it_ends_after_its_start"),
        (replace(STAY, end_time=0.0), "it_ends_after_its_start"),
        (replace(STAY, name="yard"), "zones_lines_and_alerts_have_names"),
        (replace(STAY, kind="zone"), "zones_lines_and_alerts_have_names"),
        (replace(STAY, direction="left"), "crossings_have_directions"),
        (replace(STAY, kind="line", name="door"), "crossings_have_directions"),
    ],
)
async def test_events_that_contradict_themselves_are_not_stored(
    predictions_dsn: str, event: Event, constraint: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await stored(predictions_dsn, [event])

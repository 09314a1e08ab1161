"""Which events are told, to whom, and once."""

from uuid import UUID

import msgspec
import pytest

from app.domain.analysis import Notify
from app.domain.event import Event, EventKind
from app.postgres import Database
from app.predictions.delivery import Told
from app.runner.analysing.deliveries import MOST_LATE, new_deliveries
from tests.support.deliveries import add, event, insert, states

YARD = UUID(int=1)
ALL: tuple[EventKind, ...] = ("object", "zone", "line", "presence", "alert")
NOW = 1_000_000.0


def told(notify: Notify | None, *events: Event, unix_time: float | None = NOW) -> list[tuple[int, str]]:
    found = new_deliveries(notify, YARD, "yard", events, unix_time=unix_time)
    assert len({each.id for each in found}) == len(found)
    return [(each.event_id, each.channel) for each in found]


@pytest.mark.parametrize("kind", ALL)
def test_an_event_is_told_to_each_channel_once_it_has_happened(kind: str) -> None:
    notify = Notify(("ops", "home", "ops"), on=ALL)
    assert told(notify, event(1, kind=kind, end_time=NOW)) == [(1, "ops"), (1, "home")]


@pytest.mark.parametrize("kind", ALL)
def test_alerts_and_crossings_are_told_at_once_and_others_when_they_end(kind: str) -> None:
    opened = event(1, kind=kind, state="open", end_time=NOW)
    assert bool(told(Notify(("ops",), on=ALL), opened)) == (kind in ("line", "alert"))
    interrupted = event(1, kind=kind, state="interrupted", end_time=NOW)
    assert bool(told(Notify(("ops",), on=ALL), interrupted)) == (kind in ("line", "alert"))


def test_only_the_kinds_that_are_asked_for_are_told() -> None:
    happened = [event(number, kind=kind, end_time=NOW) for number, kind in enumerate(ALL, 1)]
    assert told(Notify(("ops",)), *happened) == [(5, "ops")]
    assert told(Notify(("ops",), on=("zone", "line")), *happened) == [(2, "ops"), (3, "ops")]
    assert told(None, *happened) == []


def test_a_recording_is_told_only_if_it_is_asked_for() -> None:
    assert told(Notify(("ops",)), event(1), unix_time=None) == []
    assert told(Notify(("ops",), recordings=True), event(1), unix_time=None) == [(1, "ops")]


def test_the_date_of_a_recording_is_told_if_it_is_known() -> None:
    notify = Notify(("ops",), on=ALL, recordings=True)
    for recorded_at, at in ((None, None), (100.0, 100.0 + event(1).start_time)):
        (found,) = new_deliveries(notify, YARD, "yard", [event(1)], unix_time=None, recorded_at=recorded_at)
        assert msgspec.json.decode(found.payload).get("at") == at


def test_what_is_ten_minutes_late_is_no_news() -> None:
    assert told(Notify(("ops",)), event(1, end_time=NOW - MOST_LATE + 1)) == [(1, "ops")]
    assert told(Notify(("ops",)), event(1, end_time=NOW - MOST_LATE - 1)) == []


@pytest.mark.parametrize("keeps_pictures", [False, True])
@pytest.mark.parametrize("unix_time", [NOW, None])
def test_it_is_told_whether_a_picture_is_kept(keeps_pictures: bool, unix_time: float | None) -> None:
    happened = [event(number, kind=kind, end_time=NOW) for number, kind in enumerate(ALL, 1)]
    found = new_deliveries(
        Notify(("ops",), on=ALL, recordings=True),
        YARD,
        "yard",
        happened,
        unix_time=unix_time,
        keeps_pictures=keeps_pictures,
    )
    pictured = {one.event_id for one in found if msgspec.json.decode(one.payload, type=Told).has_picture}
    assert pictured == ({1, 5} if keeps_pictures and unix_time else set())


async def test_an_event_is_stored_once_however_often_it_is_written(predictions: Database) -> None:
    await add(predictions, YARD, 1, 2)
    await add(predictions, YARD, 2, 3)
    await add(predictions, UUID(int=2), 2)
    assert await states(predictions) == [(1, "pending"), (2, "pending"), (3, "pending"), (2, "pending")]


async def test_what_was_sent_is_not_sent_again_by_a_repeated_write(predictions: Database) -> None:
    rows = new_deliveries(Notify(("ops",)), YARD, "yard", [event(1, end_time=NOW)], unix_time=NOW)
    async with predictions.connection() as connection:
        await insert(connection, YARD, rows)
        await connection.execute("UPDATE deliveries SET state = 'sent', ended_at = now()")
        await insert(connection, YARD, rows)
    assert await states(predictions) == [(1, "sent")]

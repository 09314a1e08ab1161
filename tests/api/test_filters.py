"""Filters and pages over rows as runs store them, compared with a scan of all rows."""

from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec.structs import replace

from app.api.queries.predictions import PredictionFilter, list_predictions
from app.domain.media import Media
from app.domain.prediction import Detection, Prediction
from app.postgres import Database
from app.predictions.checkpoint import Fence
from app.predictions.codec import FRAMES_PER_BLOCK
from app.runner.storing import checkpoints as store
from app.runner.storing import claims
from tests.support.batches import as_batch
from tests.support.rows import add_prediction, add_scenario

LABELS = ("", "person", "car", "car park", "traffic light", "qr:ä|b", "per")
SIZE = 4 * FRAMES_PER_BLOCK


def recording(rng: Random) -> list[Prediction]:
    """Return frames in several blocks, many at block borders; some empty, failed, or at the same time."""
    borders = {at + by for at in range(0, SIZE, FRAMES_PER_BLOCK) for by in range(-3, 4) if at + by >= 0}
    rows = []
    time = 0.0
    for frame in sorted(borders | set(rng.sample(range(SIZE), 150))):
        time += rng.choice((0.0, 0.5, 0.125))
        found = tuple(
            Detection(
                f"qr:{frame}" if rng.random() < 0.05 else rng.choice(LABELS),
                rng.choice((0, 1, 512, 1000, 1023, 1024)) / 1024,
                (1.0, 2.0, 3.5, float(frame)),
                rng.choice((None, 7)),
            )
            for _ in range(rng.choice((0, 0, 1, 2, 5)))
        )
        error = "damaged" if not found and rng.random() < 0.3 else None
        rows.append(Prediction(frame, time, found, error))
    return rows


async def stored(predictions: Database, rows: list[Prediction], rng: Random) -> UUID:
    """Store these rows in batches, and return their scenario."""
    fence = Fence(uuid4(), 1, uuid4())
    cuts = [0, *sorted(rng.sample(range(SIZE), 6)), SIZE]
    async with predictions.connection() as connection:
        await claims.claim(connection, fence)
        for start, end in pairwise(cuts):
            batch = as_batch(start, end, [row for row in rows if start <= row.frame < end])
            assert await store.write(connection, fence, batch)
    return fence.scenario_id


def scan(rows: list[Prediction], wanted: PredictionFilter) -> list[tuple[int, list[tuple[str, float]]]]:
    """Return the wanted frames and detections."""
    frames = []
    for row in rows:
        found = [
            (each.label, each.confidence)
            for each in row.detections
            if wanted.label in (None, each.label) and each.confidence >= (wanted.min_confidence or 0)
        ]
        if (
            wanted.from_frame <= row.frame < wanted.to_frame
            and row.time >= (wanted.from_time or 0)
            and (wanted.to_time is None or row.time < wanted.to_time)
            and (found or (wanted.label is None and wanted.min_confidence is None))
        ):
            frames.append((row.frame, [(label, round(confidence, 4)) for label, confidence in found]))
    return frames


async def paged(
    predictions: Database, scenario_id: UUID, wanted: PredictionFilter, limit: int
) -> list[Prediction]:
    """Return the predictions of all pages, each continued as a cursor does."""
    shown: list[Prediction] = []
    while True:
        items, more = await list_predictions(predictions, scenario_id, wanted, limit)
        assert len(items) == limit or more is None
        shown += items
        if more is None:
            return shown
        wanted = replace(wanted, from_frame=more)


@pytest.mark.parametrize("live", [True, False])
async def test_a_date_selects_frames_of_a_live_source_alone(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database, live: bool
) -> None:
    scenario_id = await add_scenario(scenarios, media=Media(64, 48, live=live))
    began = datetime(2026, 1, 31, 9, 30, tzinfo=UTC).timestamp()
    for frame in range(4):
        await add_prediction(predictions, scenario_id, frame, time=began + frame)
    path = f"/scenarios/{scenario_id}/predictions"
    query = {"from_time": "2026-01-31T09:30:01Z", "to_time": "2026-01-31T10:30:03+01:00"}
    answer = await http.get(path, params=query)
    if live:
        assert [item["frame"] for item in answer.json()["items"]] == [1, 2]
        assert (await http.get(path, params={"from_time": "2026-01-31T09:30:01"})).status_code == 400
    else:
        assert (answer.status_code, answer.json()["field"]) == (400, "from_time")
        assert "in seconds from the start" in answer.json()["detail"]


def drawn(rows: list[Prediction], rng: Random) -> PredictionFilter:
    """Return random filters, each of them set or not."""
    block = FRAMES_PER_BLOCK
    frames = (0, block - 1, block, block + 1, 2 * block, 3 * block - 1, SIZE, rng.randrange(SIZE))
    times = [rng.choice(rows).time for _ in range(2)]
    some = rng.choice(rows)
    labels = [*LABELS, "nothing", "", *(each.label for each in some.detections)]
    return PredictionFilter(
        from_frame=rng.choice((0, *frames)),
        to_frame=rng.choice((SIZE, 2**63 - 1, *frames)),
        from_time=rng.choice((None, None, 0.0, times[0], times[0] + 0.01, 1e9)),
        to_time=rng.choice((None, None, 0.0, times[1], times[1] + 0.01, 1e9)),
        label=rng.choice((None, *(label for label in labels if label))),
        min_confidence=rng.choice((None, None, 0.0, 1 / 1024, 0.5, 0.5001, 1.0)),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_filters_return_what_a_scan_of_all_rows_returns(predictions: Database, seed: int) -> None:
    rng = Random(seed)
    rows = recording(rng)
    scenario_id = await stored(predictions, rows, rng)
    await stored(predictions, recording(rng), rng)
    hits = 0
    for _ in range(150):
        wanted = drawn(rows, rng)
        shown = await paged(predictions, scenario_id, wanted, rng.choice((3, 7, 100)))
        found = [(item.frame, [(each.label, each.confidence) for each in item.detections]) for item in shown]
        assert found == scan(rows, wanted), wanted
        hits += len(found) > 0
    assert hits > 30

"""Filters and pages over rows as runs store them, against a plain look at every row."""

from itertools import pairwise
from random import Random
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from app.api.queries.predictions import PredictionFilter, list_predictions
from app.domain.prediction import Detection, Prediction
from app.postgres import Database
from app.predictions.checkpoint import Fence
from app.predictions.codec import FRAMES_PER_BLOCK
from app.runner import checkpoints as store
from tests.support.batches import as_batch

LABELS = ("", "person", "car", "car park", "traffic light", "qr:ä|b", "per")
SIZE = 4 * FRAMES_PER_BLOCK


def recording(chance: Random) -> list[Prediction]:
    """Sampled frames in several blocks, many at their borders; some empty, some failed, some at one time."""
    borders = {at + by for at in range(0, SIZE, FRAMES_PER_BLOCK) for by in range(-3, 4) if at + by >= 0}
    rows = []
    time = 0.0
    for frame in sorted(borders | set(chance.sample(range(SIZE), 150))):
        time += chance.choice((0.0, 0.5, 0.125))
        found = tuple(
            Detection(
                f"qr:{frame}" if chance.random() < 0.05 else chance.choice(LABELS),
                chance.choice((0, 1, 512, 1000, 1023, 1024)) / 1024,
                (1.0, 2.0, 3.5, float(frame)),
                chance.choice((None, 7)),
            )
            for _ in range(chance.choice((0, 0, 1, 2, 5)))
        )
        error = "damaged" if not found and chance.random() < 0.3 else None
        rows.append(Prediction(frame, time, found, error))
    return rows


async def stored(predictions: Database, rows: list[Prediction], chance: Random) -> UUID:
    """The scenario that has these rows, which came in batches."""
    fence = Fence(uuid4(), 1, uuid4())
    cuts = [0, *sorted(chance.sample(range(SIZE), 6)), SIZE]
    async with predictions.connection() as connection:
        await store.claim(connection, fence)
        for start, end in pairwise(cuts):
            batch = as_batch(start, end, [row for row in rows if start <= row.frame < end])
            assert await store.write(connection, fence, batch)
    return fence.scenario_id


def plain(rows: list[Prediction], wanted: PredictionFilter) -> list[tuple[int, list[tuple[str, float]]]]:
    """The frames and detections that are wanted."""
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
    """All pages, each gone on from as a cursor does."""
    shown: list[Prediction] = []
    while True:
        items, more = await list_predictions(predictions, scenario_id, wanted, limit)
        assert len(items) == limit or more is None
        shown += items
        if more is None:
            return shown
        wanted = replace(wanted, from_frame=more)


def drawn(rows: list[Prediction], chance: Random) -> PredictionFilter:
    """Filters, each of them there or not."""
    block = FRAMES_PER_BLOCK
    frames = (0, block - 1, block, block + 1, 2 * block, 3 * block - 1, SIZE, chance.randrange(SIZE))
    times = [chance.choice(rows).time for _ in range(2)]
    some = chance.choice(rows)
    labels = [*LABELS, "nothing", "", *(each.label for each in some.detections)]
    return PredictionFilter(
        from_frame=chance.choice((0, *frames)),
        to_frame=chance.choice((SIZE, 2**63 - 1, *frames)),
        from_time=chance.choice((None, None, 0.0, times[0], times[0] + 0.01, 1e9)),
        to_time=chance.choice((None, None, 0.0, times[1], times[1] + 0.01, 1e9)),
        label=chance.choice((None, *(label for label in labels if label))),
        min_confidence=chance.choice((None, None, 0.0, 1 / 1024, 0.5, 0.5001, 1.0)),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_filters_give_what_a_look_at_every_row_gives(predictions: Database, seed: int) -> None:
    chance = Random(seed)
    rows = recording(chance)
    scenario_id = await stored(predictions, rows, chance)
    await stored(predictions, recording(chance), chance)
    hits = 0
    for _ in range(150):
        wanted = drawn(rows, chance)
        shown = await paged(predictions, scenario_id, wanted, chance.choice((3, 7, 100)))
        found = [(item.frame, [(each.label, each.confidence) for each in item.detections]) for item in shown]
        assert found == plain(rows, wanted), wanted
        hits += len(found) > 0
    assert hits > 30

"""What encode makes of predictions, decode gives back, also after it was stored."""

import asyncio
import re
import struct
from random import Random
from uuid import uuid4

import pytest
from asyncpg import Record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.prediction import MAX_CLASS_ID, Detection, FrameSize, Prediction
from app.postgres import Database, open_connection
from app.predictions.checkpoint import Fence
from app.predictions.codec import FRAMES_PER_BLOCK, EncodedRows, as_stored, decode, encode
from app.predictions.columns import decode_columns, decode_frames
from app.runner.storing import checkpoints as store
from app.runner.storing import claims
from tests.support.batches import as_batch

BOX = (1.0, 2.0, 3.0, 4.0)

texts = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=20)
sides = st.floats(0, 10_000, width=32)
detections = st.builds(
    Detection,
    label=texts,
    confidence=st.floats(0, 1, width=32),
    box=st.tuples(sides, sides, sides, sides),
    track_id=st.none() | st.integers(0, 2**63 - 1),
    class_id=st.none() | st.integers(0, MAX_CLASS_ID),
)
contents = st.tuples(st.lists(detections, max_size=5).map(tuple), st.none()) | st.tuples(st.just(()), texts)


@st.composite
def recordings(draw: st.DrawFn) -> list[Prediction]:
    """Sampled frames, with and without detections, track ids and errors, in several blocks."""
    frames = sorted(draw(st.sets(st.integers(0, 3 * FRAMES_PER_BLOCK), max_size=8)))
    return [Prediction(frame, frame / 30, *draw(contents)) for frame in frames]


def rounded(prediction: Prediction) -> Prediction:
    """The prediction with as many decimals as decode gives."""
    return Prediction(
        prediction.frame,
        prediction.time,
        tuple(
            Detection(
                each.label,
                round(each.confidence, 4),
                (round(each.box[0], 2), round(each.box[1], 2), round(each.box[2], 2), round(each.box[3], 2)),
                each.track_id,
                each.class_id,
            )
            for each in prediction.detections
        ),
        prediction.error,
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recording=recordings())
def test_each_prediction_is_decoded_from_the_database_as_it_was_encoded(
    predictions_dsn: str, recording: list[Prediction]
) -> None:
    rows = asyncio.run(stored(predictions_dsn, recording))
    assert [decode(row) for row in rows] == [rounded(prediction) for prediction in recording]
    for sizes in [], [FrameSize(0, 640, 360)], [FrameSize(0, 640, 360), FrameSize(900, 0, 0)]:
        expected = [decode(row, sizes=sizes) for row in rows]
        assert decode_columns(rows, sizes).predictions() == expected
        assert list(decode_frames(rows, sizes)) == expected


def test_many_frames_are_decoded_as_each_of_them_alone_to_the_last_digit_and_sign() -> None:
    """Analysis of stored frames has the results of the run that stored them."""
    chance = Random(1)
    frames = []
    for frame in range(250):  # more than are decoded at once
        found = []
        for most in chance.choices((0.01, 5000.0), k=chance.randrange(6)):
            box = (chance.uniform(-0.01, most), chance.uniform(-0.01, most), most, most)
            found.append(Detection("car", chance.random(), box))
        frames.append(Prediction(frame, frame / 30, tuple(found)))
    rows = split(encode(frames))
    assert repr(list(decode_frames(rows))) == repr([decode(row) for row in rows])


@given(recording=recordings())
def test_analysis_takes_the_values_that_decoding_gives_and_storing_them_again_changes_none(
    recording: list[Prediction],
) -> None:
    rows = split(encode(recording))
    for row, prediction in zip(rows, recording, strict=True):
        taken = as_stored(prediction.detections)
        assert taken == decode(row).detections
        assert as_stored(taken) == taken


async def stored(dsn: str, recording: list[Prediction]) -> list[Record]:
    """The rows of a new scenario with these predictions."""
    fence = Fence(uuid4(), 1, uuid4())
    async with open_connection(dsn) as connection:
        await claims.claim(connection, fence)
        assert await store.write(connection, fence, as_batch(0, 4 * FRAMES_PER_BLOCK, recording))
        return await connection.fetch(
            "SELECT * FROM predictions WHERE scenario_id = $1 ORDER BY frame", fence.scenario_id
        )


@given(recording=recordings(), label=texts, min_confidence=st.floats(0, 1))
def test_decoding_leaves_out_other_labels_and_low_confidences(
    recording: list[Prediction], label: str, min_confidence: float
) -> None:
    rows = split(encode(recording))
    columns = decode_columns(rows, label=label, min_confidence=min_confidence)
    assert columns.predictions() == [decode(row, label=label, min_confidence=min_confidence) for row in rows]
    for row, prediction in zip(rows, recording, strict=True):
        of_label = decode(row, label=label).detections
        confident = decode(row, min_confidence=min_confidence).detections
        all_of_it = rounded(prediction).detections
        assert of_label == tuple(each for each in all_of_it if each.label == label)
        threshold = struct.unpack("f", struct.pack("f", min_confidence))[0]
        assert confident == tuple(
            kept
            for kept, each in zip(all_of_it, prediction.detections, strict=True)
            if each.confidence >= threshold
        )


def split(rows: EncodedRows) -> list[dict[str, object]]:
    """The rows, as the database splits them."""
    labels = rows.labels.split("\x1e")
    return [
        {
            "frame": frame,
            "time": rows.times[n],
            "labels": labels[n],
            "confidences": rows.confidences[4 * rows.offsets[n] : 4 * rows.offsets[n + 1]],
            "boxes": rows.boxes[rows.box_size * rows.offsets[n] : rows.box_size * rows.offsets[n + 1]],
            "track_ids": None if rows.track_ids is None else _numbers(rows.track_ids[n]),
            "error": None if rows.errors is None else rows.errors[n],
        }
        for n, frame in enumerate(rows.frames)
    ]


def _numbers(array: str | None) -> list[int | None] | None:
    if array is None:
        return None
    return [None if number == "NULL" else int(number) for number in array.strip("{}").split(",")]


def found(frame: int, *detections: tuple[str, float]) -> Prediction:
    return Prediction(
        frame, frame / 30, tuple(Detection(label, confidence, BOX) for label, confidence in detections)
    )


def test_rows_are_encoded_as_parallel_lists() -> None:
    rows = encode([found(3, ("car", 0.5), ("dog", 0.25)), found(4), found(9, ("car", 1.0))])
    assert (rows.frames, rows.times) == ([3, 4, 9], [0.1, 4 / 30, 0.3])
    assert rows.offsets == [0, 2, 2, 3]
    assert rows.labels == "car\ndog\x1e\x1ecar\x1e"
    assert rows.confidences == struct.pack(">3f", 0.5, 0.25, 1.0)
    assert (rows.boxes, rows.box_size) == (struct.pack(">12f", *BOX * 3), 16)


def test_a_column_that_is_null_in_each_row_is_not_sent() -> None:
    rows = encode([found(0, ("car", 0.5))])
    assert (rows.track_ids, rows.errors) == (None, None)
    tracked = (Detection("car", 0.5, BOX, track_id=7), Detection("car", 0.5, BOX))
    rows = encode([found(0, ("car", 0.5)), Prediction(1, 0.1, tracked), Prediction(2, 0.2, (), "damaged")])
    assert rows.track_ids == [None, "{7,NULL}", None]
    assert rows.errors == [None, None, "damaged"]


def test_class_numbers_follow_the_boxes_of_their_row() -> None:
    of_class = Prediction(0, 0.0, (Detection("car", 0.5, BOX, class_id=2), Detection("?", 0.5, BOX)))
    last = Prediction(1, 0.1, (Detection("z", 0.5, BOX, class_id=MAX_CLASS_ID),))
    rows = encode([of_class, last])
    assert rows.boxes == struct.pack(">8f2I4fI", *BOX * 2, 2, 0xFFFF, *BOX, 0xFFFE)
    assert rows.box_size == 20


@pytest.mark.parametrize("gap", [1, 50])
def test_the_highest_confidence_of_each_label_is_encoded_for_each_block(gap: int) -> None:
    far = gap * FRAMES_PER_BLOCK
    maxima = encode(
        [
            found(FRAMES_PER_BLOCK - 2, ("car", 0.25), ("dog", 0.0)),
            found(FRAMES_PER_BLOCK - 1, ("car", 0.75), ("car", 0.5)),
            found(far, ("dog", 0.125)),
            found(far + FRAMES_PER_BLOCK),
        ]
    ).maxima
    assert list(zip(maxima.labels, maxima.blocks, maxima.confidences, strict=True)) == [
        ("car", 0, 0.75),
        ("dog", 0, 0.0),
        ("", 0, 0.75),
        ("dog", gap, 0.125),
        ("", gap, 0.125),
    ]


def test_no_predictions_are_encoded_as_no_rows() -> None:
    rows = encode([])
    assert (rows.frames, rows.offsets, rows.labels, rows.maxima.labels) == ([], [0], "", [])


async def test_the_functions_of_the_database_have_the_same_block_size(predictions: Database) -> None:
    async with predictions.connection() as connection:
        functions = await connection.fetch(
            "SELECT proname, prosrc FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace AND prosrc LIKE '%label_blocks%'"
        )
    numbers = {row["proname"]: re.findall(r"\b\d{3,}\b", row["prosrc"]) for row in functions}
    sizes = {name: {int(number) for number in found} for name, found in numbers.items() if found}
    assert sizes == {"predictions_with": {FRAMES_PER_BLOCK, FRAMES_PER_BLOCK - 1}}

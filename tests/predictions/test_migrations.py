"""Predictions that older versions stored."""

import struct
from uuid import uuid4

import asyncpg
import pytest

from app.domain.prediction import MAX_CLASS_ID, Detection, Prediction
from app.postgres import Connection, Database, migrate, migrations_of, open_connection
from app.predictions.codec import FRAMES_PER_BLOCK, decode
from tests.support.databases import Databases
from tests.support.rows import add_prediction, class_ids, packed


async def migrate_before(connection: Connection, number: str) -> None:
    """Bring an empty database to where an earlier version left it: all migrations before this one."""
    await connection.execute("CREATE TABLE schema_migrations (name text PRIMARY KEY)")
    for name, sql in migrations_of("app.predictions").items():
        if name < number:
            await connection.execute(sql)
            await connection.execute("INSERT INTO schema_migrations VALUES ($1)", name)


async def test_stored_predictions_are_carried_over(server: Databases) -> None:
    scenario_id = uuid4()
    async with server.empty() as dsn:
        async with open_connection(dsn) as connection:
            await migrate_before(connection, "003")
            for frame, labels, confidences in [
                (0, ["car", "car"], [0.25, 0.5]),
                (1, [], []),
                (FRAMES_PER_BLOCK - 1, [""], [0.125]),
                (FRAMES_PER_BLOCK, ["traffic light", "car"], [0.75, 0.25]),
            ]:
                await connection.execute(
                    "INSERT INTO predictions VALUES ($1, $2, 0, $3, $4, $5)",
                    scenario_id,
                    frame,
                    labels,
                    confidences,
                    list(range(4 * len(labels))),
                )
        assert "003_label_blocks.sql" in await migrate(dsn, "app.predictions")
        async with open_connection(dsn) as connection:
            rows = await connection.fetch("SELECT labels, confidences, boxes FROM predictions ORDER BY frame")
            assert [tuple(row) for row in rows] == [
                ("car\ncar", packed(0.25, 0.5), packed(*range(8))),
                ("", b"", b""),
                ("", packed(0.125), packed(*range(4))),
                ("traffic light\ncar", packed(0.75, 0.25), packed(*range(8))),
            ]
            blocks = await connection.fetch(
                'SELECT label, block, max_confidence FROM label_blocks ORDER BY block, label COLLATE "C"'
            )
            assert [tuple(row) for row in blocks] == [
                ("", 0, 0.5),
                ("car", 0, 0.5),
                ("", 1, 0.75),
                ("car", 1, 0.25),
                ("traffic light", 1, 0.75),
            ]
            known = await connection.fetch("SELECT * FROM found_labels ORDER BY label")
            assert [tuple(row) for row in known] == [("car", scenario_id), ("traffic light", scenario_id)]


async def test_pictures_that_were_stored_for_each_event_are_stored_for_each_frame(server: Databases) -> None:
    one, other = uuid4(), uuid4()
    async with server.empty() as dsn:
        async with open_connection(dsn) as connection:
            await migrate_before(connection, "020")
            for scenario_id, event_id, frame, score in ((one, 1, 7, 2.0), (one, 2, 7, 3.0), (one, 3, 8, 4.0),
                                                        (other, 1, 7, 5.0)):  # fmt: skip
                await connection.execute(
                    "INSERT INTO events (scenario_id, event_id, start_frame, end_frame, best_frame,"
                    " start_time, end_time, best_time, best_confidence, kind, state, name, label, best_box)"
                    " VALUES ($1, $2, 0, 0, 0, 0, 0, 0, 1, 'object', 'ended', '', 'person', '{0,0,9,9}')",
                    scenario_id,
                    event_id,
                )
                await connection.execute(
                    "INSERT INTO evidence (scenario_id, event_id, frame, time, score, width, height, bytes,"
                    " box, picture) VALUES ($1, $2, $3, 60, $4, 640, 360, 4, '{1,2,3,4}', 'jpeg')",
                    scenario_id,
                    event_id,
                    frame,
                    score,
                )
        await migrate(dsn, "app.predictions")
        async with open_connection(dsn) as connection:
            kept = await connection.fetch("SELECT * FROM evidence ORDER BY scenario_id = $1 DESC, frame", one)
            pictures = [(row["scenario_id"], row["frame"]) for row in kept]
            assert pictures == [(one, 7), (one, 8), (other, 7)]
            assert {tuple(row)[2:] for row in kept} == {(60.0, 640, 360, 4, b"jpeg")}
            shown = await connection.fetch(
                "SELECT scenario_id, event_id, frame, score, box FROM event_pictures ORDER BY score"
            )
            box = [1.0, 2.0, 3.0, 4.0]
            assert [tuple(row) for row in shown] == [
                (one, 1, 7, 2.0, box),
                (one, 2, 7, 3.0, box),
                (one, 3, 8, 4.0, box),
                (other, 1, 7, 5.0, box),
            ]
            await connection.execute("DELETE FROM events WHERE scenario_id = $1 AND event_id = 1", one)
            assert await connection.fetchval("SELECT count(*) FROM evidence") == 3
            await connection.execute("DELETE FROM events WHERE scenario_id = $1", one)
            assert await connection.fetchval("SELECT count(*) FROM evidence") == 1


async def test_stored_timelines_and_events_are_summed(server: Databases) -> None:
    one, other = uuid4(), uuid4()
    async with server.empty() as dsn:
        async with open_connection(dsn) as connection:
            await migrate_before(connection, "027")
            for scenario_id, events in ((one, 3), (other, 0)):
                await connection.execute(
                    "INSERT INTO checkpoints (scenario_id, attempt, run_token)"
                    " VALUES ($1, 1, gen_random_uuid())",
                    scenario_id,
                )
                await connection.execute(
                    "INSERT INTO timeline_buckets"
                    " SELECT $1, label, n, 2, 3, n / 64.0, 1 FROM generate_series(1, 45) AS n,"
                    " unnest(ARRAY['', 'car']) AS label WHERE label = '' OR n < 3 OR n = 40",
                    scenario_id,
                )
                await connection.execute(
                    "INSERT INTO events (scenario_id, event_id, start_frame, end_frame, best_frame,"
                    " start_time, end_time, best_time, best_confidence, kind, state, name, label, best_box)"
                    " SELECT $1, n, 0, 0, 0, 0, 0, 0, 1, 'object', 'ended', '', 'car', '{0,0,9,9}'"
                    "   FROM generate_series(1, $2) AS n",
                    scenario_id,
                    events,
                )
        await migrate(dsn, "app.predictions")
        async with open_connection(dsn) as connection:
            sums = await connection.fetch("SELECT * FROM timeline_sums WHERE scenario_id = $1", one)
            assert sorted(tuple(row)[1:] for row in sums) == [
                ("", 0, 38, 57, 19 / 64, 19),
                ("", 1, 40, 60, 39 / 64, 20),
                ("car", 0, 4, 6, 2 / 64, 2),
            ]
            counts = await connection.fetch("SELECT * FROM event_counts")
            assert [tuple(row) for row in counts] == [(one, "object", "", "car", 3)]
            counted = await connection.fetch("SELECT scenario_id, events_counted_before FROM checkpoints")
            assert {tuple(row) for row in counted} == {(one, 4), (other, 1)}


async def test_sums_that_an_earlier_version_left_of_deleted_scenarios_are_removed(server: Databases) -> None:
    left, kept = uuid4(), uuid4()
    async with server.empty() as dsn:
        async with open_connection(dsn) as connection:
            await migrate_before(connection, "028")
            for scenario_id in (left, kept):
                await connection.execute(
                    "INSERT INTO checkpoints (scenario_id, attempt, run_token, dropped, purged)"
                    " VALUES ($1, 1, gen_random_uuid(), $2, $2)",
                    scenario_id,
                    scenario_id == left,
                )
                await connection.execute(
                    "INSERT INTO timeline_sums VALUES ($1, '', 0, 1, 1, 1, 0)", scenario_id
                )
                await connection.execute(
                    "INSERT INTO event_counts VALUES ($1, 'object', '', 'car', 1)", scenario_id
                )
        await migrate(dsn, "app.predictions")
        async with open_connection(dsn) as connection:
            for table in ("timeline_sums", "event_counts"):
                rows = await connection.fetch(f"SELECT scenario_id FROM {table}")  # noqa: S608
                assert [row["scenario_id"] for row in rows] == [kept]


async def test_release_0_1_0_writes_and_reads_rows_without_class_numbers(predictions: Database) -> None:
    """Its columns; the rows that it finds by label come from a function that returns whole rows."""
    scenario_id = uuid4()
    async with predictions.connection() as connection:
        await connection.execute(
            "INSERT INTO predictions (scenario_id, frame, time, labels, confidences, boxes, track_ids, error)"
            " VALUES ($1, 0, 0, 'car', $2, $3, NULL, NULL)",
            scenario_id,
            packed(0.5),
            packed(1, 2, 3, 4),
        )
        await connection.execute("INSERT INTO label_blocks VALUES ($1, 'car', 0, 0.5)", scenario_id)
        [row] = await connection.fetch(
            "SELECT frame, time, labels, confidences, boxes, track_ids, error"
            "  FROM predictions_with($1, 'car', 0.1, 0, 9, 9)",
            scenario_id,
        )
        assert row["labels"] == "car"
        [now] = await connection.fetch("SELECT * FROM predictions WHERE scenario_id = $1", scenario_id)
    assert decode(now) == Prediction(0, 0.0, (Detection("car", 0.5, (1.0, 2.0, 3.0, 4.0)),))


async def test_release_0_1_0_reads_the_boxes_of_rows_with_class_numbers(predictions: Database) -> None:
    """It unpacks `boxes` as a whole, and takes four numbers for each label."""
    scenario_id, box = uuid4(), packed(1, 2, 3, 4)
    await add_prediction(predictions, scenario_id, 0, ("car", 0.5), boxes=box + class_ids(MAX_CLASS_ID))
    async with predictions.connection() as connection:
        [row] = await connection.fetch("SELECT * FROM predictions WHERE scenario_id = $1", scenario_id)
    sides = [round(side, 2) for side in struct.unpack(f">{len(row['boxes']) // 4}f", row["boxes"])]
    assert sides[:4] == [1.0, 2.0, 3.0, 4.0]
    assert decode(row).detections == (Detection("car", 0.5, (1.0, 2.0, 3.0, 4.0), class_id=MAX_CLASS_ID),)


@pytest.mark.parametrize("numbers", [b"\x00", b"\x00\x01", class_ids(1, 2)])
async def test_a_row_has_as_many_class_numbers_as_detections(predictions: Database, numbers: bytes) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="lists_are_parallel"):
        await add_prediction(predictions, uuid4(), 0, ("car", 0.5), boxes=packed(1, 2, 3, 4) + numbers)


async def test_predictions_have_at_most_eight_columns(predictions: Database) -> None:
    """A ninth makes the bitmap of nulls longer than a byte, and each row's header 8 bytes larger."""
    async with predictions.connection() as connection:
        columns = await connection.fetchval(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'predictions'::regclass AND attnum > 0"
        )
    assert columns <= 8

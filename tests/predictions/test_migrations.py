"""Predictions that older versions stored."""

from uuid import uuid4

from app.postgres import migrate, migrations_of, open_connection
from app.predictions.codec import FRAMES_PER_BLOCK
from tests.support.databases import Databases
from tests.support.rows import packed


async def test_stored_predictions_are_carried_over(server: Databases) -> None:
    scenario_id = uuid4()
    async with server.empty() as dsn:
        async with open_connection(dsn) as connection:
            await connection.execute("CREATE TABLE schema_migrations (name text PRIMARY KEY)")
            for name in ("001_predictions.sql", "002_frozen_sources.sql"):
                await connection.execute(migrations_of("app.predictions")[name])
                await connection.execute("INSERT INTO schema_migrations VALUES ($1)", name)
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

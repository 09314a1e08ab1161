"""However stuck what it works with is, the service ends in time."""

import time
from pathlib import Path

from anyio import to_thread

from tests.support.cameras import silent_camera
from tests.support.proxy import proxied
from tests.support.service import running


async def test_it_ends_in_time_though_both_databases_and_a_camera_are_silent(
    tmp_path: Path, scenarios_dsn: str, predictions_dsn: str
) -> None:
    async with proxied(scenarios_dsn) as scenarios, proxied(predictions_dsn) as predictions:
        dsns = {"scenarios_dsn": scenarios.dsn, "predictions_dsn": predictions.dsn}
        async with running(tmp_path, **dsns) as service:
            recording = "test:testsrc2?rate=30&duration=3600"
            ids = [
                await service.create(recording, {"type": "people"}, sampling={"mode": "all"})
                for _ in range(3)
            ]
            for scenario_id in ids:
                await service.reaches(scenario_id, "active")
            with silent_camera() as url:
                await service.reaches(await service.create(url, {"type": "mock"}), "in_startup_processing")
                scenarios.silence()
                predictions.silence()
                began = time.monotonic()
                await to_thread.run_sync(service.terminate)
    assert time.monotonic() - began < 10

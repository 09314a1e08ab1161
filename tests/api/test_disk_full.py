"""What the API tells while the disk of the embedded server is full."""

import re
from pathlib import Path

import pytest

from app.api import ApiDeps
from app.postgres import Database
from app.postgres.embedded import disk_space
from app.postgres.embedded.disk_space import DiskSpace
from tests.api.conftest import Start, connected
from tests.support.rows import MEDIA, add_scenario


async def test_a_full_disk_is_the_reason_until_there_is_room(
    start: Start, deps: ApiDeps, scenarios: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deps = ApiDeps(deps.scenarios, deps.predictions, deps.bus, DiskSpace(tmp_path))
    active = await add_scenario(scenarios, media=MEDIA)
    ended = await add_scenario(scenarios, state="inactive", age=1)
    async with start(deps) as app, connected(app) as http:
        for is_full in (False, True, False):
            monkeypatch.setattr(disk_space, "MIN_FREE", 2**62 if is_full else 0)
            scenario = (await http.get(f"/scenarios/{active}")).json()
            listed = (await http.get("/scenarios")).json()["items"]
            ready = await http.get("/health/ready")
            metrics = (await http.get("/metrics")).text
            assert listed[0] == scenario
            assert (await http.get(f"/scenarios/{ended}")).json()["reason"] is None
            assert ready.status_code == (503 if is_full else 200)
            assert f'held_up{{reason="no_space"}} {float(is_full)}' in metrics
            assert re.search(r"^videoanalysis_disk_free_bytes \d", metrics, re.MULTILINE)
            if is_full:
                assert scenario["reason"]["code"] == "no_space"
                assert scenario["reason"]["text"].startswith("No space is left on the disk of VA_DATA_DIR")
                assert "no space is left" in str(ready.json()["waiting_for"])
            else:
                assert scenario["reason"] is None

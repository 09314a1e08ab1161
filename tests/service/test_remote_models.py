"""Whole processes: a service whose models are computed by an inference server of the same version."""

from pathlib import Path
from typing import Any

import pytest

from tests.support import models
from tests.support.clips import marker_clip
from tests.support.service import running
from tests.support.waiting import until

KEY = "a-key-of-at-least-sixteen"
FRAMES = 300


@pytest.mark.timeout(240)
async def test_a_runner_without_models_finds_what_one_with_them_finds_over_kills_of_both(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    models.yolov8(folder / "model.onnx", (64, 64))
    server, client, local = (tmp_path / name for name in ("server", "client", "local"))
    for each in (server, client, local):
        each.mkdir()
    asked: list[Any] = [
        {"detector": {"type": "onnx", "model": "model.onnx", "confidence": 0.4}, "sampling": {"mode": "all"}},
        {"detector": {"type": "objects", "confidence": 0.05}, "sampling": {"mode": "fps", "fps": 10}},
    ]
    async with running(server, model_root=folder, roles="inference", inference_key=KEY) as inference:
        options = {
            "inference": "remote",
            "inference_urls": f"http://127.0.0.1:{inference.port}",
            "inference_key": KEY,
        }
        async with running(client, **options) as service:
            marker_clip(service.media / "clip.mp4", frames=FRAMES, size=(256, 192))
            (runner,) = (await service.http.get("/runners")).json()["items"]
            assert (runner["backend"], runner["precision"]) == ("remote", None)
            made = [await service.create("clip.mp4", **each) for each in asked]

            async def has_begun() -> bool:
                return bool((await service.get(made[0]))["progress"]["frames_sampled"])

            async def waits() -> bool:
                reasons = [(await service.get(each))["reason"] for each in made]
                return all(reason and reason["code"] == "no_inference_server" for reason in reasons)

            await until(has_begun, timeout=60)
            inference.kill()
            await until(waits, timeout=60)
            service.kill()
            await inference.start()
            await service.start()
            ended = [await service.ends(each, timeout=120) for each in made]
            found = [await service.predictions(each) for each in made]
    for scenario, rows, step in zip(ended, found, (1, 3), strict=True):
        assert (scenario["outcome"], scenario["reason"]) == ("completed", None)
        assert scenario["progress"]["frames_failed"] == 0
        assert [row["frame"] for row in rows] == list(range(0, FRAMES, step))
    async with running(local, model_root=folder) as service:
        marker_clip(service.media / "clip.mp4", frames=FRAMES, size=(256, 192))
        for each, scenario, rows in zip(asked, ended, found, strict=True):
            made_here = await service.create("clip.mp4", **each)
            here = await service.ends(made_here, timeout=120)
            assert here["inference"] == scenario["inference"]
            assert await service.predictions(made_here) == rows
    assert any(row["detections"] for row in found[0])

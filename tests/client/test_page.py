"""The examples of docs/client.md, run as they stand there."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from anyio import to_thread

import app
import app.client
from tests.browser.site import Site
from tests.client.conftest import KEY
from tests.support.paths import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.DOTALL)


class Detections:
    """What supervision's has of the same name: it is too large to be installed for a test."""

    def __init__(self, *, xyxy: Any, confidence: Any, class_id: Any, tracker_id: Any, data: Any) -> None:
        assert xyxy.shape == (len(confidence), 4)
        assert np.isfinite(xyxy).all()
        for values in (confidence, class_id, tracker_id, data["class_name"]):
            assert values.shape == (len(xyxy),)
        assert class_id.dtype.kind == tracker_id.dtype.kind == "i"
        self.xyxy = xyxy


@pytest.fixture(autouse=True)
def installed(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package have the name that it has if it is installed, and the service's address."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDEOANALYSIS_URL", site.url)
    monkeypatch.setenv("VIDEOANALYSIS_API_KEY", KEY)
    monkeypatch.setitem(sys.modules, "videoanalysis", app)
    monkeypatch.setitem(sys.modules, "videoanalysis.client", app.client)
    if find_spec("supervision") is None:
        stand_in = ModuleType("supervision")
        stand_in.Detections = Detections  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "supervision", stand_in)


async def ran(example: str, capsys: pytest.CaptureFixture[str]) -> str:
    await to_thread.run_sync(exec, compile(example, "docs/client.md", "exec"), {})
    return capsys.readouterr().out


async def test_the_first_example_analyses_a_recording_and_takes_its_results_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = await ran(EXAMPLES[0], capsys)
    assert "completed 10\n" in said
    assert "aruco:9 0.3 " in said
    assert len(Path("clip.csv").read_text().splitlines()) == 11  # noqa: ASYNC240
    assert len(EXAMPLES) == 3


async def test_the_second_example_ends_in_a_table_of_pandas(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pandas", reason="needs pandas, which is in requirements-dev.lock")
    await ran(EXAMPLES[0], capsys)  # so that there is a scenario
    assert re.search(r"\naruco:7 +0\.23\d* +0\.23\d* +1\n", await ran(EXAMPLES[1], capsys))
    assert "Empty DataFrame" in await ran(EXAMPLES[1].replace("in frame.detections", "in ()"), capsys)


async def test_the_third_example_ends_in_detections_of_supervision(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await ran(EXAMPLES[0], capsys)
    assert re.search(r"\[\[ *\d+\. +\d+\. +\d+\. +\d+\.\]\]\n$", await ran(EXAMPLES[2], capsys))

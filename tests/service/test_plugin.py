"""The plug-in of docs/plugins.md, installed into an environment of its own, and uninstalled again."""

import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.service import ServiceProcess
from tests.support.waiting import until

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
SOURCE = "test:testsrc2?duration=100&size=160x96&rate=30"
DETECTOR = {"type": "bright_spots", "level": 200}

pytestmark = pytest.mark.timeout(240)


def make_environment(folder: Path) -> Path:
    """Make an environment that also finds the packages of this one. Returns its Python."""
    venv.create(folder, symlinks=True)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (packages / "these.pth").write_text(sysconfig.get_path("purelib") + "\n")
    broken = packages / "broken-2.1.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 2.1\n")
    (broken / "entry_points.txt").write_text("[videoanalysis.detectors]\nbroken = no_such_module:Config\n")
    return folder / "bin" / "python"


def write_plugin(folder: Path) -> Path:
    """Write the files that the page shows."""
    page = (ROOT / "docs" / "plugins.md").read_text()
    folder.mkdir()
    for name, language in (("pyproject.toml", "toml"), ("bright_spots.py", "python")):
        block = re.search(rf"```{language}\n(.+?)```", page, re.DOTALL)
        assert block
        (folder / name).write_text(block[1])
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the plug-in."""
    folder = tmp_path_factory.mktemp("plugin")
    made = make_environment(folder / "venv")
    command = [*PIP, "--python", str(made), "install", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, str(write_plugin(folder / "bright-spots"))], check=True)
    return made


async def test_a_plugin_detects_until_it_is_uninstalled_and_goes_on_when_it_is_back(
    tmp_path: Path, python: Path
) -> None:
    service = ServiceProcess(tmp_path)
    service.python = python
    try:
        await service.start()
        listed = (await service.http.get("/detectors")).json()
        (described,) = [each for each in listed["items"] if each["name"] == "bright_spots"]
        assert described["labels"] == "`bright spot`"
        assert described["package"] == "bright-spots 1.0"
        assert described["example"] == {"type": "bright_spots", "level": 230, "min_area": 100}
        assert described["config_schema"]["properties"]["level"]["maximum"] == 255
        (fault,) = listed["faults"]
        assert fault.startswith("the detector 'broken' of broken 2.1 cannot be used: ModuleNotFoundError")
        assert "cannot be used" in service.log.read_text()
        for wrong, field in (({"level": 300}, "detector.level"), ({"levels": 3}, "detector.levels")):
            body = {"source": SOURCE, "detector": DETECTOR | wrong}
            refused = await service.http.post("/scenarios", json=body)
            assert (refused.status_code, refused.json()["field"]) == (422, field)
        scenario_id = await service.create(SOURCE, DETECTOR, sampling={"mode": "all"})
        await until(lambda: has_stored(service, scenario_id))
        service.kill()
    finally:
        await service.end()

    without = ServiceProcess(tmp_path)
    try:
        await without.start()
        await until(lambda: is_waiting(without, scenario_id), timeout=60)
        shown = await without.get(scenario_id)
        assert shown["detector"] == DETECTOR | {"min_area": 100}
        assert "detector:bright_spots" in shown["reason"]["text"]
        refused = await without.http.post("/scenarios", json={"source": SOURCE, "detector": DETECTOR})
        assert refused.status_code == 422
        assert "GET /detectors" in refused.json()["detail"]
        without.kill()
    finally:
        await without.end()

    again = ServiceProcess(tmp_path)
    again.python = python
    try:
        await again.start()
        assert (await again.ends(scenario_id, timeout=120))["outcome"] == "completed"
        predictions = await again.predictions(scenario_id)
        assert [each["frame"] for each in predictions] == list(range(3000))
        labels = {found["label"] for each in predictions for found in each["detections"]}
        assert labels == {"bright spot"}
    finally:
        await again.end()


async def has_stored(service: ServiceProcess, scenario_id: str) -> bool:
    return bool((await service.get(scenario_id))["progress"]["frames_sampled"])


async def is_waiting(service: ServiceProcess, scenario_id: str) -> bool:
    reason = (await service.get(scenario_id))["reason"]
    return reason is not None and reason["code"] == "no_feature"

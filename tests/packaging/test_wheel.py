"""The wheel: what it holds, and that it runs beside a foreign package `app`."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from app import __version__
from tests.support.paths import ROOT
from tests.support.service import running

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the checkout, with the build backend of the development environment."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a folder of its own; its dependencies come from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--target", folder, wheel], check=True)
    return folder


def test_the_wheel_holds_one_package_with_every_module_and_migration(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    metadata = f"videoanalysis-{__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"videoanalysis", metadata}
    kinds = ("*.py", "*.sql", "py.typed", "*.onnx", "LICENSE", "NOTICE", "pages/*.*", "pages/static/**/*.*")
    source = {path for kind in kinds for path in (ROOT / "app").rglob(kind)}
    expected = {f"videoanalysis/{path.relative_to(ROOT / 'app').as_posix()}" for path in source}
    assert {name for name in names if name.startswith("videoanalysis/")} == expected
    assert "videoanalysis/py.typed" in names
    assert {
        f"videoanalysis/detectors/objects/{name}" for name in ("coco_ssd.onnx", "LICENSE", "NOTICE")
    } <= names
    assert {f"videoanalysis/pages/{name}" for name in ("index.html", "static/vendor/LICENSES.txt")} <= names
    assert any(name.startswith("videoanalysis/scenarios/migrations/") for name in names)


@pytest.mark.parametrize("decoding", ["thread", "process"])
async def test_the_wheel_analyses_a_video_beside_a_foreign_package_app(
    installed: Path, tmp_path: Path, decoding: str
) -> None:
    foreign = tmp_path / "app"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("raise ImportError('the foreign package was imported')\n")
    async with running(tmp_path, installed, app="videoanalysis.main:app", decoding=decoding) as service:
        scenario_id = await service.create("test:testsrc2?duration=2", {"type": "motion"})
        assert (await service.ends(scenario_id))["outcome"] == "completed"
        assert len(await service.predictions(scenario_id)) == 4
        with_model = await service.create("test:testsrc2?duration=1", {"type": "objects"})
        assert (await service.ends(with_model))["outcome"] == "completed"


def test_the_settings_module_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "videoanalysis.settings"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "VA_PORT": "8123"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "--host 127.0.0.1 --port 8123\n"

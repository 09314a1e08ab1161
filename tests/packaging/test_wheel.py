"""The wheel: what it holds, and that what it installs runs in any folder, beside a foreign package `app`."""

import csv
import json
import subprocess
import sys
import sysconfig
import tarfile
import venv
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from app import __version__
from app.video.sample import write_sample
from tests.support.command import command_environment
from tests.support.paths import ROOT
from tests.support.service import ServiceProcess, running

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
METADATA = f"videoanalysis-{__version__}.dist-info"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack the sources of the checkout, as `python -m build` does first."""
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the packed sources, with the build backend of the development environment."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(sdist)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own. pip finds all that it needs in this environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (site_packages_of(folder) / "these.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([*PIP, "--python", folder / "bin" / "python", "install", "--no-index", wheel], check=True)
    return folder


def site_packages_of(environment: Path) -> Path:
    return environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def called(environment: Path, folder: Path, *arguments: str, **variables: str) -> str:
    """Run the installed command in a folder, and return what it prints."""
    ended = subprocess.run(
        [environment / "bin" / "videoanalysis", *arguments],
        cwd=folder,
        env=command_environment(**variables) | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended
    return ended.stdout


def test_the_wheel_holds_one_package_with_every_module_and_migration(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.partition("/")[0] for name in names} == {"videoanalysis", METADATA}
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


def test_the_wheel_says_what_it_is_what_it_needs_and_under_which_licences(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = Parser().parsestr(archive.read(f"{METADATA}/METADATA").decode())
        entries = archive.read(f"{METADATA}/entry_points.txt").decode()
    assert (metadata["Name"], metadata["Version"]) == ("videoanalysis", __version__)
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    licences = metadata.get_all("License-File") or []
    assert {"LICENSE", "app/detectors/objects/LICENSE", "app/pages/static/vendor/LICENSES.txt"} <= set(
        licences
    )
    assert {f"{METADATA}/licenses/{path}" for path in licences} <= names
    assert entries.split() == ["[console_scripts]", "videoanalysis", "=", "videoanalysis.command.main:main"]
    assert set(metadata.get_all("Provides-Extra") or []) >= {"mqtt", "openvino", "parquet"}
    assert str(metadata.get_payload()).startswith("# ")  # the README, which package indexes show


def test_the_packed_sources_have_what_builds_the_wheel_and_no_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames()}
    assert tops <= {"app", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", ".gitignore"}
    assert {"app", "LICENSE", "pyproject.toml"} <= tops


async def test_the_wheel_analyses_a_video_beside_a_foreign_package_app(
    environment: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "app"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("raise ImportError('the foreign package was imported')\n")
    installed = site_packages_of(environment)
    async with running(tmp_path, installed, app="videoanalysis.main:app", decoding="process") as service:
        await analyses(service)


async def test_the_installed_command_runs_the_service_and_examines_it(
    environment: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "app"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("raise ImportError('the foreign package was imported')\n")
    service = ServiceProcess(tmp_path, Path(), log_format="json")
    service.command = (environment / "bin" / "videoanalysis", "run", "--port", str(service.port))
    try:
        await service.start()
        await analyses(service)
        printed = called(environment, tmp_path, "doctor", "--json", port=str(service.port))
        findings = [json.loads(line) for line in printed.splitlines()]
        said = {each["subject"]: each["text"] for each in findings}
        assert said["port"].endswith(", and is ready")
        assert "migrations" in said["database scenarios"]
    finally:
        await service.end()


async def analyses(service: ServiceProcess) -> None:
    """Have two videos analysed."""
    scenario_id = await service.create("test:testsrc2?duration=2", {"type": "motion"})
    assert (await service.ends(scenario_id))["outcome"] == "completed"
    assert len(await service.predictions(scenario_id)) == 4
    with_model = await service.create("test:testsrc2?duration=1", {"type": "objects"})
    assert (await service.ends(with_model))["outcome"] == "completed"
    assert "<html" in (await service.http.get("/")).text


def test_the_installed_command_analyses_files_in_any_folder(environment: Path, tmp_path: Path) -> None:
    write_sample(tmp_path)
    asked = ("analyze", "sample.mp4", "--detector", "marker", "--export", "found.csv", "--json")
    report = json.loads(called(environment, tmp_path, *asked))
    (file,) = report["files"]
    assert (file["outcome"], file["frames"]) == ("completed", 24)
    with (tmp_path / "found.csv").open(newline="") as found:
        assert len(list(csv.DictReader(found))) == sum(each["detections"] for each in file["labels"]) > 24
    again = json.loads(called(environment, tmp_path, *asked))
    assert again["files"] == [file | {"was_analysed_before": True}]
    assert not list(tmp_path.glob(".videoanalysis/postgres/data/postmaster.pid"))  # its server has ended

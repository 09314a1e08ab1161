"""The image: it cannot be built here, but what it runs is run as it is written."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from anyio import run_process

from app.settings import VARIABLES
from tests.deployment import dockerfile
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until

BIN = Path(sys.executable).parent


class Container:
    """What a container is to its host: a program that runs, a check of its health, and a port."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.port = free_port()
        self._folder = folder
        outside = {name: text for name, text in os.environ.items() if not name.startswith("VA_")}
        here = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "UVICORN_PORT": str(self.port),
            "VA_MEDIA_ROOT": str(folder),
            "VA_MODEL_ROOT": str(folder),
        }
        assert here.keys() < dockerfile.environment().keys() | {"PATH"}
        self._environment = outside | dockerfile.environment() | here | variables
        (folder / "app").symlink_to(ROOT / "app")  # as WORKDIR holds it
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                dockerfile.entry_point(), cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )

    async def is_healthy(self) -> bool:
        checked = await run_process(
            dockerfile.health_check(), cwd=self._folder, env=self._environment, check=False
        )
        return checked.returncode == 0

    async def readiness(self) -> int:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{self.port}/health/ready")).status_code

    def log(self) -> str:
        return (self._folder / "log").read_text()


Run = Callable[..., AbstractAsyncContextManager[Container]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    @asynccontextmanager
    async def running(**variables: str) -> AsyncIterator[Container]:
        container = Container(tmp_path, **variables)
        container.start()
        assert container.process is not None
        try:
            await until(container.is_healthy)
            yield container
        finally:
            container.process.kill()
            container.process.wait()

    return running


async def test_the_entry_point_serves_until_it_is_told_to_stop(
    run: Run, scenarios_dsn: str, predictions_dsn: str
) -> None:
    async with run(VA_SCENARIOS_DSN=scenarios_dsn, VA_PREDICTIONS_DSN=predictions_dsn) as container:
        assert await container.readiness() == 200
        assert container.process is not None
        container.process.send_signal(getattr(signal, dockerfile.the("STOPSIGNAL")))
        assert container.process.wait(timeout=10) in (0, -signal.SIGTERM), container.log()
        assert "Traceback" not in container.log()
        assert not await container.is_healthy()


async def test_a_process_whose_database_is_away_is_healthy_but_not_ready(run: Run) -> None:
    async with run(
        VA_ROLES="runner",
        VA_BUS="kafka",
        VA_KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}",
        VA_PREDICTIONS_DSN=f"postgresql://nobody@127.0.0.1:{free_port()}/predictions",
    ) as container:
        assert await container.readiness() == 503


async def test_a_container_that_answers_with_an_error_is_not_healthy(tmp_path: Path) -> None:
    container = Container(tmp_path)

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", container.port), Broken) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert not await container.is_healthy()
        server.shutdown()


def test_the_dockerfile_passes_hadolint() -> None:
    checked = subprocess.run([BIN / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (checked.stdout, checked.returncode) == ("", 0)


def test_every_stage_stands_on_one_exact_base() -> None:
    bases = {stage[0].arguments.split(" AS ")[0] for stage in dockerfile.stages()}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+(@sha256:[\da-f]{64})?", bases.pop())


def test_the_image_runs_as_an_ordinary_user_given_by_number() -> None:
    user, _, group = dockerfile.the("USER").partition(":")
    assert int(user) >= 1000
    assert int(group) >= 1000


def test_the_image_says_which_port_it_serves_and_sets_only_settings() -> None:
    variables = dockerfile.environment()
    assert variables["UVICORN_PORT"] == dockerfile.the("EXPOSE")
    assert {name for name in variables if name.startswith("VA_")} <= VARIABLES.keys()


def test_the_build_is_given_only_what_it_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    copies = [each.arguments for stage in dockerfile.stages() for each in stage if each.name == "COPY"]
    sources = {word for each in copies if "--from=" not in each for word in each.split()[:-1]}
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_installs_the_run_time_lock_and_no_more() -> None:
    (install,) = (
        " ".join(each.arguments.split())
        for each in dockerfile.stages()[0]
        if each.name == "RUN" and "--python /venv" in each.arguments
    )
    assert install.endswith("--require-hashes --requirement requirements.lock")


def test_the_labels_say_what_the_project_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', dockerfile.the("LABEL")))
    assert labels == {
        "title": project["name"],
        "description": project["description"],
        "licenses": project["license"],
    }

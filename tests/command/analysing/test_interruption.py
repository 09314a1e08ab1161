"""Ctrl-C, at moments that are hard to meet."""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import Any, cast

import pytest
from anyio import Event

from app.command.analysing.engine import Engine
from app.command.analyze import analyze
from app.command.output import CommandError
from app.settings import Settings
from tests.support.paths import ROOT


def test_ctrl_c_before_the_engine_listens_stops_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def early(_settings: Settings) -> AsyncIterator[Engine]:
        signal.raise_signal(signal.SIGINT)
        yield Engine(cast("Any", None), Event())

    class NothingToDo:
        def __init__(self, *_: object) -> None:
            pass

        async def run(self, _recordings: object) -> list[object]:
            return []

    (tmp_path / "clip.mp4").write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("app.command.analysing.running.running_engine", early)
    monkeypatch.setattr("app.command.analysing.running.FileAnalysis", NothingToDo)
    monkeypatch.setattr("app.command.analysing.running.configure_process", lambda: None)
    monkeypatch.setattr("app.logs.configure", lambda *_: None)
    with pytest.raises(CommandError, match="Stopped") as caught:
        analyze.main(["clip.mp4"], standalone_mode=False)
    assert caught.value.exit_code == 130


def test_a_second_ctrl_c_ends_the_command_though_a_call_of_the_system_hangs() -> None:
    script = """
from os import pipe, read
from threading import Thread
from app.command.analysing.interruption import interruptible
waiting = Thread(target=read, args=(pipe()[0], 1))
with interruptible():
    waiting.start()
    print("ready", flush=True)
    waiting.join()
"""
    with Popen([sys.executable, "-c", script], stdout=PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(TimeoutExpired):
            process.wait(1)
        for _ in range(60):  # on a busy machine, the first may be noted so late that the next is taken for it
            process.send_signal(signal.SIGINT)
            with suppress(TimeoutExpired):
                process.wait(1)
        assert process.wait(60) == 130

"""A plug-in's detector: what it returns is checked, and what it raises is told."""

import os
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from app.detectors.base import MAX_DETECTIONS, DetectorError, WarmUp
from app.detectors.plugin import PluginDetector
from app.domain.prediction import Detection
from tests.support.pictures import ArrayPicture, plain

Found = Iterable[tuple[Any, ...]]


class Config(Struct, frozen=True, tag_field="type", tag="things"):
    make: Callable[[], object]

    def make_detector(self) -> object:
        return self.make()


class Made:
    def __init__(self, found: Found, **attributes: Any) -> None:
        self._found = found
        self.__dict__.update(attributes)

    def detect(self, _picture: object, _frame: int) -> Found:
        return self._found


def plugin(*found: tuple[Any, ...], **attributes: Any) -> PluginDetector:
    return PluginDetector(Config(lambda: Made(found, **attributes)))


def detect(*found: tuple[Any, ...]) -> tuple[Detection, ...]:
    return plugin(*found).detect(ArrayPicture(plain(640, 360)), 0)


def test_detections_are_cut_rounded_and_sorted() -> None:
    assert detect(("a", 0.5, -9, 10.01, 20, 30), ("b\n", 1.7, 1, 2, 3, 4, 7)) == (
        Detection("b�", 1.0, (1.0, 2.0, 3.0, 4.0), class_id=7),
        Detection("a", 0.5, (0.0, 10.0, 20.0, 30.0)),
    )
    assert detect(("a", float("nan"), 1, 2, 3, 4), ("a", 0.5, 3, 2, 1, 4)) == ()
    assert len(detect(*[("a", 0.5, 0, 0, 1 + n, 5) for n in range(MAX_DETECTIONS + 50)])) == MAX_DETECTIONS


@pytest.mark.parametrize(
    "found",
    [("a", 0.5, 1, 2, 3), ("a", 0.5, 1, 2, 3, 4, 5, 6), (1, 0.5, 1, 2, 3, 4), (0.5, "a", 1, 2, 3, 4), ()],
)
def test_anything_else_is_an_error_that_tells_what_to_return(found: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="'things' must return label, confidence, x1, y1, x2, y2"):
        detect(found)


def test_what_is_no_list_is_an_error_that_tells_what_to_return() -> None:
    class Silent:
        def detect(self, _picture: object, _frame: int) -> None:
            """Return nothing, because there is nothing."""

    with pytest.raises(TypeError, match="'things' must return a list, empty if it found nothing, not None"):
        PluginDetector(Config(Silent)).detect(ArrayPicture(plain(640, 360)), 0)
    with pytest.raises(TypeError, match=r"must return label, .* not 0.5"):
        PluginDetector(Config(lambda: Made([0.5]))).detect(ArrayPicture(plain(640, 360)), 0)  # type: ignore[list-item]


@pytest.mark.parametrize("found", [("a", "sure", 1, 2, 3, 4), ("a", 0.5, 1, 2, 3, 4, "car")])
def test_a_value_that_is_no_number_is_an_error(found: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError):
        detect(found)


def test_it_is_called_from_one_thread_unless_it_says_otherwise() -> None:
    assert plugin().is_single_threaded
    assert not plugin(is_single_threaded=False).is_single_threaded


def test_its_warm_up_and_the_digest_of_its_files_are_known() -> None:
    made = plugin(warm_up=(40, 8), model_digest="cafe")
    assert made.warm_up == WarmUp(40, 8)
    assert made.pins.model == "cafe"
    assert plugin().warm_up is None


def fail() -> object:
    raise FileNotFoundError("there is no a.bin: download it")


def test_sys_exit_fails_the_frame_and_does_not_end_the_service() -> None:
    class Leaving:
        def detect(self, _picture: object, _frame: int) -> Found:
            sys.exit(3)

    with pytest.raises(RuntimeError, match=r"'things' called sys.exit\(3\)"):
        PluginDetector(Config(Leaving)).detect(ArrayPicture(plain(640, 360)), 0)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (sys.exit, "SystemExit"),
        (fail, "there is no a.bin: download it"),
        (object, "has no attribute 'detect'"),
        (lambda: Made((), warm_up=(1, 2)), "warm-up"),
    ],
)
def test_a_detector_that_cannot_be_made_is_told_of(make: Callable[[], object], told: str) -> None:
    with pytest.raises(DetectorError, match=told):
        PluginDetector(Config(make))


def test_it_has_all_rights_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sandbox holds it: it reads keys, and writes files, as the service may (SECURITY.md)."""
    private, mine = tmp_path / "elsewhere" / "channels.toml", tmp_path / "elsewhere" / "written"
    private.parent.mkdir()
    private.write_text("token of a channel")
    private.chmod(0o600)
    monkeypatch.setenv("VA_API_KEYS", "a key of the service")
    monkeypatch.setenv("VA_MEDIA_ROOT", str(tmp_path / "media"))

    class Curious:
        def detect(self, _picture: object, _frame: int) -> Found:
            mine.write_text(f"{os.getpid()}: {os.environ['VA_API_KEYS']}, {private.read_text()}")
            with socket.create_connection(receiver.getsockname(), timeout=30) as connection:
                connection.sendall(mine.read_bytes())
            return ()

    with socket.create_server(("127.0.0.1", 0)) as receiver:
        PluginDetector(Config(Curious)).detect(ArrayPicture(plain(640, 360)), 0)
        connection, _ = receiver.accept()
        with connection:
            told = connection.makefile().read()
    assert told == f"{os.getpid()}: a key of the service, token of a channel"

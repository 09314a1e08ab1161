"""Plug-ins: those that can be used are loaded, and of the others it is told what is wrong."""

import sys
from importlib.metadata import EntryPoint, PathDistribution
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct

from app.domain.plugins import GROUP, Plugins, load_plugins


class Good(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="good"):
    """Things. Label: `thing`."""

    path: Annotated[str, Meta(examples=["a.bin"])]
    level: int = 3

    def make_detector(self) -> object:
        return object()


class Lenient(Struct, frozen=True, tag_field="type", tag="lenient"):
    """Things. Label: `thing`."""

    def make_detector(self) -> object:
        return object()


class Mute(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="mute"):
    """Things."""

    def make_detector(self) -> object:
        return object()


class Bare(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="bare"):
    """Things. Label: `thing`."""


class Needy(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="needy"):
    """Things. Label: `thing`."""

    path: str

    def make_detector(self) -> object:
        return object()


class Odd(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="odd"):
    """Things. Label: `thing`."""

    value: Any = None
    shape: complex = 0j

    def make_detector(self) -> object:
        return object()


class NoStruct:
    pass


def load(*names: str, value: str | None = None) -> Plugins:
    """Load entry points of these names, each with the class of its name in this module."""
    entries = [EntryPoint(name, value or f"{__name__}:{name.capitalize()}", GROUP) for name in names]
    return load_plugins(["motion"], entries)


def test_a_plugin_is_loaded_with_its_package() -> None:
    plugins = load("good")
    assert plugins.configs == (Good,)
    assert plugins.packages == {"good": f"{__name__}:Good"}  # there is no distribution in this test
    assert plugins.faults == {}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("lenient", None, "forbid_unknown_fields=True"),
        ("other", f"{__name__}:Good", 'tag="other"'),
        ("mute", None, "Label"),
        ("bare", None, "make_detector"),
        ("needy", None, "field path has neither a default nor an example"),
        ("odd", None, "complex"),
        ("motion", f"{__name__}:Good", "the service has a detector of this name"),
        ("No Name", f"{__name__}:Good", "small letters"),
        ("nostruct", f"{__name__}:NoStruct", "no msgspec Struct"),
        ("gone", "no_such_package:Config", "No module named 'no_such_package'"),
        ("gone", f"{__name__}:Gone", "Gone"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_left_out_and_says_why(
    name: str, value: str | None, told: str
) -> None:
    plugins = load_plugins(
        ["motion"],
        [
            EntryPoint(name, value or f"{__name__}:{name.capitalize()}", GROUP),
            EntryPoint("good", f"{__name__}:Good", GROUP),
        ],
    )
    assert plugins.configs == (Good,)
    assert plugins.faults.keys() == {name}
    assert plugins.faults[name].startswith(f"the detector {name!r} of ")
    assert told in plugins.faults[name]
    assert "\n" not in plugins.faults[name]


def test_a_plugin_that_exits_when_it_is_imported_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaving_plugin.py").write_text("import sys\nsys.exit('needs a GPU')\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins = load("good", value="leaving_plugin:Good")
    assert plugins.configs == ()
    assert "cannot be used: SystemExit: needs a GPU" in plugins.faults["good"]


def test_a_package_with_a_damaged_list_of_entry_points_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = {
        "damaged": f"[{GROUP}]\nno value\n",
        "unrelated": "[console_scripts]\nno value\n",
        "unreadable": "",
        "whole": f"[{GROUP}]\ngood = {__name__}:Good\n",
    }
    for name, text in lists.items():
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(text)
    (tmp_path / "unreadable-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff = \xfe")
    (tmp_path / "nameless-1.0.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    plugins = load_plugins(["motion"])
    assert plugins.configs == (Good,)
    assert plugins.packages == {"good": "whole 1.0"}
    assert plugins.faults == {
        "damaged": "the package 'damaged' cannot be used: its entry points are damaged, so reinstall it"
    }


def test_without_plugins_no_description_of_a_package_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are a hundred packages, and each process would parse all of theirs."""
    folder = tmp_path / "unrelated-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: unrelated\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[console_scripts]\nunrelated = unrelated:main\n")
    read: list[str] = []

    def read_text(package: PathDistribution, name: str) -> str | None:
        read.append(name)
        return original(package, name)

    original = PathDistribution.read_text
    monkeypatch.setattr(PathDistribution, "read_text", read_text)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert load_plugins(["motion"]) == Plugins()
    assert read == ["entry_points.txt"]


def test_two_packages_with_one_name_are_both_left_out() -> None:
    plugins = load("good", "good")
    assert plugins.configs == ()
    assert "uninstall one of them" in plugins.faults["good"]

"""The tree stays one that a newcomer finds their way in: small files, no cycles, no name twice."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.repository.structure import MOST_LINES, Tree
from tests.support.paths import ROOT

EVERYTHING = Tree(ROOT, "app", "tests", "tools", "benchmarks")
APP = Tree(ROOT, "app")


def test_no_file_is_long() -> None:
    assert EVERYTHING.long_files() == []


def test_no_three_modules_of_a_folder_share_their_first_word() -> None:
    assert EVERYTHING.repeated_prefixes() == []


def test_no_modules_name_begins_with_its_neighbours() -> None:
    assert EVERYTHING.names_that_begin_others() == []


def test_no_two_public_classes_have_one_name() -> None:
    assert APP.repeated_classes() == []


def test_no_modules_import_each_other() -> None:
    assert APP.import_cycle() == []


def test_benchmarks_import_of_the_tests_only_what_is_there_for_them() -> None:
    reached = EVERYTHING.reachable(EVERYTHING.modules_below("benchmarks"))
    assert [name for name in reached if name.startswith("tests.") and not is_support(name)] == []
    assert "pytest" not in reached


def is_support(name: str) -> bool:
    return name == "tests.support" or name.startswith("tests.support.")


@pytest.mark.parametrize(
    ("files", "find", "found"),
    [
        ({"a.py": "x\n" * (MOST_LINES + 1)}, Tree.long_files, [f"app/a.py: {MOST_LINES + 1}"]),
        (
            {"a_1.py": "", "test_a_2.py": "", "a.py": "", "b_1.py": ""},
            Tree.repeated_prefixes,
            ["app/a_: ['a', 'a_1', 'a_2']"],
        ),
        ({"run.py": "", "runner.py": "", "walk.py": ""}, Tree.names_that_begin_others, ["app/run, runner"]),
        (
            {"a.py": "class A: ...\nclass _B: ...", "b.py": "class A: ...\nclass _B: ..."},
            Tree.repeated_classes,
            ["A: ['app/a.py', 'app/b.py']"],
        ),
    ],
)
def test_what_is_looked_for_is_found(
    tmp_path: Path, files: dict[str, str], find: Callable[[Tree], list[str]], found: list[str]
) -> None:
    assert find(planted(tmp_path, files)) == found


@pytest.mark.parametrize(
    "files",
    [
        {"a.py": "from . import b", "b.py": "from .a import A"},
        {"a.py": "import app.b", "b.py": "def f():\n    from app import a"},
        {"a/__init__.py": "from .b import B", "a/b.py": "from ..a import C"},
        {"a/b.py": "from ..c import C", "c.py": "from .a.b import B"},
    ],
)
def test_a_cycle_is_found(tmp_path: Path, files: dict[str, str]) -> None:
    assert planted(tmp_path, files).import_cycle() != []


def test_what_is_imported_through_others_is_found(tmp_path: Path) -> None:
    tree = planted(tmp_path, {"a.py": "from .b import B", "b.py": "import pytest", "c.py": "import other"})
    assert tree.reachable(["app.a"]) == {"app.b", "pytest"}


def planted(root: Path, files: dict[str, str]) -> Tree:
    """A tree of these files, below `app`."""
    for name, text in files.items():
        path = root / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(root, "app")

"""The tracker computes with what is exact on every machine."""

import ast
import math
from pathlib import Path

import pytest

from app.analysis.tracking.association import logarithm
from tests.support.paths import ROOT

FOLDER = ROOT / "app" / "analysis" / "tracking"
ALLOWED = {"sqrt", "frexp"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_no_function_is_used_that_differs_between_machines(path: Path) -> None:
    assert inexact(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    ["x = a ** 2", "import math", "from math import hypot", "import numpy as np", "x = sum(y)", "hash(x)"],
)
def test_such_a_function_would_be_found(text: str) -> None:
    assert inexact(text) != []


def inexact(text: str) -> list[str]:
    """Names that may give another result on another machine or version of Python."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Pow):
            found.append("**")
        elif isinstance(node, ast.Name) and node.id in {"sum", "pow", "hash", "id"}:
            found.append(node.id)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module in {"math", "numpy", "cv2", "statistics"}:
            found += [alias.name for alias in node.names if alias.name not in ALLOWED]
    return found


@pytest.mark.parametrize("value", [1e-12, 0.3, 0.7071, 0.70711, 1.0, 1.4142, 2.0, 1234.5, 1e15])
def test_the_logarithm_is_right_to_six_digits(value: float) -> None:
    assert logarithm(value) == pytest.approx(math.log(value), rel=1e-6, abs=1e-6)

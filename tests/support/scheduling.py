"""Which tests `-n` keeps in one process, and which of them start first.

pytest-xdist 3.8 has groups for this, but pytest 9.2 does not let it mark them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest

_TOGETHER: Sequence[tuple[str, Sequence[str]]] = [
    ("fleets", ("tests/compatibility/", "tests/fleet/")),
    (
        "batteries with a broker",
        ("tests/torture/clocks/", "tests/torture/crash/", "tests/torture/kill/", "tests/torture/zombies/"),
    ),
    (
        "brokers",
        (
            "tests/api/test_secure_channels.py",
            "tests/bus/",
            "tests/notifier/test_brokers.py",
            "tests/service/test_lifecycle.py",
            "tests/tools/test_kafka.py",
            "tests/torture/outbox/",
        ),
    ),
]
"""Tests with a Kafka broker. Each group runs in one process, so three brokers are enough."""

_SHARED = (
    "tests/browser/",
    "tests/client/",
    "tests/command/",
    "tests/packaging/",
    "tests/recipes/",
    "tests/service/",
)
"""Tests whose files start a browser or a service, or build a wheel, for several of them."""

_FIRST = (
    "tests/service/",
    "tests/torture/",
    "tests/video/test_camera.py",
    "tests/video/test_live_playlists.py",
    "tests/video/transport/",
)
"""Tests that mostly wait: other tests use the cores at that time."""


def unit(nodeid: str) -> str:
    """Return the name of the tests that run in one process together with this one."""
    for name, folders in _TOGETHER:
        if nodeid.startswith(tuple(folders)):
            return name
    return nodeid.split("::")[0] if nodeid.startswith(_SHARED) else nodeid


def rank(nodeid: str) -> int:
    """Return a number that is smaller for tests that should start sooner, because they take longest."""
    names = [name for name, _ in _TOGETHER]
    if unit(nodeid) in names:
        return names.index(unit(nodeid))
    return len(names) + (not nodeid.startswith(_FIRST))


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist is not typed here
    """Hands out units in the order of the collected tests."""

    def __init__(self, config: "pytest.Config", log: object) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)

"""What is tried at full length only, and the battery's table, printed at the end of the session."""

import pytest

from tests.torture.battery import BATTERY, LONG, Battery


@pytest.fixture
def battery() -> Battery:
    """Where a test says what it tried and what was lost."""
    return BATTERY


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not LONG:
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = BATTERY.table()
    if lines:
        terminalreporter.section("nothing lost, nobody in")
        terminalreporter.write_line("\n".join(lines))

"""The battery's table, printed at the end of the session."""

import pytest

from tests.torture.battery import BATTERY, Battery


@pytest.fixture
def battery() -> Battery:
    """Where a test says what it tried and what was lost."""
    return BATTERY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = BATTERY.table()
    if lines:
        terminalreporter.section("nothing lost, nobody in")
        terminalreporter.write_line("\n".join(lines))

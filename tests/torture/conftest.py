"""The battery's fixture, and what runs at full length only."""

import pytest

from tests.torture.battery import LONG, Battery


@pytest.fixture
def battery(request: pytest.FixtureRequest) -> Battery:
    """Where a test says what it tried and what was lost."""
    return Battery(request.node.user_properties)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not LONG:
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]

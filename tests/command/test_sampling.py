"""The options `--fps` and `--all-frames`, as all sub-commands read them."""

import pytest
import rich_click as click

from app.command.sampling import sampling_of


def test_they_become_the_field_of_a_request() -> None:
    assert sampling_of(None) is None
    assert sampling_of(None, all_frames=True) == {"mode": "all"}
    assert sampling_of(2.5) == {"mode": "fps", "fps": 2.5}
    assert sampling_of(0) == {"mode": "fps", "fps": 0}  # the service refuses it, and says what is allowed


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(click.UsageError, match="not both"):
        sampling_of(2, all_frames=True)
    with pytest.raises(click.UsageError, match="must be a number"):
        sampling_of(float("nan"))

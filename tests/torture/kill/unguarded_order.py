"""The service, whose leader hands out without regard to the order that event streams tell."""

from app.orchestrator.leader import Leader
from tests.torture.lifecycle import slots_first

Leader._hand_out = slots_first.hand_out  # type: ignore[method-assign]

from app.main import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]

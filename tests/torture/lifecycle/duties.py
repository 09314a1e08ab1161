"""The leader's duties, without its loop and without a bus."""

from typing import cast

from app.bus import Bus
from app.orchestrator.dispatcher import Dispatcher
from app.orchestrator.heartbeats import Heartbeats
from app.orchestrator.leases import LeaseTiming
from app.orchestrator.rescuer import Rescuer
from app.orchestrator.signals import Signals
from tests.torture.lifecycle.example_database import ExampleDatabase

TIMING = LeaseTiming(heartbeat_interval=1e4, heartbeat_timeout=1e5)
"""Longer than any test takes: time passes only if a rule says so."""


class SilentBus:
    """In the place of a bus: the machine passes messages to handlers itself."""

    def partition_keys(self, _topic: object) -> list[str]:
        """Return the key of the only partition."""
        return ["0"]


class Duties:
    """The duties of a leader, each called by a rule."""

    def __init__(self, examples: ExampleDatabase) -> None:
        database, signals = examples.database, Signals()
        self.heartbeats = Heartbeats(
            database,
            cast("Bus", SilentBus()),
            TIMING,
            signals,
            is_leading=lambda: True,
            on_new_instance=lambda: None,
        )
        self.rescuer = Rescuer(database, TIMING, self.heartbeats.hearing, signals)
        self.dispatcher = Dispatcher(database, TIMING.grace, signals)

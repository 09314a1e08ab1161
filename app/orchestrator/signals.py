"""Wake-up calls between the parts of one orchestrator."""

from ..concurrency.wake import Wake
from ..messages import (
    BatchCommand,
    DeleteScenario,
    Message,
    RunStarted,
    UpdateScenario,
    results_changes,
    results_commands,
    runner_commands,
)
from .survey import Survey


class Signals:
    """Wakes the parts that have work to do after scenarios changed.

    A signal that was lost is made up for by the leader's next survey.
    """

    def __init__(self) -> None:
        self.announcer = Wake()
        self.leader = Wake()
        self.batches = Wake()
        self.has_batches = True
        """Whether a batch may be going, so that ends of runs matter to the keeper of batches."""
        self.scanner = Wake()
        self.relays = {topic: Wake() for topic in (runner_commands, results_commands, results_changes)}

    def after_message(self, message: Message) -> None:
        """Call when this process has handled a command or an event."""
        self.announcer.set()
        if isinstance(message, DeleteScenario):
            self.relays[results_commands].set()
        elif isinstance(message, UpdateScenario):
            self.relays[results_changes].set()
        elif isinstance(message, BatchCommand):
            self.batches.set()
            self.scanner.set()
        elif not isinstance(message, RunStarted):
            self.leader.set()
            if self.has_batches:
                self.batches.set()

    def after_decision(self) -> None:
        """Call when the leader has decided about scenarios."""
        self.relays[runner_commands].set()
        self.announcer.set()

    def after_survey(self, found: Survey) -> None:
        """Call when the leader has looked at everything."""
        for topic, relay in self.relays.items():
            if topic.name in found.unpublished:
                relay.set()
        if found.has_batches:
            self.has_batches = True
            self.batches.set()
            self.scanner.set()

    def after_announcement(self) -> None:
        """Call when another orchestrator announced that scenarios changed."""
        self.leader.set()
        self.batches.set()
        self.scanner.set()
        for relay in self.relays.values():
            relay.set()

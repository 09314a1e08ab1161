"""The messages on the bus and their topics: commands (imperative) and events (past tense).

A message travels as one JSON object whose `type` is the name of its class. A reader ignores fields that it
does not know, so that a newer version may add some. Frames never travel on the bus.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ..domain.features import FEATURES_OF_0_1_0, STORED
from ..domain.media import Media
from .base import Message as Message
from .batch_commands import CreateBatch as CreateBatch
from .batch_commands import DeleteBatch as DeleteBatch
from .batch_commands import StartBatch as StartBatch
from .batch_commands import StopBatch as StopBatch
from .batch_commands import UpdateBatch as UpdateBatch


class Instance(Struct, frozen=True):
    """One start of a runner: a restart under the same name is another instance, with another `boot_id`."""

    runner_id: str
    boot_id: UUID


class CreateScenario(Message, frozen=True):
    """Store a scenario and start it. The api sends it; an orchestrator handles it.

    With `replaces`, another scenario is stopped, and its name and tags are carried on unless they are given.
    """

    command_id: UUID
    scenario_id: UUID
    spec: Raw
    needs: tuple[str, ...] = ()  # features that only the api's version knows the spec to need
    tags: tuple[str, ...] | None = None  # None: not given
    replaces: UUID | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it has no tags, and names no other scenario: to replace, or for its footage."""
        return self.tags is None and self.replaces is None and STORED not in self.needs


class StartScenario(Message, frozen=True):
    """Start an inactive scenario again, after its last stored frame.

    The api sends it; an orchestrator handles it.
    """

    command_id: UUID
    scenario_id: UUID


class StopScenario(Message, frozen=True):
    """Stop a scenario and keep its results. The api sends it; an orchestrator handles it."""

    command_id: UUID
    scenario_id: UUID


class DeleteScenario(Message, frozen=True):
    """Delete an inactive scenario and its results. The api sends it; an orchestrator handles it."""

    command_id: UUID
    scenario_id: UUID


class UpdateScenario(Message, frozen=True):
    """Change the name, the tags or the date of a scenario; None, or UNSET for the date, leaves them.

    The api sends it; an orchestrator handles it.
    """

    command_id: UUID
    scenario_id: UUID
    name: str | None = None
    tags: tuple[str, ...] | None = None
    recorded_at: datetime | UnsetType | None = UNSET


LifecycleCommand = CreateScenario | StartScenario | StopScenario | DeleteScenario
ScenarioCommand = LifecycleCommand | UpdateScenario
BatchCommand = CreateBatch | UpdateBatch | StopBatch | StartBatch | DeleteBatch
OrchestratorCommand = ScenarioCommand | BatchCommand


class StartRun(Message, frozen=True):
    """Run one attempt of a scenario.

    The leading orchestrator sends it; the runner `instance` handles it.
    """

    instance: Instance
    scenario_id: UUID
    attempt: int
    spec: Raw


class StopRun(Message, frozen=True):
    """Drain and end one attempt.

    The leading orchestrator sends it; the runner `instance` handles it.
    """

    instance: Instance
    scenario_id: UUID
    attempt: int


RunnerCommand = StartRun | StopRun


class DropResults(Message, frozen=True):
    """Delete the results of a deleted scenario.

    The leading orchestrator sends it; any runner handles it.
    """

    scenario_id: UUID


class DateResults(Message, frozen=True):
    """Give the events of a recording another date. `recorded_at` is Unix time in seconds; None: no date.

    Of two changes, the one with the greater number is the later one. The leading orchestrator sends it; any
    runner handles it.
    """

    scenario_id: UUID
    number: int
    recorded_at: float | None


class _RunEvent(Message, frozen=True):
    """Base of what a run reports: the runner that holds the run sends it, an orchestrator handles it.

    `next_frame` is the first frame that is not stored yet. It shows whether the attempt stored anything.
    """

    scenario_id: UUID
    attempt: int
    next_frame: int


class RunStarted(_RunEvent, frozen=True, kw_only=True):
    """The run decoded its first frame. Sent by the runner, handled by an orchestrator."""

    media: Media


class RunStopped(_RunEvent, frozen=True):
    """The run drained and ended, as it was told to. Sent by the runner, handled by an orchestrator."""


class RunFinished(_RunEvent, frozen=True):
    """The recording is stored to its end. Sent by the runner, handled by an orchestrator.

    With `media`, it also says that the run started: a short recording sends one event instead of two.
    """

    media: Media | None = None


class RunFailed(_RunEvent, frozen=True, kw_only=True):
    """The run cannot go on. Sent by the runner, handled by an orchestrator.

    `retryable` is false if another attempt would meet the same fault.
    """

    error: str
    retryable: bool


class RunReleased(_RunEvent, frozen=True, kw_only=True):
    """The leaving `instance` gave the run back, and another may resume it at once.

    Sent by the runner, handled by an orchestrator.
    """

    instance: Instance


RunEvent = RunStarted | RunStopped | RunFinished | RunFailed | RunReleased


class RunnerLeaving(Message, frozen=True):
    """The runner `instance` takes no more runs. Sent by that runner, handled by an orchestrator."""

    instance: Instance


class RunReport(Struct, frozen=True, array_like=True):
    """One run that the instance of a heartbeat holds."""

    scenario_id: UUID
    attempt: int
    next_frame: int


class RunnerHeartbeat(Message, frozen=True):
    """The runner `instance` lives and holds these runs.

    Sent by that runner, handled by every orchestrator.
    """

    instance: Instance
    slots: int
    runs: tuple[RunReport, ...]
    features: tuple[str, ...] | None = None  # None: of release 0.1.0, which announces none
    backend: str | None = None  # that computes networks; None: an older version, which does not tell
    precision: str | None = None


class Probe(Message, frozen=True):
    """An orchestrator's message to itself, to know whether it would hear a heartbeat.

    Every orchestrator sends probes through each partition, and handles only its own.
    """

    sender: UUID
    partition_key: str
    number: int


class Topic(Struct, frozen=True):
    """A named stream of messages.

    `groups` are the consumer groups that every message must reach. A consumer without a group is not
    listed, and gets the messages that are published from its start on.
    """

    name: str
    messages: tuple[type[Message], ...]
    groups: tuple[str, ...] = ()

    def encode(self, message: Message) -> bytes:
        """Return the bytes of a message. Raises TypeError if the message belongs to another topic."""
        if not isinstance(message, self.messages):
            raise TypeError(f"{type(message).__name__} does not belong on {self.name}")
        return _encoder.encode(message)

    def decode(self, data: bytes) -> Message:
        """Return the message in `data`. Raises msgspec.DecodeError if it is no message of this topic."""
        message: Message = _decoder(self.messages).decode(data)
        return message


_encoder = msgspec.json.Encoder()
_decoders: dict[tuple[type[Message], ...], msgspec.json.Decoder[Message]] = {}


def _decoder(types: tuple[type[Message], ...]) -> "msgspec.json.Decoder[Message]":
    if types not in _decoders:
        union: object = types[0]
        for other in types[1:]:
            union = union | other
        _decoders[types] = msgspec.json.Decoder(union)
    return _decoders[types]


ORCHESTRATOR = "orchestrator"
RESULTS = "results"

orchestrator_commands = Topic(
    "orchestrator_commands",
    (CreateScenario, StartScenario, StopScenario, DeleteScenario),
    groups=(ORCHESTRATOR,),
)
scenario_changes = Topic(
    "scenario_changes",
    (CreateScenario, UpdateScenario, CreateBatch, UpdateBatch, StopBatch, StartBatch, DeleteBatch),
    groups=(ORCHESTRATOR,),
)
"""Commands that release 0.1.0 would send to the dead letters, or carry out without tags and `replaces`.
Its orchestrators do not read this topic, so these commands wait for one that understands them."""
runner_commands = Topic("runner_commands", (StartRun, StopRun))
results_commands = Topic("results_commands", (DropResults,), groups=(RESULTS,))
results_changes = Topic("results_changes", (DateResults,), groups=(RESULTS,))
"""What runners of release 0.1.0 would send to the dead letters."""
runner_events = Topic(
    "runner_events",
    (RunStarted, RunStopped, RunFinished, RunFailed, RunReleased, RunnerLeaving),
    groups=(ORCHESTRATOR,),
)
runner_heartbeats = Topic("runner_heartbeats", (RunnerHeartbeat, Probe))
TOPICS = (
    orchestrator_commands,
    scenario_changes,
    runner_commands,
    results_commands,
    results_changes,
    runner_events,
    runner_heartbeats,
)


def topic_of(command: OrchestratorCommand) -> Topic:
    """Return the topic on which every orchestrator that reads a command understands it."""
    if isinstance(command, CreateScenario):
        is_older = command.is_plain and FEATURES_OF_0_1_0.issuperset(command.needs)
    else:
        is_older = not isinstance(command, UpdateScenario | BatchCommand)
    return orchestrator_commands if is_older else scenario_changes


def subject_of(command: OrchestratorCommand) -> UUID:
    """Return the id of the scenario or batch that a command is about: the key of its message."""
    return command.batch_id if isinstance(command, BatchCommand) else command.scenario_id

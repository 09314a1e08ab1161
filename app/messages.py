"""The bus vocabulary: every topic, the commands (imperative) and the events (past tense) on it.

A message travels as one JSON object whose `type` is its class's name. Frames never travel on the bus.
"""

from uuid import UUID

import msgspec
from msgspec import Struct

from .domain.media import Media
from .domain.spec import ScenarioSpec


class Message(Struct, frozen=True, tag_field="type", tag=True):
    """Anything that travels on the bus."""


class Instance(Struct, frozen=True):
    """One life of a runner process: a restart under the same name is another instance."""

    runner_id: str
    boot_id: UUID


class CreateScenario(Message, frozen=True):
    """Store a scenario and start it."""

    command_id: UUID
    scenario_id: UUID
    spec: ScenarioSpec


class StartScenario(Message, frozen=True):
    """Start an inactive scenario again; it resumes after its last stored frame."""

    command_id: UUID
    scenario_id: UUID


class StopScenario(Message, frozen=True):
    """Stop a scenario, keeping what it stored."""

    command_id: UUID
    scenario_id: UUID


class DeleteScenario(Message, frozen=True):
    """Delete an inactive scenario with its predictions."""

    command_id: UUID
    scenario_id: UUID


OrchestratorCommand = CreateScenario | StartScenario | StopScenario | DeleteScenario


class StartRun(Message, frozen=True):
    """Run one attempt of a scenario on one runner instance."""

    instance: Instance
    scenario_id: UUID
    attempt: int
    spec: ScenarioSpec


class StopRun(Message, frozen=True):
    """Drain and end one attempt on one runner instance."""

    instance: Instance
    scenario_id: UUID
    attempt: int


RunnerCommand = StartRun | StopRun


class DropResults(Message, frozen=True):
    """Remove the predictions of a deleted scenario; any runner may do it."""

    scenario_id: UUID


class _RunEvent(Message, frozen=True):
    scenario_id: UUID
    attempt: int
    next_frame: int  # first frame not yet stored, which shows whether the attempt stored anything


class RunStarted(_RunEvent, frozen=True, kw_only=True):
    """The first frame was decoded."""

    media: Media


class RunStopped(_RunEvent, frozen=True):
    """The run drained and ended because it was told to."""


class RunFinished(_RunEvent, frozen=True):
    """The recording is stored to its end. With `media` it tells that the run started, too."""

    media: Media | None = None


class RunFailed(_RunEvent, frozen=True, kw_only=True):
    """The run cannot go on. `retryable` is false where another attempt would meet the same fault."""

    error: str
    retryable: bool


class RunReleased(_RunEvent, frozen=True, kw_only=True):
    """The instance leaves and gave the run back in good order; another may resume it at once."""

    instance: Instance


RunEvent = RunStarted | RunStopped | RunFinished | RunFailed | RunReleased


class RunnerLeaving(Message, frozen=True):
    """The runner instance takes no more runs."""

    instance: Instance


class RunReport(Struct, frozen=True, array_like=True):
    """One line of a heartbeat: a run that this instance holds."""

    scenario_id: UUID
    attempt: int
    next_frame: int


class RunnerHeartbeat(Message, frozen=True):
    """The runner instance lives and holds these runs."""

    instance: Instance
    slots: int
    runs: tuple[RunReport, ...]


class Probe(Message, frozen=True):
    """The leader's message to itself, by which it knows that it would hear a heartbeat."""

    sender: UUID
    partition_key: str
    number: int


class Topic(Struct, frozen=True):
    """A named stream of messages.

    `groups` are the consumer groups that every message must reach; a consumer without a group is no
    member of this list and reads from now on.
    """

    name: str
    messages: tuple[type[Message], ...]
    groups: tuple[str, ...] = ()

    def encode(self, message: Message) -> bytes:
        """The message's bytes on the wire. Raises TypeError for a message of another topic."""
        if not isinstance(message, self.messages):
            raise TypeError(f"{type(message).__name__} does not belong on {self.name}")
        return _encoder.encode(message)

    def decode(self, data: bytes) -> Message:
        """The message in `data`. Raises msgspec.DecodeError where it is none of this topic's."""
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
runner_commands = Topic("runner_commands", (StartRun, StopRun))
results_commands = Topic("results_commands", (DropResults,), groups=(RESULTS,))
runner_events = Topic(
    "runner_events",
    (RunStarted, RunStopped, RunFinished, RunFailed, RunReleased, RunnerLeaving),
    groups=(ORCHESTRATOR,),
)
runner_heartbeats = Topic("runner_heartbeats", (RunnerHeartbeat, Probe))
TOPICS = (orchestrator_commands, runner_commands, results_commands, runner_events, runner_heartbeats)

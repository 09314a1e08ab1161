"""What the API answers, as far as programs need its types. Fields that are not known here are ignored.

States, kinds and codes are texts, so that a service with new ones can be read.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from ..domain.prediction import Detection, Prediction

T = TypeVar("T")


class Page(Struct, Generic[T], frozen=True):
    """A page of a list. `next_cursor` is None on the last page."""

    items: list[T]
    next_cursor: str | None = None


class AcceptedCommand(Struct, frozen=True):
    """What a command is about. Answers of commands that are done have it, too."""

    id: str


class ScenarioProgress(Struct, frozen=True):
    """How far a scenario is. `percent` is None if the length is unknown, as with a camera."""

    percent: float | None = None
    fps: float | None = None
    eta_seconds: float | None = None
    position_seconds: float = 0.0
    frames_read: int = 0
    frames_sampled: int = 0
    frames_dropped: int = 0
    frames_failed: int = 0
    detections: int = 0


class Note(Struct, frozen=True):
    """Why a scenario does not go on, or what to know of its results."""

    code: str
    text: str


class VideoFacts(Struct, frozen=True):
    """What was found of a video. Sizes are in pixels."""

    width: int
    height: int
    fps: float | None = None
    frames: int | None = None
    duration_seconds: float | None = None
    live: bool = False


class ScenarioStatus(Struct, frozen=True, kw_only=True):
    """A scenario: what it analyses, and how far it is.

    `outcome` is completed, stopped or failed once `state` is inactive; `error` says why it failed.
    """

    id: str
    name: str = ""
    tags: list[str] = []
    state: str
    outcome: str | None = None
    error: str | None = None
    reason: Note | None = None
    warnings: list[Note] = []
    source: str
    detector: dict[str, Any] = {}
    sampling: dict[str, Any] | None = None
    batch: str | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    recorded_at: datetime | None = None
    zones: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    alerts: list[dict[str, Any]] = []
    attempt: int = 1
    runner_id: str | None = None
    source_state: str | None = None
    progress: ScenarioProgress = ScenarioProgress()
    media: VideoFacts | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def has_ended(self) -> bool:
        """Whether it does not run and `outcome` says why."""
        return self.state == "inactive"


class EventRecord(Struct, frozen=True, kw_only=True):
    """Something that happened in a video. Times are in seconds, as those of predictions.

    `at` is when it began, if the date is known. `best_box`: x1, y1, x2, y2 in pixels of its best frame.
    """

    scenario_id: str
    event_id: int
    kind: str
    state: str
    label: str
    track_id: int | None = None
    name: str | None = None
    direction: str | None = None
    start_frame: int
    start_time: float
    end_frame: int
    end_time: float
    best_frame: int
    best_time: float
    best_box: tuple[float, float, float, float]
    best_confidence: float
    at: datetime | None = None


class FramesOfScenario(Struct, frozen=True):
    """Predictions of one scenario of a batch, by frame."""

    scenario_id: str
    predictions: list[Prediction]


class FileCounts(Struct, frozen=True):
    """How many files of a batch are in each state. `files` is their sum."""

    files: int = 0
    growing: int = 0
    waiting: int = 0
    running: int = 0
    completed: int = 0
    stopped: int = 0
    failed: int = 0


class FileFault(Struct, frozen=True):
    """What to know of one file of a batch. `scenario_id` is None if it has no scenario."""

    path: str
    text: str
    scenario_id: str | None = None


class BatchStatus(Struct, frozen=True, kw_only=True):
    """A batch, and how far it is. A list of batches leaves `failures` and `warnings` out."""

    id: str
    name: str = ""
    tags: list[str] = []
    sources: str
    scenario: dict[str, Any] = {}
    watch: bool = False
    at_once: int = 1
    state: str
    problem: str | None = None
    counts: FileCounts = FileCounts()
    percent: float | None = None
    failures: list[FileFault] = []
    warnings: list[FileFault] = []
    created_at: datetime
    updated_at: datetime

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more: it is done or stopped."""
        return self.state in ("done", "stopped")


class ModelSummary(Struct, frozen=True, kw_only=True):
    """A model of the model folder: understood, rejected (`error` says why) or not_examined."""

    name: str
    state: str
    size: int = 0
    error: str | None = None
    layout: str | None = None
    backend: str | None = None
    precision: str | None = None
    classes: int | None = None
    labels: dict[str, str] = {}


class ModelTrial(Struct, frozen=True):
    """What a model found in a picture of `width` × `height` pixels, upright."""

    width: int
    height: int
    seconds: float
    detections: tuple[Detection, ...]
    backend: str = ""
    precision: str = ""


class ChannelStatus(Struct, frozen=True, kw_only=True):
    """A channel that scenarios can notify."""

    name: str
    type: str
    waiting: int = 0
    waiting_since: datetime | None = None
    dead: int = 0
    last_sent_at: datetime | None = None
    error: str | None = None


class ChannelTrial(Struct, frozen=True):
    """What came of a test: `state` is sent, or dead if the channel did not take it, and `error` says why."""

    channel: str
    state: str
    delivery_id: str
    error: str | None = None


class DeliveryRecord(Struct, frozen=True, kw_only=True):
    """One event on its way to one channel."""

    id: str
    channel: str
    state: str
    attempts: int = 0
    scenario_id: str | None = None
    event_id: int | None = None
    kind: str | None = None
    created_at: datetime
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    error: str | None = None


class UploadReceipt(Struct, frozen=True):
    """A recording that was stored. `source` is what a scenario takes."""

    source: str
    size: int
    media: VideoFacts | None = None


class DatabaseSize(Struct, frozen=True):
    """One of the service's databases. `bytes` is None if it does not answer."""

    name: str
    answers: bool
    bytes: int | None = None


class ServiceInfo(Struct, frozen=True, kw_only=True):
    """The service, as the process that answers sees it."""

    version: str
    bus: str = ""
    databases: list[DatabaseSize] = []
    free_bytes: int | None = None
    takes_uploads: bool = False


class StreamMessage(Struct, frozen=True):
    """What GET /stream tells: `kind` is scenario, source, event, progress or batch, and `data` what it says.

    A stream that begins with `id` as its last one misses nothing. Those of progress and batches have none.
    """

    kind: str
    id: str | None
    data: dict[str, Any]

    @property
    def scenario_id(self) -> str:
        """Return the scenario that it is about."""
        return str(self.data.get("scenario_id", ""))

    def event(self) -> EventRecord:
        """Return what a message of the kind `event` tells. Raises msgspec.ValidationError for others."""
        return msgspec.convert(self.data, EventRecord)


ToldScenario = Callable[[ScenarioStatus], object]
"""Is told of a scenario while it is waited for."""

ToldBatch = Callable[[BatchStatus], object]
"""Is told of a batch while it is waited for."""

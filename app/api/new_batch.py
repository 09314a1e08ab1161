"""The body of POST /batches, and its checks."""

from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct, defstruct
from msgspec.structs import fields

from ..domain.batch import BatchSpec
from ..domain.detector_config import Stored
from ..domain.features import EXPECTED_FILE, RECORDED_AT, needed_features
from ..domain.source import SourceError
from ..domain.stored_spec import encode_spec, summarize_spec
from ..domain.tags import Tags, distinct
from ..media.path_patterns import PathPattern
from ..media.recording_times import RecordingTimeError, RecordingTimes
from .http.problems import INVALID, ProblemError
from .new_scenario import NewScenario, check_tags

MAX_AT_ONCE = 1000
"""Scenarios of a batch that have not ended, at most."""

_ANY_FILE = "recording.mp4"
_NOT_OF_BATCHES = ("source", "id", "replaces", "recorded_at", "file")

BatchScenario: Any = defstruct(
    "BatchScenario",
    [
        (each.name, each.type) if each.required else (each.name, each.type, each.default)
        for each in fields(NewScenario)
        if each.name not in _NOT_OF_BATCHES
    ],
    namespace={"__doc__": "What is done with each file: the body of POST /scenarios without a source."},
    frozen=True,
    forbid_unknown_fields=True,
)
"""The fields of NewScenario that do not depend on the file."""

AtOnce = Annotated[
    int, Meta(ge=1, le=MAX_AT_ONCE, description="how many of its scenarios may wait or run at a time")
]
BatchName = Annotated[str, Meta(max_length=200, description="for people; need not be unique")]


class NewBatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Which files to analyse, and how."""

    sources: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2000,
            description="a pattern of paths below VA_MEDIA_ROOT: `*`, `?` and `[…]` stand for characters of a"
            " name, `**` for any number of folders. Hidden files are left out",
            examples=["yard/**/*.mp4"],
        ),
    ]
    scenario: BatchScenario
    watch: Annotated[bool, Meta(description="files that come later follow once they stop growing")] = False
    at_once: AtOnce = 4
    recorded_at: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)] | None,
        Meta(
            description="how names tell the date at which a recording begins: a pattern as for Python's"
            " strptime, without the ending of the name",
            examples=["cam1_%Y%m%d-%H%M%S"],
        ),
    ] = None
    timezone: Annotated[
        Annotated[str, Meta(min_length=1, max_length=100)] | None,
        Meta(description="the time zone of the dates in names", examples=["Europe/Berlin"]),
    ] = None
    name: BatchName = ""
    tags: Tags = ()
    id: Annotated[UUID | None, Meta(description="chosen by the client, so that repeating is safe")] = None

    def check(self, channels: Iterable[str]) -> tuple[BatchSpec, tuple[str, ...]]:
        """Return what never changes, and the features that its scenarios need of a runner.

        Raises ProblemError (422).
        """
        try:
            PathPattern(self.sources)
        except SourceError as error:
            raise ProblemError(INVALID, _sentence(error), field="sources") from error
        if self.recorded_at is not None:
            try:
                RecordingTimes(self.recorded_at, self.timezone)
            except RecordingTimeError as error:
                raise ProblemError(INVALID, str(error), field=error.field) from error
        elif self.timezone is not None:
            detail = "A time zone without `recorded_at` has no effect. Leave it out, or give the pattern."
            raise ProblemError(INVALID, detail, field="timezone")
        check_tags(self.tags)
        scenario = self._scenario(channels)
        needs = needed_features(summarize_spec(scenario)) | {EXPECTED_FILE}
        if self.recorded_at is not None:
            needs |= {RECORDED_AT}
        return (
            BatchSpec(self.sources, scenario, self.recorded_at, self.timezone),
            tuple(sorted(needs)),
        )

    def _scenario(self, channels: Iterable[str]) -> Raw:
        """Return the specification of each scenario as JSON, without a source but with tags."""
        given = {name: getattr(self.scenario, name) for name in self.scenario.__struct_fields__}
        new = NewScenario(source=_ANY_FILE, **given)
        if isinstance(new.detector, Stored):
            detail = "A batch analyses files. Choose another detector: GET /detectors lists all."
            raise ProblemError(INVALID, detail, field="scenario.detector")
        try:
            new.check(channels)
        except ProblemError as error:
            field = error.problem.field or "detector"
            raise ProblemError(INVALID, error.problem.detail, field=f"scenario.{field}") from error
        spec: dict[str, Any] = msgspec.json.decode(encode_spec(new.spec()))
        del spec["source"]
        return Raw(msgspec.json.encode(spec | {"tags": distinct(new.tags or ())}))


def _sentence(error: SourceError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."

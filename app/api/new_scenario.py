"""The body of POST /scenarios: its checks, and the id that it gives the scenario."""

from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import sha256
from typing import Annotated, TypeVar
from uuid import UUID, uuid4, uuid5

from msgspec import UNSET, Meta, UnsetType
from msgspec.json import encode

from ..domain.analysis import AnalysisRules, Presence, Tracking
from ..domain.detector_config import Onnx, Remote, Stored
from ..domain.features import needed_features
from ..domain.rule_checks import RuleError, check_notify, check_rules
from ..domain.sampling import FixedRate, Sampling
from ..domain.source import Source, SourceError, parse_aspect, parse_source
from ..domain.spec import ScenarioSpec, default_presence, default_tracking
from ..domain.stored_spec import encode_spec, summarize_spec
from ..domain.tags import Tags, distinct, find_bad_tag
from ..media.recording_times import FIRST_YEAR, LAST_YEAR, is_plausible
from ..messages import CreateScenario
from .http.problems import BAD_REQUEST, INVALID, MISMATCH, ProblemError

T = TypeVar("T")

_NAMESPACE = UUID("342c4fd4-5a93-4828-8f6c-f2a537fb714a")
_MAX_KEY = 200  # characters
MAX_SPEC = 64_000
"""Bytes of a scenario as JSON: it is a part of each answer about the scenario."""

IdempotencyKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=_MAX_KEY,
        description="a text that the client chooses; the scenario's id is derived from it and the caller",
    ),
]


_FINDS_OBJECTS = "detectors that find objects (not `motion`, `marker` and `mock`)"
_TrackingOrDefault = Annotated[
    Tracking | UnsetType | None,
    Meta(
        description="how objects are followed from frame to frame; null: they are not; if left out, they are"
        f" for {_FINDS_OBJECTS}"
    ),
]
_PresenceOrDefault = Annotated[
    Presence | UnsetType | None,
    Meta(
        description="tell from when to when each label is visible; null: do not; if left out, it is told only"
        f" if objects are not followed, for {_FINDS_OBJECTS}"
    ),
]


_SamplingOrDefault = Annotated[
    Sampling | UnsetType | None,
    Meta(
        description="which frames are analysed; if left out, 2 for each second, and of a source"
        " `scenario:<id>` those that are stored"
    ),
]


class NewScenario(ScenarioSpec, frozen=True):
    """What to analyse, with which detector, and how."""

    id: Annotated[UUID | None, Meta(description="chosen by the client, so that repeating is safe")] = None
    # A request that leaves these out gets defaults; a stored specification without them has others, or none.
    sampling: _SamplingOrDefault = UNSET  # type: ignore[assignment]
    tracking: _TrackingOrDefault = UNSET  # type: ignore[assignment]
    presence: _PresenceOrDefault = UNSET  # type: ignore[assignment]
    tags: Annotated[
        Tags | None,
        Meta(
            description="for people and filters, can be changed. null: none, or those of the scenario that it"
            " replaces"
        ),
    ] = None
    replaces: Annotated[
        UUID | None,
        Meta(
            description="a scenario that is stopped when this one is created. Its tags, its name and its list"
            " of events are carried on; give a name or tags to have others"
        ),
    ] = None

    def spec(self) -> ScenarioSpec:
        """Return what never changes, with defaults for what is left out."""
        fields = {name: getattr(self, name) for name in ScenarioSpec.__struct_fields__}
        if fields["sampling"] is UNSET:
            fields["sampling"] = None if isinstance(self.detector, Stored) else FixedRate()
        if fields["tracking"] is UNSET:
            fields["tracking"] = default_tracking(self.detector)
        if fields["presence"] is UNSET:
            fields["presence"] = default_presence(self.detector, fields["tracking"])
        return ScenarioSpec(**fields)

    def check(self, channels: Iterable[str]) -> None:
        """Check what the types do not say. `channels` are those that exist. Raises ProblemError (422)."""
        source = _parsed("source", self.source, parse_source)
        if self.aspect is not None:
            _parsed("aspect", self.aspect, parse_aspect)
        if source.kind == "scenario" or isinstance(self.detector, Stored):
            self._check_footage(source)
        elif self.sampling is None:
            detail = "`sampling` must be an object. Leave it out for 2 frames each second."
            raise ProblemError(INVALID, detail, field="sampling")
        if isinstance(self.detector, Onnx | Remote) and self.detector.labels == ():
            detail = "`detector.labels` is empty, so nothing would be found. Leave it out for all labels."
            raise ProblemError(INVALID, detail, field="detector.labels")
        if self.restart.policy == "always" and source.live is False:
            detail = "The restart policy `always` is for live sources. Use `on_failure` for a recording."
            raise ProblemError(INVALID, detail, field="restart.policy")
        if self.file is not None and source.kind != "file":
            detail = "Only a file below VA_MEDIA_ROOT is compared with `file`. Leave it out."
            raise ProblemError(INVALID, detail, field="file")
        if self.recorded_at is not None and source.live:
            detail = "What a live source shows happens now. Leave `recorded_at` out."
            raise ProblemError(INVALID, detail, field="recorded_at")
        check_date(self.recorded_at)
        if self.replaces is not None and self.replaces == self.id:
            detail = "A scenario cannot replace itself. Leave `id` out, or choose a new one."
            raise ProblemError(INVALID, detail, field="replaces")
        check_tags(self.tags)
        spec = self.spec()
        try:
            check_rules(spec.rules)
            if spec.notify is not None:
                check_notify(spec.rules, spec.notify)
        except RuleError as error:
            raise ProblemError(INVALID, str(error), field=error.field) from error
        named = spec.notify.channels if spec.notify is not None else ()
        if (unknown := unknown_channel(named, channels)) is not None:
            raise ProblemError(INVALID, unknown, field="notify.channels")
        if (size := len(encode_spec(spec))) > MAX_SPEC:
            lengths = {name: len(encode(getattr(spec, name))) for name in ScenarioSpec.__struct_fields__}
            longest = max(lengths, key=lengths.__getitem__)
            detail = (
                f"The scenario takes {size:,} bytes as JSON; at most {MAX_SPEC:,} are allowed. Shorten"
                f" `{longest}`."
            )
            raise ProblemError(INVALID, detail, field=longest)

    def _check_footage(self, source: Source) -> None:
        """Check a request that asks stored footage again. Raises ProblemError (422)."""
        if not isinstance(self.detector, Stored):
            detail = 'What a scenario stored is not detected in again. Use the detector {"type": "stored"}.'
            raise ProblemError(INVALID, detail, field="detector")
        if source.kind != "scenario":
            detail = "The detector `stored` looks at no pictures. Give it a source `scenario:<id>`."
            raise ProblemError(INVALID, detail, field="source")
        if self.sampling not in (UNSET, None):
            detail = "The frames are those that the scenario in `source` has stored. Leave `sampling` out."
            raise ProblemError(INVALID, detail, field="sampling")
        for field in ("track", "aspect", "recorded_at"):
            if getattr(self, field) is not None:
                detail = (
                    f"The footage is that of the video which the other scenario reads. Leave `{field}` out."
                )
                raise ProblemError(INVALID, detail, field=field)
        if self.notify is not None:
            detail = "Nobody is told of what happened in stored footage. Leave `notify` out."
            raise ProblemError(INVALID, detail, field="notify")
        if self.spec().rules == AnalysisRules():
            detail = "Nothing is asked of the footage. Leave `tracking` out, or set it or `presence` to {}."
            raise ProblemError(INVALID, detail, field="tracking")


def _parsed(field: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except SourceError as error:
        message = str(error)
        raise ProblemError(INVALID, f"{message[:1].upper()}{message[1:]}.", field=field) from error


def unknown_channel(names: Iterable[str], channels: Iterable[str]) -> str | None:
    """Return a sentence about the first name that is none of the channels, None if all are."""
    known = sorted(channels)
    unknown = next((name for name in names if name not in known), None)
    if unknown is None:
        return None
    if not known:
        return f"There is no channel {unknown!r}: name a file with channels in VA_CHANNELS_FILE."
    return f"There is no channel {unknown!r}. The channels are: {', '.join(map(repr, known))}."


def check_date(recorded_at: datetime | UnsetType | None) -> None:
    """Raise ProblemError (422) if the date of a recording cannot be meant."""
    if isinstance(recorded_at, datetime) and not is_plausible(recorded_at):
        detail = f"`recorded_at` must be of a year from {FIRST_YEAR} to {LAST_YEAR}."
        raise ProblemError(INVALID, detail, field="recorded_at")


def check_tags(tags: Tags | None) -> None:
    """Raise ProblemError (422) if a tag is not one line without spaces around it."""
    if tags is not None and (bad := find_bad_tag(tags)) is not None:
        detail = "A tag must be one line of printable characters, without spaces around it."
        raise ProblemError(INVALID, detail, field=f"tags[{bad}]")


def creation_of(new: NewScenario, scenario_id: UUID) -> CreateScenario:
    """Return the command that creates the scenario: for the same request and id it is the same command."""
    spec = encode_spec(new.spec())
    # The same id with another body is another command, and a mismatch.
    command_id = uuid5(scenario_id, sha256(spec).hexdigest())
    if new.replaces is not None:  # a new command: one that was refused can be repeated with the same id
        command_id = uuid4()
    needs = tuple(sorted(needed_features(summarize_spec(spec))))
    tags = None if new.tags is None else distinct(new.tags)
    return CreateScenario(command_id, scenario_id, spec, needs, tags, new.replaces)


def choose_id(caller: str, key: str | None, chosen: UUID | None) -> UUID:
    """Return the scenario's id: derived from the Idempotency-Key, else chosen by the client, else random.

    Raises ProblemError: 400 if the key is too long or empty, 422 if key and id contradict each other.
    """
    if key is None:
        return chosen or uuid4()
    if not 1 <= len(key) <= _MAX_KEY:
        detail = f"An Idempotency-Key must have 1 to {_MAX_KEY} characters."
        raise ProblemError(BAD_REQUEST, detail, field="Idempotency-Key")
    derived = uuid5(_NAMESPACE, f"{caller}\n{key}")
    if chosen not in (None, derived):
        detail = f"This Idempotency-Key stands for the id {derived}. Send the key or an id, not both."
        raise ProblemError(MISMATCH, detail, field="id")
    return derived

"""What is done with each file: the scenario that analyses it, and the id by which it is found again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from ...analysis.state import VERSION
from ...api.http.problems import ProblemError
from ...api.http.validation import decode_body
from ...api.new_batch import BatchScenario
from ...api.new_scenario import NewScenario
from ...detectors.base import DetectorError
from ...detectors.onnx.files import digest, find_weights, read_weights, weight_names
from ...domain.analysis import Presence
from ...domain.detector_config import PLUGINS, Onnx
from ...domain.pins import RULES
from ...domain.source import SourceError
from ...domain.spec import ExpectedFile
from ...domain.stored_spec import encode_spec
from ...media.recording_times import RecordingTimes
from ...media.scanning import source_of
from ...video.identity import identify
from ..detector_options import OptionError, read_options
from .detectors import CONFIGS, list_fields
from .recordings import RecordedFile

_NAMESPACE = UUID("0b8c1d5e-6f0e-4a53-9d1b-6d9b6f2b9a41")


class PlanError(Exception):
    """What is asked cannot be done. The text is a sentence that says what to do."""


class PlannedScenario(NamedTuple):
    """A scenario that does not exist yet, or may be there from before: then it has the same id."""

    id: UUID
    new: NewScenario


class Plan(Struct, frozen=True):
    """What is done with every file. `times` reads from its name when it was recorded.

    `version` tells versions of a model file, or of a plug-in, apart.
    """

    scenario: NewScenario
    version: str = ""
    times: RecordingTimes | None = None

    def of(self, recording: RecordedFile) -> PlannedScenario:
        """Return the scenario of a file: always the same for the same content, path and plan. Blocks.

        Reads at most 256 KiB. Raises OSError if it cannot be read, PlanError if its name can be no source.
        """
        identity = identify(recording.path)
        try:
            source = source_of(str(recording.path).lstrip("/"))
        except SourceError as error:
            raise PlanError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        new = replace(
            self.scenario,
            source=source,
            file=ExpectedFile(identity.size or 0, identity.digest),
            recorded_at=None if self.times is None else self.times.find(str(recording.path)),
        )
        spec = bytes(encode_spec(new.spec())).decode()
        # Other rules of detection or of events give other results, so they are another scenario.
        return PlannedScenario(uuid5(_NAMESPACE, f"{spec}\n{self.version}\n{RULES}\n{VERSION}"), new)


def make_scenario(detector: str | None, options: Sequence[str], fields: Mapping[str, object]) -> NewScenario:
    """Return a scenario of which only the source is missing.

    `fields` are those of POST /scenarios; if they name a detector, `options` are of it unless another one is
    asked for. Raises PlanError if something is wrong.
    """
    given = fields.get("detector", {})
    if detector is not None:
        given = {"type": detector}
    if not isinstance(given, Mapping):
        raise PlanError('`detector` must be an object, as in {"type": "objects"}.')
    name = given.get("type", "objects")
    if not isinstance(name, str) or name not in CONFIGS:
        raise PlanError(f"There is no detector {name!r}: choose from {', '.join(CONFIGS)}.")
    try:
        chosen = read_options(options, list_fields(CONFIGS[name]))
        body = {**fields, "detector": {**given, "type": name, **chosen}}
        each = decode_body(msgspec.json.encode(body), BatchScenario)
        new = NewScenario(
            source="recording.mp4", **{field: getattr(each, field) for field in each.__struct_fields__}
        )
        if new.presence is UNSET and new.spec().tracking is None:
            # --events would have nothing to write, and a later --events must not analyse everything again
            new = replace(new, presence=Presence())
        new.check(())
    except (OptionError, ProblemError) as error:
        raise PlanError(str(error)) from error
    return new


def locate_model(new: NewScenario, model_root: Path) -> tuple[NewScenario, Path, str]:
    """Return the scenario, the folder of its model, and what tells two versions apart. Blocks.

    A model is a file below `model_root`, or else a path as on any command line.
    """
    detector = new.detector
    if not isinstance(detector, Onnx):
        plugin = PLUGINS.packages.get(str(detector.__struct_config__.tag), "")
        return new, model_root, plugin
    path = model_root / detector.model
    if not path.is_file() and Path(detector.model).is_file():
        path = Path(detector.model).resolve()
        model_root, detector = path.parent, replace(detector, model=path.name)
    if not path.is_file():
        raise PlanError(
            f"There is no model {detector.model!r}, neither here nor in the folder {str(model_root)!r}"
            " (VA_MODEL_ROOT)."
        )
    try:
        weights = read_weights(find_weights(path, weight_names(path)))
        version = digest(path, weights)
    except (OSError, DetectorError) as error:
        raise PlanError(f"The model {detector.model!r} cannot be read: {error}") from error
    return replace(new, detector=detector), model_root, version

"""What a scenario needs of its runner that not every runner has.

Runners announce their features in heartbeats, and a scenario goes only to a runner that has all it needs. So
processes of neighbouring versions work together, and a runner may lack an optional library.
"""

from typing import get_args

from .detector_config import DetectorConfig, Stored
from .stored_spec import SpecSummary

STATED_MODEL = "stated_model"
"""To read a model as its scenario states: an older runner would ignore what is stated."""

ANALYSIS = "analysis"
"""To follow objects, and to tell of events: an older runner would store detections alone."""

NOTIFY = "notify"
"""To have others told of events."""

RECORDED_AT = "recorded_at"
"""To store when the events of a recording happened."""

EXPECTED_FILE = "file"
"""To compare a recording with the one that is meant, before anything is stored."""

STORED = f"detector:{Stored.__struct_config__.tag}"
"""To apply analysis to what another scenario stored."""

FEATURES: frozenset[str] = frozenset(
    f"detector:{config.__struct_config__.tag}" for config in get_args(DetectorConfig)
) | {"track", "aspect", STATED_MODEL, ANALYSIS, NOTIFY, RECORDED_AT, EXPECTED_FILE}
"""All features that this version knows. A feature keeps its name for ever."""

FEATURES_OF_0_1_0: frozenset[str] = frozenset(
    f"detector:{tag}" for tag in ("motion", "people", "face", "marker", "onnx", "mock")
)
"""The features of a runner that announces none: release 0.1.0 had these."""


def needed_features(spec: SpecSummary) -> frozenset[str]:
    """Return the features that a runner must have to run this scenario."""
    features = {f"detector:{spec.detector.type}"}
    if spec.track is not None:
        features.add("track")
    if spec.aspect is not None:
        features.add("aspect")
    if spec.detector.states_model:
        features.add(STATED_MODEL)
    if spec.has_analysis:
        features.add(ANALYSIS)
    if spec.notify is not None:
        features.add(NOTIFY)
    if spec.recorded_at is not None:
        features.add(RECORDED_AT)
    if spec.file is not None:
        features.add(EXPECTED_FILE)
    return frozenset(features)

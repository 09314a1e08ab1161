"""Specifications of other versions: what is not known is ignored, and passed on."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from app.domain.analysis import Alert, Line, Notify, Presence, Tracking, Zone
from app.domain.detector_config import DetectorConfig, Marker, Motion, Objects, Onnx
from app.domain.features import FEATURES, FEATURES_OF_0_1_0, needed_features
from app.domain.model_input import ModelInput
from app.domain.sampling import EveryFrame, FixedRate
from app.domain.spec import RestartPolicy, ScenarioSpec
from app.domain.stored_spec import decode_spec, encode_spec, same_specs, summarize_spec

SPEC = ScenarioSpec("clip.mp4", Motion(0.25), EveryFrame(), RestartPolicy("never", 3), name="yard")
SHORT = b'{"source": "a", "detector": {"type": "motion"}}'
NEWER = b"""
{"source": "clip.mp4", "tracking": {"max_gap_seconds": 2, "camera": 4}, "mood": "fine",
 "lines": [{"name": "door", "from": [0, 0], "to": [1, 1], "width": 3}],
 "detector": {"type": "marker", "codes": ["qr"], "quiet": [1, {"a": 2}]},
 "sampling": {"mode": "fps", "fps": 3, "jitter": 0.1}, "restart": {"policy": "always", "jitter": 2}}
"""


def test_a_spec_comes_back_as_it_was() -> None:
    assert decode_spec(encode_spec(SPEC)) == SPEC


@pytest.mark.parametrize(("field", "value"), [("track", 1), ("aspect", "16:9")])
def test_track_and_aspect_are_written_only_if_they_were_chosen(field: str, value: Any) -> None:
    assert field.encode() not in bytes(encode_spec(SPEC))  # release 0.1.0 rejects what it does not know
    assert needed_features(summarize_spec(encode_spec(SPEC))) == {"detector:motion"}
    chosen = replace(SPEC, **{field: value})
    assert decode_spec(encode_spec(chosen)) == chosen
    assert needed_features(summarize_spec(encode_spec(chosen))) == {"detector:motion", field}
    assert field in FEATURES - FEATURES_OF_0_1_0


def test_analysis_is_written_only_if_it_is_asked_for_and_needs_a_runner_that_has_it() -> None:
    plain = replace(SPEC, tracking=None, presence=None, zones=(), notify=None)
    assert b"track" not in bytes(encode_spec(plain))  # release 0.1.0 rejects what it does not know
    assert needed_features(summarize_spec(encode_spec(plain))) == {"detector:motion"}
    for asked in (
        replace(SPEC, tracking=Tracking()),
        replace(SPEC, presence=Presence()),
        replace(SPEC, zones=(Zone("yard", ((0, 0), (1, 0), (1, 1))),)),
        replace(SPEC, lines=(Line("door", (0, 0), (1, 1)),)),
        replace(SPEC, alerts=(Alert("visitor"),)),
    ):
        assert decode_spec(encode_spec(asked)) == asked
        assert needed_features(summarize_spec(encode_spec(asked))) == {"detector:motion", "analysis"}
    told = replace(SPEC, notify=Notify(("ops",)))
    assert needed_features(summarize_spec(encode_spec(told))) == {"detector:motion", "notify"}
    assert {"analysis", "notify"} <= FEATURES - FEATURES_OF_0_1_0


@pytest.mark.parametrize(
    ("detector", "stored", "sent", "same"),
    [
        (Objects(), (None, None), (Tracking(), None), True),
        (Objects(), (Tracking(), Presence()), (Tracking(), None), True),
        (Objects(), (Tracking(5), Presence()), (Tracking(), None), False),
        (Objects(), (None, None), (Tracking(), Presence()), False),
        (Motion(), (Tracking(), Presence()), (None, None), False),
        (Onnx("a.onnx", layout="classifier"), (None, None), (None, Presence()), True),
        (Objects(), (None, None), (Tracking(5), None), False),
        (Objects(), (None, Presence()), (Tracking(), Presence()), False),
        (Objects(), (Tracking(), Presence()), (None, None), False),
        (Motion(), (None, None), (Tracking(), Presence()), False),
    ],
)
def test_a_request_repeats_what_was_stored_before_its_defaults_existed(
    detector: DetectorConfig,
    stored: tuple[Tracking | None, Presence | None],
    sent: tuple[Tracking | None, Presence | None],
    same: bool,
) -> None:
    specs = [
        encode_spec(replace(SPEC, detector=detector, tracking=tracking, presence=presence))
        for tracking, presence in (stored, sent)
    ]
    assert same_specs(*specs) is same


def test_fields_of_a_newer_version_are_ignored_wherever_they_are() -> None:
    known = ScenarioSpec(
        "clip.mp4",
        Marker(("qr",)),
        FixedRate(3),
        RestartPolicy("always"),
        tracking=Tracking(),
        lines=(Line("door", (0, 0), (1, 1)),),
    )
    assert decode_spec(NEWER) == known
    assert decode_spec(Raw(NEWER)) == decode_spec(NEWER.decode()) == known


def test_a_field_that_is_missing_means_what_it_meant_before_it_existed() -> None:
    oldest = b'{"source": "clip.mp4", "detector": {"type": "motion"}}'
    assert decode_spec(oldest) == ScenarioSpec("clip.mp4", Motion())


@pytest.mark.parametrize(
    "text",
    [
        b'{"source": "clip.mp4", "detector": {"type": "of tomorrow"}}',
        b'{"source": "clip.mp4", "detector": {"type": "motion", "min_area": "large"}}',
        b'{"detector": {"type": "motion"}, "mood": null}',
        b"[]",
    ],
)
def test_what_cannot_be_understood_is_no_spec(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_spec(text)


def test_a_newer_spec_is_driven_by_what_is_known_of_it() -> None:
    tomorrow = b'{"source": "x", "detector": {"type": "of tomorrow"}, "restart": {"policy": "never"}}'
    summary = summarize_spec(tomorrow)
    assert summary.restart == RestartPolicy("never")
    assert needed_features(summary) == {"detector:of tomorrow"}
    assert not needed_features(summary) <= FEATURES


def test_every_detector_is_a_feature_and_the_first_release_had_these() -> None:
    for name in ("motion", "people", "face", "marker", "onnx", "mock"):
        assert f"detector:{name}" in FEATURES & FEATURES_OF_0_1_0
    assert len(FEATURES_OF_0_1_0) == 6


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (SHORT, bytes(encode_spec(ScenarioSpec("a", Motion()))), True),
        (SHORT, b'{"source": "b", "detector": {"type": "motion"}}', False),
        (b'{"source": "a", "detector": {"type": "x"}}', b'{"detector": {"type": "x"}, "source": "a"}', True),
        (b'{"source": "a", "detector": {"type": "x"}}', b'{"source": "a", "detector": {"type": "y"}}', False),
    ],
)  # fmt: skip
def test_specs_are_compared_by_what_they_ask_for(one: bytes, other: bytes, same: bool) -> None:
    assert same_specs(Raw(one), Raw(other)) is same


def test_what_is_stated_of_a_model_is_written_only_if_it_is_and_needs_a_runner_that_heeds_it() -> None:
    plain = replace(SPEC, detector=Onnx("a.onnx"))
    stored = msgspec.json.decode(encode_spec(plain))["detector"]
    assert not {"layout", "input", "names"} & stored.keys()  # release 0.1.0 rejects what it does not know
    assert needed_features(summarize_spec(encode_spec(plain))) == {"detector:onnx"}
    for detector in (
        Onnx("a.onnx", layout="yolox"),
        Onnx("a.onnx", input=ModelInput(fit="stretch")),
        Onnx("a.onnx", names=("a", "b")),
    ):
        spec = replace(SPEC, detector=detector)
        assert decode_spec(encode_spec(spec)) == spec
        assert needed_features(summarize_spec(encode_spec(spec))) == {"detector:onnx", "stated_model"}
    assert "stated_model" in FEATURES - FEATURES_OF_0_1_0

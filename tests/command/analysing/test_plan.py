"""What is done with each file, and the id of its scenario."""

from pathlib import Path
from uuid import UUID

import pytest

from app.command.analysing.plan import Plan, PlanError, locate_model, make_scenario
from app.command.analysing.recordings import RecordedFile
from app.command.detector_options import OptionError, read_options
from app.domain.detector_config import Objects


def test_the_id_of_a_scenario_stands_for_all_that_its_results_depend_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clip, model = tmp_path / "clip.mp4", tmp_path / "best.onnx"
    clip.write_bytes(b"first")
    model.write_bytes(b"a model")

    def id_of(*options: str) -> UUID:
        new, folder, version = locate_model(
            make_scenario("onnx", ["model=best.onnx", *options], {}), tmp_path / "models"
        )
        assert folder == tmp_path  # not below the model folder, but where the command is called
        return Plan(new, version).of(RecordedFile(clip, "clip.mp4")).id

    first = id_of()
    clip.touch()
    assert id_of() == first
    ids = {first, id_of("confidence=0.7")}
    model.write_bytes(b"another")
    ids.add(id_of())
    clip.write_bytes(b"other")
    ids.add(id_of())
    assert len(ids) == 4


def test_a_name_that_no_source_can_have_is_told(tmp_path: Path) -> None:
    clip = tmp_path / "two\nlines.mp4"
    clip.write_bytes(b"first")
    with pytest.raises(PlanError, match="control characters: rename the file"):
        Plan(make_scenario("objects", (), {})).of(RecordedFile(clip, "clip.mp4"))


def test_options_of_a_detector_are_read_as_its_configuration_says() -> None:
    for text in "labels=person", "labels=person,car", 'labels=["person","car"]':
        found = make_scenario("objects", [text, "confidence=0.6", '{"tiles": 2}'], {}).detector
        assert isinstance(found, Objects)
        assert found.labels == (("person", "car") if "car" in text else ("person",))
        assert (found.confidence, found.tiles) == (0.6, 2)
    assert read_options(["model=a,b.onnx", "input.width=640", "input.colours=bgr"]) == {
        "model": "a,b.onnx",
        "input": {"width": 640, "colours": "bgr"},
    }
    for wrong in (["input=1", "input.width=640"], ["confidence"], ["=1"], ["{"]):
        with pytest.raises(OptionError):
            read_options(wrong)
    with pytest.raises(
        PlanError, match=r"`detector.typo` is not known; choose from labels, confidence, tiles\."
    ):
        make_scenario("objects", ["typo=1"], {})
    with pytest.raises(PlanError, match=r"`zones\[0\].nam` is not known; choose from name, polygon, "):
        make_scenario(None, (), {"zones": [{"nam": "yard"}]})
    with pytest.raises(PlanError, match=r"`sampling.rate` is not known; choose from fps\."):
        make_scenario(None, (), {"sampling": {"mode": "fps", "rate": 3}})
    with pytest.raises(PlanError, match="There is no detector 'stored': choose from objects, "):
        make_scenario(None, (), {"detector": {"type": "stored"}})
    with pytest.raises(PlanError, match="`detector` must be an object"):
        make_scenario(None, (), {"detector": "marker"})
    new = make_scenario(None, ["tiles=3"], {"detector": {"type": "objects", "confidence": 0.9}})
    assert new.detector == Objects(confidence=0.9, tiles=3)

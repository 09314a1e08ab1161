"""What may differ when a scenario is resumed, and what may not."""

import pytest

from app.domain.pins import FileIdentity, PinnedError, Pins, compare, merge

FILE = FileIdentity(size=1000, modified=5, digest="aa")


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (FileIdentity(size=999, modified=5, digest="aa"), "its size changed from 1,000 to 999 bytes"),
        (FileIdentity(size=1000, modified=5, digest="bb"), "its content changed"),
    ],
)
def test_another_file_is_refused_in_words(found: FileIdentity, sentence: str) -> None:
    with pytest.raises(PinnedError, match=sentence):
        compare(Pins(file=FILE), Pins(file=found))


def test_another_file_of_a_web_server_is_refused() -> None:
    with pytest.raises(PinnedError, match="its ETag changed from a to b"):
        compare(Pins(file=FileIdentity(etag="a")), Pins(file=FileIdentity(etag="b")))


def test_another_model_is_refused() -> None:
    with pytest.raises(PinnedError, match="model file is another one"):
        compare(Pins(model="aa"), Pins(model="bb"))


def test_what_does_not_apply_or_is_not_known_is_not_compared() -> None:
    assert compare(Pins(), Pins(file=FILE, model="aa", backend="onnxruntime")) == []
    assert compare(Pins(file=FILE, model="aa"), Pins()) == []
    assert compare(Pins(file=FileIdentity(etag="a")), Pins(file=FileIdentity(size=3))) == []


def test_other_rules_backend_and_precision_go_on_and_are_told() -> None:
    before = Pins(rules=1, backend="onnxruntime", precision="fp32")
    assert compare(before, Pins(rules=2, backend="openvino", precision="bf16")) == [
        "rules changed from 1 to 2",
        "backend changed from onnxruntime to openvino",
        "precision changed from fp32 to bf16",
    ]


def test_a_file_that_was_only_touched_goes_on_and_is_told() -> None:
    (change,) = compare(Pins(file=FILE), Pins(file=FileIdentity(size=1000, modified=6, digest="aa")))
    assert "modification time changed" in change


def test_what_was_pinned_stays_and_what_was_not_is_added() -> None:
    assert merge(None, Pins(file=FILE)) == Pins(file=FILE)
    later = FileIdentity(size=1000, modified=6, digest="aa")
    merged = merge(Pins(file=FILE, rules=1), Pins(file=later, model="aa", rules=2, backend="openvino"))
    assert merged == Pins(file=later, model="aa", rules=2, backend="openvino")
    assert compare(merged, Pins(file=later)) == ["rules changed from 2 to 1"]

"""The settings of inference: backends, precision, servers and their key."""

import pytest

from app.settings import SettingsError, load

KEY = "0123456789abcdef"


def _error(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ)
    return str(caught.value)


@pytest.mark.parametrize(
    "backend", ["onnxruntime", "openvino", "openvino:GPU", "openvino:gpu.1", "cuda", "tensorrt", "coreml"]
)
def test_a_backend_may_name_a_device_of_openvino(backend: str) -> None:
    assert load({"VA_INFERENCE": backend}).inference == backend


@pytest.mark.parametrize("backend", ["onnx", "cuda:0", "openvino:", "openvino:GPU;", "OpenVINO"])
def test_an_unknown_backend_is_an_error_that_names_those_there_are(backend: str) -> None:
    assert "it must be onnxruntime, openvino, openvino:GPU" in _error(VA_INFERENCE=backend)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "VA_INFERENCE=remote needs VA_INFERENCE_URLS"),
        ({"VA_INFERENCE_PRECISION": "bf16"}, "set it on the inference servers"),
        ({"VA_ROLES": "inference"}, "choose another VA_INFERENCE"),
    ],
)
def test_remote_inference_needs_servers_that_compute(variables: dict[str, str], said: str) -> None:
    urls = {"VA_INFERENCE_URLS": "http://inference:8000"} if variables else {}
    assert said in _error(VA_INFERENCE="remote", **urls, **variables)


def test_an_inference_server_alone_needs_no_other_role_and_no_bus() -> None:
    assert load({"VA_ROLES": "inference"}).roles == {"inference"}
    assert "VA_ROLES lacks orchestrator" in _error(VA_ROLES="inference,api,runner")


def test_the_key_of_inference_servers_is_a_secret() -> None:
    settings = load({"VA_INFERENCE_KEY": KEY})
    assert KEY in settings.secrets()
    assert KEY not in repr(settings)
    assert "short" not in _error(VA_INFERENCE_KEY="short")


@pytest.mark.parametrize("key", ["ein-langer-schlüssel", "a key of many words", "0123456789abcdef\n0123"])
def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(key: str) -> None:
    said = _error(VA_INFERENCE_KEY=key)
    assert "at least 16 ASCII characters" in said
    assert key not in said

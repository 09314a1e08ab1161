"""The routes of the Open Inference Protocol answer as the protocol says."""

from hashlib import sha256
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.detectors.backends.onnx_runtime import OnnxRuntime
from app.inference.application import ANSWERS
from tests.inference.conftest import KEY, Serve
from tests.inference.requests import error, infer, output, pictures, response
from tests.support import models


def computed(path: Path, images: np.ndarray) -> np.ndarray:
    found: np.ndarray = OnnxRuntime().open(path, {}).run({"images": images})[0]
    return found


async def test_the_server_tells_its_name_and_extensions(http: httpx.AsyncClient) -> None:
    told = (await http.get("/v2")).json()
    assert told == {
        "name": "videoanalysis",
        "version": "1",
        "extensions": ["binary_tensor_data", "statistics"],
    }
    assert (await http.get("/v2/")).json() == told
    assert (await http.get("/v2/health/live")).json() == {"live": True}
    assert (await http.get("/v2/health/ready")).json() == {"ready": True}


@pytest.mark.parametrize("path", ["folder/free.onnx", "folder%2Ffree.onnx", "folder/free.onnx/versions/1"])
async def test_a_model_tells_its_inputs_outputs_and_hash(
    http: httpx.AsyncClient, tmp_path: Path, path: str
) -> None:
    told = (await http.get(f"/v2/models/{path}")).json()
    assert told["name"] == "folder/free.onnx"
    assert told["versions"] == ["1"]
    assert told["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 3, -1, -1]}]
    assert told["outputs"] == [{"name": "output0", "datatype": "FP32", "shape": [-1, 6, -1]}]
    digest = sha256((tmp_path / "folder" / "free.onnx").read_bytes()).hexdigest()
    assert told["parameters"] == {
        "sha256": digest,
        "backend": "onnxruntime",
        "precision": "fp32",
    }
    assert (await http.get(f"/v2/models/{path}/ready")).json() == {"name": "folder/free.onnx", "ready": True}


async def test_what_the_exporter_wrote_travels_with_the_model(http: httpx.AsyncClient) -> None:
    told = (await http.get("/v2/models/fixed.onnx")).json()
    assert told["parameters"]["names"] == models.NAMES
    assert told["inputs"][0]["shape"] == [1, 3, 64, 64]


@pytest.mark.parametrize("is_binary", [True, False])
async def test_outputs_are_those_of_the_model(
    http: httpx.AsyncClient, tmp_path: Path, *, is_binary: bool
) -> None:
    images = pictures()
    answer = await infer(http, "fixed.onnx", images, is_binary=is_binary)
    assert response(answer).id == "one"
    assert response(answer).model_version == "1"
    assert response(answer).sha256 == sha256((tmp_path / "fixed.onnx").read_bytes()).hexdigest()
    assert np.array_equal(output(answer), computed(tmp_path / "fixed.onnx", images))


async def test_without_asking_for_outputs_all_come_as_json(http: httpx.AsyncClient) -> None:
    data = pictures().ravel().tolist()
    inputs = [{"name": "images", "datatype": "FP32", "shape": [1, 3, 64, 64], "data": data}]
    answer = await http.post("/v2/models/fixed.onnx/infer", json={"inputs": inputs})
    (only,) = answer.json()["outputs"]
    assert (only["name"], only["datatype"], len(only["data"])) == ("output0", "FP32", 6 * 25)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v2/models/absent.onnx", 404, "There is no model 'absent.onnx'"),
        ("/v2/models/../secret.onnx/ready", 404, ""),
        ("/v2/models/..%2Fsecret.onnx/ready", 404, "outside the model folder"),
        ("/v2/models/.%2Ffixed.onnx", 404, "without needless parts"),
        ("/v2/models/fixed.onnx/versions/2", 404, "no version '2'"),
        ("/v2/models/note.txt", 404, "cannot be loaded as an ONNX model"),
        ("/v2/repository", 404, "nothing at this path"),
        ("/v2/models/fixed.onnx/infer", 405, "supports POST alone"),
    ],
)
async def test_what_there_is_not_is_told_in_a_sentence(
    http: httpx.AsyncClient, tmp_path: Path, path: str, status: int, said: str
) -> None:
    models.not_a_model(tmp_path / "note.txt")
    answer = await http.get(path)
    assert answer.status_code == status
    if said:
        assert said in error(answer)


async def test_a_client_needs_the_key_but_a_probe_does_not(serve: Serve) -> None:
    async with serve(keys=(KEY,)) as http:
        refused = await http.get("/v2/models/fixed.onnx")
        assert refused.status_code == 401
        assert "key" in error(refused)
        wrong = await http.get("/v2", headers={"Authorization": "Bearer another-key-of-sixteen"})
        assert "VA_INFERENCE_KEY" in error(wrong)
        assert (await http.get("/v2/health/ready")).status_code == 200
        answer = await infer(http, "fixed.onnx", pictures(), Authorization=f"Bearer {KEY}")
        assert output(answer).shape == (1, 6, 25)


async def test_without_a_key_only_this_machine_is_served(serve: Serve) -> None:
    async with serve(client="192.0.2.1") as http:
        answer = await http.get("/v2")
        assert answer.status_code == 403
        assert "Set VA_INFERENCE_KEY" in error(answer)


async def test_a_connection_is_closed_now_and_then_so_that_new_servers_get_their_share(
    http: httpx.AsyncClient,
) -> None:
    closing = [
        number
        for number in range(1, 2 * ANSWERS + 1)
        if (await http.get("/v2/health/live")).headers.get("Connection") == "close"
    ]
    assert closing == [ANSWERS, 2 * ANSWERS]


async def test_statistics_count_what_was_computed(http: httpx.AsyncClient) -> None:
    for _ in range(3):
        output(await infer(http, "folder/free.onnx", pictures(2)))
    error(await infer(http, "folder/free.onnx", pictures().astype(np.float64)))
    (told,) = (await http.get("/v2/models/folder/free.onnx/stats")).json()["model_stats"]
    assert (told["inference_count"], told["execution_count"]) == (6, 3)
    assert told["inference_stats"]["success"]["count"] == 3
    assert told["inference_stats"]["fail"]["count"] == 1
    assert told["inference_stats"]["compute_infer"]["ns"] > 0
    assert [each["batch_size"] for each in told["batch_stats"]] == [2]
    metrics = (await http.get("/metrics")).text
    name = 'videoanalysis_inference_requests_total{model="folder/free.onnx",status="200"}'
    assert name in metrics

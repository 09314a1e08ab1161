"""What computes networks is shown, and the role `inference` is a server of its own."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from anyio import to_thread

from tests.inference.requests import error, infer, output, pictures
from tests.service.test_start import failed_start
from tests.support import models
from tests.support.clips import marker_clip
from tests.support.service import running
from tests.support.waiting import until

KEY = "a-key-of-at-least-sixteen"
BACKENDS = ["onnxruntime", *(["openvino"] if importlib.util.find_spec("openvino") else [])]


@pytest.mark.parametrize("backend", BACKENDS)
async def test_what_computes_is_told_at_the_start_of_the_runner_and_of_the_scenario(
    tmp_path: Path, backend: str
) -> None:
    models.yolov8(tmp_path / "model.onnx", (64, 64))
    name = "openvino:CPU" if backend == "openvino" else backend
    async with running(tmp_path, model_root=tmp_path, inference=backend) as service:
        marker_clip(service.media / "clip.mp4", frames=30)
        scenario_id = await service.create("clip.mp4", {"type": "onnx", "model": "model.onnx"})
        scenario = await service.ends(scenario_id)
        assert scenario["outcome"] == "completed"
        assert (scenario["inference"]["backend"], scenario["inference"]["precision"]) == (name, "fp32")
        assert len(scenario["inference"]["model"]) == 64
        (runner,) = (await service.http.get("/runners")).json()["items"]
        assert (runner["backend"], runner["precision"]) == (name, "fp32")
        (line,) = [line for line in service.log.read_text().splitlines() if " inference " in line]
        assert f"backend={name}" in line
        moving = await service.ends(await service.create("clip.mp4", {"type": "motion"}))
        assert moving["inference"] is None


def test_a_backend_that_cannot_be_used_stops_the_start_with_one_line(tmp_path: Path) -> None:
    said = failed_start(tmp_path, VA_INFERENCE="coreml")
    assert "VA_INFERENCE=coreml is not possible" in said


async def test_a_server_of_one_role_computes_for_those_who_have_its_key(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", (64, 64))
    async with running(
        tmp_path, roles="inference", model_root=tmp_path, inference_key=KEY, inference_max_body_mb=1
    ) as server:
        assert not (tmp_path / "data").exists()
        refused = await server.http.get("/v2/models/model.onnx")
        assert refused.status_code == 401
        assert "VA_INFERENCE_KEY" in error(refused)
        (ready,) = [line for line in server.log.read_text().splitlines() if " ready " in line]
        assert "pages=" not in ready
        assert "data=" not in ready
        server.http.headers["Authorization"] = f"Bearer {KEY}"
        answer = await infer(server.http, "model.onnx", pictures())
        assert output(answer).shape == (1, 6, 25)
        large = await infer(server.http, "model.onnx", pictures(side=320))
        assert "larger than 1 MiB" in error(large)
        assert (await server.http.get("/v2/health/ready")).json() == {"ready": True}
        assert await to_thread.run_sync(server.terminate) != 0
        assert KEY not in server.log.read_text()


async def test_tritons_own_client_gets_the_same_outputs_in_every_form(tmp_path: Path) -> None:
    client_module = pytest.importorskip("tritonclient.http", reason="needs tritonclient")
    models.yolov8(tmp_path / "model.onnx", (64, 64), {"names": models.NAMES})
    images = pictures()
    async with running(tmp_path, roles="inference", model_root=tmp_path) as server:

        def ask() -> list[np.ndarray]:
            client = client_module.InferenceServerClient(f"127.0.0.1:{server.port}")
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("model.onnx")
            assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
            assert client.get_model_metadata("model.onnx")["inputs"][0]["shape"] == [1, 3, 64, 64]
            found = []
            for binary_in in (True, False):
                for binary_out in (True, False):
                    given = client_module.InferInput("images", list(images.shape), "FP32")
                    given.set_data_from_numpy(images, binary_data=binary_in)
                    wanted = client_module.InferRequestedOutput("output0", binary_data=binary_out)
                    found.append(client.infer("model.onnx", [given], outputs=[wanted]).as_numpy("output0"))
            found.append(client.infer("model.onnx", [given]).as_numpy("output0"))
            told = client.get_inference_statistics("model.onnx")["model_stats"][0]
            assert told["inference_stats"]["success"]["count"] == 5
            with pytest.raises(Exception, match="no output 'more'"):
                client.infer("model.onnx", [given], outputs=[client_module.InferRequestedOutput("more")])
            return found

        first, *others = await to_thread.run_sync(ask)
        assert first.shape == (1, 6, 25)
        assert all(np.array_equal(first, other) for other in others)
        assert await until(server.is_ready)

"""Models over HTTP: how each is understood, and what it finds in a picture."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from app.api import ApiOptions, create_app
from app.api.routes import models as routes
from app.detectors.backends.onnx_runtime import OnnxRuntime, OnnxRuntimeSession, load
from app.detectors.backends.session import Backend, InferenceError
from app.detectors.onnx.catalog import ModelCatalog
from tests.api.conftest import connected
from tests.support import models


def picture(kind: str = ".png", width: int = 1280, height: int = 720) -> bytes:
    """A black picture with a white square of 64 pixels, which the network of 640 pixels finds."""
    image = np.zeros((height, width, 3), np.uint8)
    image[168:232, 256:320] = 255
    return cv2.imencode(kind, image)[1].tobytes()


PNG = {"Content-Type": "image/png"}


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(create_app(ApiOptions(version="1", model_root=tmp_path))) as client:
        yield client


async def test_each_model_is_listed_with_how_it_is_understood_or_why_not(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "yard").mkdir()
    models.yolov8(tmp_path / "yard/a.onnx", metadata={"names": models.NAMES})
    models.not_a_model(tmp_path / "b.onnx")
    models.classifier(tmp_path / ".hidden.onnx")
    (tmp_path / "notes.txt").write_text("no model")
    answer = (await http.get("/models")).json()
    bad, good = answer["items"]
    assert answer["note"] is None
    assert (bad["name"], bad["state"], bad["layout"]) == ("b.onnx", "rejected", None)
    assert "Copy or export it again" in bad["error"]
    assert (good["name"], good["state"], good["layout"]) == ("yard/a.onnx", "understood", "yolov8")
    assert (good["classes"], good["backend"], good["precision"]) == (2, "onnxruntime", "fp32")
    assert "labels" not in good
    one = (await http.get("/models/yard/a.onnx")).json()
    assert one.pop("labels") == {"0": "bright", "1": "red"}
    assert one == good
    assert one["size"] == (tmp_path / "yard/a.onnx").stat().st_size
    assert one["input"] == {
        "width": 640, "height": 640, "is_dynamic": False, "dtype": "float32", "channels": "first", "batch": 1,
        "fit": "letterbox", "colours": "rgb", "range": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1],
    }  # fmt: skip


async def test_a_model_that_changes_is_examined_again(http: httpx.AsyncClient, tmp_path: Path) -> None:
    path = models.not_a_model(tmp_path / "a.onnx")
    assert (await http.get("/models/a.onnx")).json()["state"] == "rejected"
    models.yolov8(path)
    os.utime(path, ns=(1, 1))
    assert (await http.get("/models/a.onnx")).json()["state"] == "understood"
    path.unlink()
    assert (await http.get("/models/a.onnx")).status_code == 404
    assert (await http.get("/models")).json()["items"] == []


async def test_a_model_that_may_not_be_read_is_rejected(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> tuple[str, ...]:
        raise PermissionError(13, "Permission denied", str(path))

    models.yolov8(tmp_path / "a.onnx")
    monkeypatch.setattr("app.detectors.onnx.cache.weight_names", denied)
    (item,) = (await http.get("/models")).json()["items"]
    assert (item["state"], item["error"]) == ("rejected", "It cannot be read: Permission denied.")
    tried = await http.post("/models/a.onnx/try", content=picture(), headers=PNG)
    assert (tried.status_code, "cannot be read: Permission denied" in tried.text) == (422, True)


async def test_an_empty_folder_is_told_of(http: httpx.AsyncClient) -> None:
    answer = (await http.get("/models")).json()
    assert answer["items"] == []
    assert "VA_MODEL_ROOT) is empty" in answer["note"]


async def test_models_that_take_long_are_examined_by_the_next_request(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.yolov8(tmp_path / "a.onnx")
    monkeypatch.setattr(routes, "LIST_TIME", -1)
    monkeypatch.setattr("app.detectors.onnx.cache.weight_names", pytest.fail)  # it reads the whole file
    answer = (await http.get("/models")).json()
    assert [each["state"] for each in answer["items"]] == ["not_examined"]
    assert answer["note"] == "Not examined yet: 1 of 1. Repeat the request."
    monkeypatch.undo()
    assert (await http.get("/models")).json()["items"][0]["state"] == "understood"


@pytest.mark.parametrize("name", ["x.onnx", "../outside.onnx", "%2e%2e/outside.onnx", "notes.txt", "yard"])
async def test_only_models_below_the_folder_are_shown(
    http: httpx.AsyncClient, tmp_path: Path, name: str
) -> None:
    models.yolov8(tmp_path.parent / "outside.onnx")
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "yard").mkdir()
    answer = await http.get(f"/models/{name}")
    assert answer.status_code == 404
    tried = await http.post(f"/models/{name}/try", content=picture(), headers=PNG)
    assert tried.status_code == 404
    assert str(tmp_path) not in answer.text + tried.text
    assert ("name ends in .onnx" in answer.text) == (not name.endswith(".onnx"))


@pytest.mark.parametrize("kind", [".png", ".jpg"])
async def test_a_model_is_tried_with_a_picture(http: httpx.AsyncClient, tmp_path: Path, kind: str) -> None:
    models.yolov8(tmp_path / "a.onnx", metadata={"names": models.NAMES})
    headers = {"Content-Type": "image/png" if kind == ".png" else "image/jpeg"}
    answer = await http.post("/models/a.onnx/try?confidence=0.9", content=picture(kind), headers=headers)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["width"], found["height"]) == (1280, 720)
    (detection,) = found["detections"]
    assert (detection["label"], detection["class_id"]) == ("bright", 0)
    assert np.abs(np.array(detection["box"]) - (256, 168, 320, 232)).max() <= 1


async def test_models_are_tried_with_the_backend_of_the_process_and_the_answer_names_it(
    tmp_path: Path,
) -> None:
    opened: list[Backend] = []

    def open_backend() -> Backend:
        backend = OnnxRuntime()
        backend.name, backend.precision = "fast:CPU", "bf16"
        backend.open = lambda path, weights: OnnxRuntimeSession(  # type: ignore[method-assign]
            load(path, weights, ["CPUExecutionProvider"]), backend
        )
        opened.append(backend)
        return backend

    models.yolov8(tmp_path / "a.onnx")
    options = ApiOptions(version="1", model_root=tmp_path, open_backend=open_backend)
    async with connected(create_app(options)) as http:
        assert opened == []  # it may be large
        tried = (await http.post("/models/a.onnx/try", content=picture(), headers=PNG)).json()
        described = (await http.get("/models/a.onnx")).json()
    for answer in (tried, described):
        assert (answer["backend"], answer["precision"]) == ("fast:CPU", "bf16")
    assert len(opened) == 1


async def test_the_picture_is_returned_with_boxes_if_the_client_accepts_one(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    models.yolov8(tmp_path / "a.onnx", metadata={"names": "['\N{SNOWMAN}', 'red']"})
    answer = await http.post(
        "/models/a.onnx/try?confidence=0.9", content=picture(), headers=PNG | {"Accept": "image/jpeg"}
    )
    assert answer.headers["content-type"] == "image/jpeg"
    shown = np.asarray(cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR))
    assert shown.shape == (720, 1280, 3)
    assert shown[200, 257].max() > 100  # an edge of the box
    assert np.ptp(shown[200, 257].astype(int)) > 30  # in colour
    assert shown[600, 1000].max() < 10


async def test_what_is_stated_decides_how_a_model_is_tried(http: httpx.AsyncClient, tmp_path: Path) -> None:
    models.yolov8(tmp_path / "a.onnx", metadata={"names": models.NAMES})
    answer = await http.post(
        "/models/a.onnx/try?confidence=0.9&fit=stretch&colours=bgr&mean=0,0,0&std=1,1,1&range=1",
        content=picture(),
        headers=PNG,
    )
    assert answer.status_code == 200, answer.text
    wrong = await http.post("/models/a.onnx/try?layout=detr", content=picture(), headers=PNG)
    assert (wrong.status_code, "not those of the layout detr" in wrong.text) == (422, True)


@pytest.mark.parametrize(
    ("path", "content", "kind", "status", "text"),
    [
        ("a.onnx/try", b"", "image/png", 422, "no JPEG or PNG"),
        ("a.onnx/try", picture()[:40], "image/png", 422, "damaged"),
        ("a.onnx/try", picture(".jpg")[:900], "image/gif", 415, "image/jpeg"),
        ("a.onnx/try", b'{"a": 1}', "application/json", 415, "image/jpeg"),
        ("a.onnx/try?range=7", picture(), "image/png", 400, "must be one of 1, 255"),
        ("a.onnx/try?mean=1,2", picture(), "image/png", 422, "three numbers"),
        ("a.onnx/try?std=0,1,1", picture(), "image/png", 422, "three numbers"),
        ("a.onnx/try?size=3", picture(), "image/png", 400, "is not known"),
        ("a.onnx/try", b"\x89PNG" + bytes(10_000_001), "image/png", 413, "10 MB"),
        ("a.onnx", picture(), "image/png", 405, "/models/{name}/try"),
        ("b.onnx/try", picture(), "image/png", 422, "Copy or export it again"),
    ],
)
async def test_what_cannot_be_tried_is_refused_with_the_reason(
    http: httpx.AsyncClient, tmp_path: Path, path: str, content: bytes, kind: str, status: int, text: str
) -> None:
    models.yolov8(tmp_path / "a.onnx")
    models.not_a_model(tmp_path / "b.onnx")
    answer = await http.post(f"/models/{path}", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert text in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "allowed"), [("yard/a.onnx", "GET, HEAD, OPTIONS"), ("yard/a.onnx/try", "OPTIONS, POST")]
)
async def test_each_of_the_two_paths_has_its_own_methods(
    http: httpx.AsyncClient, path: str, allowed: str
) -> None:
    options = await http.options(f"/models/{path}")
    assert (options.status_code, options.headers["allow"]) == (204, allowed)
    for method in {"GET", "POST", "DELETE"} - set(allowed.split(", ")):
        answer = await http.request(method, f"/models/{path}")
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("marker", [b"\xff\xc0", b"\xff\xc2"])
async def test_a_picture_that_declares_too_many_pixels_is_not_decoded(
    http: httpx.AsyncClient, tmp_path: Path, marker: bytes
) -> None:
    models.yolov8(tmp_path / "a.onnx")
    png, jpeg = bytearray(picture()), bytearray(picture(".jpg"))
    png[16:24] = (60_000).to_bytes(4, "big") * 2
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame : frame + 2] = marker
    jpeg[frame + 5 : frame + 9] = (60_000).to_bytes(2, "big") * 2
    for kind, content in (("image/png", png), ("image/jpeg", jpeg)):
        answer = await http.post("/models/a.onnx/try", content=bytes(content), headers={"Content-Type": kind})
        assert answer.status_code == 422
        assert "60000×60000 pixels" in answer.json()["detail"]


@pytest.mark.parametrize("between", [b"\xff\x01", b"\xff\xd0"])
async def test_a_marker_without_a_length_hides_no_pixels(
    http: httpx.AsyncClient, tmp_path: Path, between: bytes
) -> None:
    """What follows was taken for its length, so that another start of frame was read than the decoder's."""
    models.yolov8(tmp_path / "a.onnx")
    jpeg = picture(".jpg")
    frame = jpeg.index(b"\xff\xc0")
    end = frame + 19
    large = bytearray(jpeg[frame:end])
    large[5:9] = (7_000).to_bytes(2, "big") * 2
    content = (jpeg[:2] + between + large + jpeg[2:frame] + jpeg[end:]).ljust(4 + 0xFFC0, b"\0")
    small = b"\xff\xc0\x00\x11\x08\x00\x08\x00\x08"
    answer = await http.post(
        "/models/a.onnx/try", content=content + small, headers={"Content-Type": "image/jpeg"}
    )
    assert (answer.status_code, "beginning is damaged" in answer.text) == (422, True)


async def test_a_picture_of_many_scans_is_not_decoded(http: httpx.AsyncClient, tmp_path: Path) -> None:
    models.yolov8(tmp_path / "a.onnx")
    image = np.zeros((64, 64, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    kind = {"Content-Type": "image/jpeg"}
    assert (await http.post("/models/a.onnx/try", content=jpeg, headers=kind)).status_code == 200
    answer = await http.post("/models/a.onnx/try", content=jpeg[:-2] + last * 100 + jpeg[-2:], headers=kind)
    assert (answer.status_code, "more than 100 scans" in answer.text) == (422, True)


async def test_a_picture_that_a_model_cannot_compute_is_refused_with_the_reason(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise InferenceError("the axes do not fit")

    models.yolov8(tmp_path / "a.onnx")
    monkeypatch.setattr("app.detectors.onnx.model.Model.infer", fail)
    answer = await http.post("/models/a.onnx/try", content=picture(), headers=PNG)
    assert (answer.status_code, "cannot compute this picture: the axes" in answer.text) == (422, True)


async def test_requests_that_are_abandoned_early_keep_no_slot(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.yolov8(tmp_path / "a.onnx")
    monkeypatch.setattr(routes, "PATIENCE", -1)
    for _ in range(routes.MOST_WAITING + 1):
        assert "takes long" in (await http.get("/models/a.onnx")).text
    monkeypatch.undo()
    assert (await http.get("/models/a.onnx")).status_code == 200


async def test_requests_do_not_pile_up_behind_a_model_that_takes_long(
    http: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.yolov8(tmp_path / "a.onnx")
    catalogs: list[ModelCatalog] = []
    describe = ModelCatalog.describe

    def remembered(self: ModelCatalog, name: str, *, examine: bool = True) -> object:
        catalogs.append(self)
        return describe(self, name, examine=examine)

    monkeypatch.setattr(ModelCatalog, "describe", remembered)
    assert (await http.get("/models/a.onnx")).status_code == 200
    monkeypatch.setattr(routes, "PATIENCE", 0.2)
    with catalogs[0]._examining:  # as if a model were being examined
        answers = [await http.get("/models/a.onnx") for _ in range(routes.MOST_WAITING + 1)]
    details = [answer.json()["detail"] for answer in answers]
    assert {answer.status_code for answer in answers} == {503}
    assert ["takes long" in detail for detail in details] == [True] * routes.MOST_WAITING + [False]
    assert "Other requests" in details[-1]

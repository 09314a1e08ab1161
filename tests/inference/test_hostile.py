"""Hostile input gets a sentence and a 4xx, and costs bounded memory."""

import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from anyio import Event, create_task_group, fail_after, sleep, to_thread

from app.detectors.oip import framing
from app.detectors.oip.inference import InferRequest, encode_request
from app.detectors.oip.tensors import NamedArray
from app.inference import batching, bodies
from tests.inference.conftest import MAX_BODY, Serve
from tests.inference.requests import error, infer, output, pictures

Change = Callable[[dict[str, Any]], object]


def message() -> dict[str, Any]:
    tensor = {"name": "images", "datatype": "FP32", "shape": [1, 3, 64, 64], "data": [0.5] * 12288}
    return {"inputs": [tensor], "outputs": [{"name": "output0"}]}


async def send(http: httpx.AsyncClient, content: bytes, **headers: str) -> httpx.Response:
    return await http.post("/v2/models/fixed.onnx/infer", content=content, headers=headers)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["inputs"][0].update(shape=[1, 3, 64, 65]), "values, but its shape is"),
        (lambda m: m["inputs"][0].update(shape=[2**40, 2**40]), "impossible"),
        (lambda m: m["inputs"][0].update(shape=[-1, 3, 64, 64]), "impossible"),
        (
            lambda m: m["inputs"][0].update(shape=[3, 64, 64]),
            "has the shape [3, 64, 64], but the model takes",
        ),
        (lambda m: m["inputs"][0].update(shape=[0, 3, 64, 64], data=[]), "any length of at least 1"),
        (lambda m: m["inputs"][0].update(shape="large"), "not what the protocol says"),
        (lambda m: m["inputs"][0].update(datatype="FP13"), "'FP13'"),
        (
            lambda m: m["inputs"][0].update(datatype="INT8", data=[1] * 12288),
            "is INT8, but the model takes FP32",
        ),
        (lambda m: m["inputs"][0].update(data=["x"]), "data of 'images'"),
        (lambda m: m["inputs"][0].update(name="pictures"), "input 'images' is missing"),
        (lambda m: m["inputs"].append(dict(m["inputs"][0], name="more")), "no input 'more'"),
        (lambda m: m["inputs"].append(m["inputs"][0]), "same name"),
        (lambda m: m["inputs"][0].update(parameters={"shared_memory_region": "x"}), "shared_memory_region"),
        (lambda m: m["outputs"][0].update(name="secrets"), "no output 'secrets'"),
        (lambda m: m["outputs"].append({"name": "output0"}), "twice"),
        (lambda m: m.pop("inputs"), "not what the protocol says"),
    ],
)
async def test_a_request_that_lies_is_refused_in_a_sentence(
    http: httpx.AsyncClient, change: Change, said: str
) -> None:
    lie = message()
    change(lie)
    answer = await send(http, msgspec.json.encode(lie))
    assert answer.status_code == 400
    assert said in error(answer)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff" * 100, b"null"])
async def test_a_body_that_is_no_request_is_refused(http: httpx.AsyncClient, content: bytes) -> None:
    answer = await send(http, content)
    assert answer.status_code == 400
    error(answer)


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, str(2**31), "9999"])
async def test_a_length_of_json_that_lies_is_refused(http: httpx.AsyncClient, length: str) -> None:
    answer = await send(http, b"{}", **{"Inference-Header-Content-Length": length})
    assert answer.status_code == 400
    error(answer)


async def test_a_model_that_cannot_compute_says_so(http: httpx.AsyncClient) -> None:
    answer = await infer(http, "folder/free.onnx", pictures(side=8))  # its windows are 32 pixels wide
    assert answer.status_code == 400
    assert "cannot compute with these inputs" in error(answer)


async def test_a_fault_of_the_server_itself_is_told_without_its_details(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("secret")

    monkeypatch.setattr("app.inference.hosted_model.HostedModel.compute", fail)
    answer = await infer(http, "fixed.onnx", pictures())
    assert answer.status_code == 500
    assert "secret" not in error(answer)
    monkeypatch.undo()
    assert output(await infer(http, "fixed.onnx", pictures())).shape == (1, 6, 25)


async def test_an_endless_body_is_refused_when_it_is_too_long(http: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 2**16
            yield bytes(2**16)

    answer = await http.post("/v2/models/fixed.onnx/infer", content=endless())
    assert answer.status_code == 413
    assert "VA_INFERENCE_MAX_BODY_MB" in error(answer)
    assert sent <= MAX_BODY + 2**17


async def test_a_body_that_is_declared_too_long_is_refused_at_once(http: httpx.AsyncClient) -> None:
    answer = await send(http, b"", **{"Content-Length": str(MAX_BODY + 1)})
    assert answer.status_code == 413


async def test_a_body_that_does_not_come_is_refused(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT", 0.1)

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await sleep(30)

    answer = await http.post("/v2/models/fixed.onnx/infer", content=slow())
    assert answer.status_code == 408


async def test_a_compressed_body_is_refused(http: httpx.AsyncClient) -> None:
    answer = await send(http, b"x", **{"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert "compressed" in error(answer)


async def test_many_numbers_in_json_are_refused_before_they_are_read(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framing, "MAX_JSON_VALUES", 1000)
    answer = await send(http, msgspec.json.encode(message()))
    assert answer.status_code == 413
    assert "binary" in error(answer)


async def test_bodies_at_once_are_bounded(http: httpx.AsyncClient) -> None:
    """Clients that send slowly hold memory: the server takes no more of it than four largest bodies."""
    answers: list[httpx.Response] = []
    two_refused, released = Event(), Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b" "
        await released.wait()

    async def post() -> None:
        answers.append(await http.post("/v2/models/fixed.onnx/infer", content=slow()))
        if len(answers) == 2:
            two_refused.set()

    with fail_after(20):
        async with create_task_group() as group:
            for _ in range(6):
                group.start_soon(post)
            await two_refused.wait()
            assert [answer.status_code for answer in answers] == [503, 503]
            assert answers[0].headers["Retry-After"] == "1"
            released.set()
    assert sorted(answer.status_code for answer in answers) == [400] * 4 + [503] * 2
    assert output(await infer(http, "fixed.onnx", pictures())).shape == (1, 6, 25)


async def test_what_a_client_does_not_wait_for_any_more_is_not_computed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without that, a server that is too slow for its clients computes only for those that have gone."""
    let_go, began, computed = threading.Event(), threading.Event(), 0

    def compute(*_: object) -> list[Any]:
        nonlocal computed
        computed += 1
        began.set()
        let_go.wait(20)
        return [np.zeros((1, 6, 25), np.float32)]

    monkeypatch.setattr("app.inference.hosted_model.HostedModel.compute", compute)
    async with serve(slots=1) as http:
        with fail_after(20):
            async with create_task_group() as group:
                group.start_soon(infer, http, "fixed.onnx", pictures())
                await to_thread.run_sync(began.wait)
                gone = [await disconnected(http, pictures()) for _ in range(3)]
                let_go.set()
        assert [answer["status"] for answer in gone] == [499] * 3
        assert computed == 1
        output(await infer(http, "fixed.onnx", pictures()))
    assert computed == 2


async def disconnected(http: httpx.AsyncClient, images: Any) -> dict[str, Any]:
    """Send a request whose client disconnects as soon as it is sent, and return how it was answered."""
    body = encode_request(InferRequest((NamedArray("images", images),)), is_binary=True)
    headers = [(name.lower().encode(), value.encode()) for name, value in body.headers.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v2/models/fixed.onnx/infer",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), *headers],
        "client": ("127.0.0.1", 1),
    }
    messages = iter([{"type": "http.request", "body": body.content, "more_body": False}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await http._transport.app(scope, receive, send)  # type: ignore[attr-defined]
    return sent[0]


async def test_too_many_requests_at_once_are_told_to_come_back(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MAX_WAITING", 3)
    answers: list[httpx.Response] = []
    async with serve(slots=1) as http:

        async def ask() -> None:
            answers.append(await infer(http, "fixed.onnx", pictures()))

        await ask()  # the model is loaded
        async with create_task_group() as group:
            for _ in range(30):
                group.start_soon(ask)
    found = {answer.status_code for answer in answers}
    assert found == {200, 503}
    busy = next(answer for answer in answers if answer.status_code == 503)
    assert "ask another server" in error(busy)


async def test_values_that_json_cannot_hold_are_sent_in_binary_alone(http: httpx.AsyncClient) -> None:
    images = np.full((1, 3, 64, 64), np.nan, np.float32)
    body = await infer(http, "folder/free.onnx", images)
    assert body.status_code == 200
    plain = {
        "inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 3, 64, 64], "data": [3e38] * 12288}]
    }
    answer = await http.post("/v2/models/folder/free.onnx/infer", content=msgspec.json.encode(plain))
    assert answer.status_code in (200, 400)

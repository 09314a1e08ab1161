"""Requests as clients send them."""

from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from app.detectors.oip.framing import JSON_LENGTH_HEADER, Body, parse_json_length
from app.detectors.oip.inference import (
    InferRequest,
    InferResponse,
    RequestedOutput,
    decode_response,
    encode_request,
)
from app.detectors.oip.tensors import NamedArray

Floats = NDArray[np.float32]


def pictures(count: int = 1, side: int = 64, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random((count, 3, side, side), np.float32)


async def infer(
    http: httpx.AsyncClient, model: str, images: NDArray[Any], *, is_binary: bool = True, **headers: str
) -> httpx.Response:
    """Send pictures, and return the server's answer."""
    request = InferRequest(
        (NamedArray("images", images),), (RequestedOutput("output0", is_binary),), is_binary, "one"
    )
    body = encode_request(request, is_binary=is_binary)
    return await http.post(
        f"/v2/models/{model}/infer", content=body.content, headers={**body.headers, **headers}
    )


def response(answer: httpx.Response) -> InferResponse:
    """Return the response in an answer, which must be 200."""
    assert answer.status_code == 200, answer.text
    length = parse_json_length(answer.headers.get(JSON_LENGTH_HEADER))
    return decode_response(Body(answer.content, length))


def output(answer: httpx.Response) -> Floats:
    (only,) = response(answer).outputs
    assert only.name == "output0"
    return only.values


def error(answer: httpx.Response) -> str:
    """Return the sentence of an answer that is an error."""
    assert 400 <= answer.status_code < 600
    text: str = answer.json()["error"]
    assert text[:1].isupper()
    assert text.endswith(".")
    assert "\n" not in text
    return text

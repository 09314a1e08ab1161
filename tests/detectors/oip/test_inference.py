"""Requests and responses of the Open Inference Protocol: what is sent arrives, and lies are refused."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from app.detectors.oip.datatypes import NUMPY_TYPES, ProtocolError
from app.detectors.oip.framing import JSON_LENGTH_HEADER, Body, parse_json_length
from app.detectors.oip.inference import (
    InferRequest,
    InferResponse,
    RequestedOutput,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from app.detectors.oip.tensors import MAX_TENSORS, NamedArray

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def numbers(*, only_finite: bool) -> st.SearchStrategy[Any]:
    def of(dtype: np.dtype[Any]) -> st.SearchStrategy[Any]:
        elements = None
        if only_finite and dtype.kind == "f":
            elements = arrays.from_dtype(dtype, allow_nan=False, allow_infinity=False)
        shape = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
        return arrays.arrays(dtype, shape, elements=elements)

    return st.sampled_from(list(NUMPY_TYPES.values())).flatmap(of)


@st.composite
def strings(draw: st.DrawFn) -> Any:
    shape = draw(arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    values = np.empty(shape, object)
    values.ravel()[:] = [
        draw(st.text(st.characters(exclude_categories=["Cs"]))).encode() for _ in range(values.size)
    ]
    return values


def tensors(*, only_finite: bool) -> st.SearchStrategy[tuple[NamedArray, ...]]:
    values = st.one_of(numbers(only_finite=only_finite), strings())
    return st.dictionaries(NAMES, values, max_size=4).map(
        lambda named: tuple(NamedArray(name, each) for name, each in named.items())
    )


def same(left: tuple[NamedArray, ...], right: tuple[NamedArray, ...]) -> bool:
    return len(left) == len(right) and all(
        a.name == b.name
        and a.values.dtype == b.values.dtype
        and a.values.shape == b.values.shape
        and (
            a.values.tobytes() == b.values.tobytes()
            if a.values.dtype.kind == "f"
            else (a.values == b.values).all()
        )
        for a, b in zip(left, right, strict=True)
    )


@given(tensors(only_finite=False), st.text(max_size=5))
def test_a_binary_request_arrives_as_it_was_sent(inputs: tuple[NamedArray, ...], id_: str) -> None:
    asked = (RequestedOutput("boxes", is_binary=True), RequestedOutput("scores"))
    arrived = decode_request(encode_request(InferRequest(inputs, asked, id=id_), is_binary=True))
    assert same(arrived.inputs, inputs)
    assert (arrived.outputs, arrived.id) == (asked, id_)


@given(tensors(only_finite=True))
def test_a_request_in_json_arrives_as_it_was_sent(inputs: tuple[NamedArray, ...]) -> None:
    body = encode_request(InferRequest(inputs), is_binary=False)
    assert body.json_length is None
    assert same(decode_request(body).inputs, inputs)


@given(tensors(only_finite=True), st.data())
def test_a_response_arrives_with_each_output_as_it_was_asked_for(
    outputs: tuple[NamedArray, ...], data: st.DataObject
) -> None:
    asked = tuple(RequestedOutput(tensor.name, data.draw(st.booleans())) for tensor in outputs)
    request = InferRequest((), asked)
    body = encode_response(InferResponse("yolo", outputs, "3", "id"), request)
    arrived = decode_response(body)
    assert same(arrived.outputs, outputs)
    assert (arrived.model_name, arrived.model_version, arrived.id) == ("yolo", "3", "id")
    head = msgspec.json.decode(body.content[: body.json_length])
    assert [("data" in entry) for entry in head["outputs"]] == [not output.is_binary for output in asked]


@given(tensors(only_finite=True), st.booleans(), st.data())
def test_a_body_that_is_cut_off_is_refused(
    inputs: tuple[NamedArray, ...], is_binary: bool, data: st.DataObject
) -> None:
    body = encode_request(InferRequest(inputs), is_binary=is_binary)
    cut = data.draw(st.integers(0, len(body.content) - 1))
    with pytest.raises(ProtocolError):
        decode_request(Body(body.content[:cut], body.json_length))
    with pytest.raises(ProtocolError):
        decode_request(Body(body.content + b"}", body.json_length))


@given(st.binary(max_size=200), st.none() | st.integers(0, 300))
def test_garbage_is_refused(content: bytes, json_length: int | None) -> None:
    for decode in (decode_request, decode_response):
        with pytest.raises(ProtocolError):
            decode(Body(content, json_length))


@given(tensors(only_finite=False), st.data())
def test_a_changed_byte_is_refused_or_changes_nothing_but_values(
    inputs: tuple[NamedArray, ...], data: st.DataObject
) -> None:
    body = encode_request(InferRequest(inputs), is_binary=True)
    place = data.draw(st.integers(0, len(body.content) - 1))
    changed = bytearray(body.content)
    changed[place] = data.draw(st.integers(0, 255))
    try:
        arrived = decode_request(Body(bytes(changed), body.json_length))
    except ProtocolError:
        return
    assert sum(tensor.values.nbytes for tensor in arrived.inputs) <= 16 * len(body.content)


def tensor(**fields: Any) -> bytes:
    entry = {"name": "x", "shape": [2, 2], "datatype": "INT8", "data": [1, 2, 3, 4]} | fields
    return msgspec.json.encode(
        {"inputs": [{key: value for key, value in entry.items() if value is not None}]}
    )


def only_input(content: bytes) -> Any:
    (arrived,) = decode_request(Body(content, None)).inputs
    return arrived.values.tolist()


def test_data_may_be_nested_as_its_shape_says() -> None:
    assert only_input(tensor(data=[[1, 2], [3, 4]])) == only_input(tensor()) == [[1, 2], [3, 4]]
    assert only_input(tensor(shape=[], data=5, datatype="FP32")) == 5
    assert only_input(tensor(shape=[1, 1, 1], data=[[[True]]], datatype="BOOL")) == [[[True]]]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"data": [1, 2, 3]}, "has 3 values, but its shape is [2, 2]"),
        ({"data": [[1, 2, 3, 4]]}, "not of its shape"),
        ({"data": [[1, 2], [3]]}, "not of its shape"),
        ({"data": [1, 2, 3, 400]}, "outside of INT8"),
        ({"data": [1, 2, 3, None]}, "not of its shape and data type"),
        ({"data": [1, 2, 3, 4.5]}, "not of its shape and data type"),
        ({"data": [1, 2, 3, True]}, "not of its shape and data type"),
        ({"data": [1, 0, 1, 0], "datatype": "BOOL"}, "not of its shape and data type"),
        ({"data": [1, 2, 3, 1e60], "datatype": "FP32"}, "outside of FP32"),
        ({"data": [1, 2, 3, 70000], "datatype": "FP16"}, "outside of FP16"),
        ({"data": None}, "neither `data` nor"),
        ({"parameters": {"binary_data_size": 4}}, "both `data` and"),
        ({"data": None, "parameters": {"binary_data_size": True}}, "whole number"),
        ({"data": None, "parameters": {"binary_data_size": "4"}}, "whole number"),
        ({"data": None, "parameters": {"binary_data_size": -4}}, "need 4"),
        ({"data": None, "parameters": {"binary_data_size": 5}}, "need 4"),
        ({"data": None, "parameters": {"binary_data_size": 4}}, "but 0 follow"),
        ({"data": None, "datatype": "BYTES", "parameters": {"binary_data_size": 15}}, "at least 16"),
        (
            {
                "shape": [100_001],
                "data": None,
                "datatype": "BYTES",
                "parameters": {"binary_data_size": 400_004},
            },
            "more than 100,000 strings",
        ),
        ({"shape": [-1, 4]}, "impossible"),
        ({"shape": [0, 2**40], "data": []}, "impossible"),
        ({"shape": [2**20, 2**20]}, "impossible"),
        ({"shape": [1] * 9, "data": [1]}, "more than 8 axes"),
        ({"datatype": "BF16"}, "'BF16' of 'x' is not supported"),
        ({"name": ""}, "1 to 500 characters"),
        ({"parameters": {"shared_memory_region": "a"}}, "shared_memory_region is not supported"),
    ],
)
def test_a_tensor_that_contradicts_itself_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        decode_request(Body(tensor(**fields), None))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("datatype", "content", "told"),
    [
        ("BYTES", b"\x01\0\0\0a\xff\0\0\0b", "do not fill"),
        ("BYTES", b"\x01\0\0\0a\0\0\0\0b", "do not fill"),
        ("BYTES", b"\xff\xff\xff\xff\0\0\0\0", "do not fill"),
        ("BOOL", b"\0\2", "neither 0 nor 1"),
    ],
)
def test_bytes_that_are_not_of_their_type_are_refused(datatype: str, content: bytes, told: str) -> None:
    head = tensor(shape=[2], datatype=datatype, data=None, parameters={"binary_data_size": len(content)})
    with pytest.raises(ProtocolError, match=told):
        decode_request(Body(head + content, len(head)))


def test_names_and_numbers_of_tensors_are_checked() -> None:
    entry = {"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}
    with pytest.raises(ProtocolError, match="same name"):
        decode_request(Body(msgspec.json.encode({"inputs": [entry, entry]}), None))
    many = [entry | {"name": str(number)} for number in range(MAX_TENSORS + 1)]
    with pytest.raises(ProtocolError, match="more than 64 tensors"):
        decode_request(Body(msgspec.json.encode({"inputs": many}), None))
    outputs = [{"name": str(number)} for number in range(MAX_TENSORS + 1)]
    with pytest.raises(ProtocolError, match="more than 64 outputs"):
        decode_request(Body(msgspec.json.encode({"inputs": [], "outputs": outputs}), None))


@pytest.mark.parametrize("depth", [100_000, 2_000_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    data = (
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":' + b"[" * depth + b"]" * depth + b"}]}"
    )
    with pytest.raises(ProtocolError):
        decode_request(Body(data, None))


@pytest.mark.parametrize(
    "values",
    [np.array([np.nan], np.float32), np.array([np.inf], np.float16), np.array([b"\xff"], object)],
)
def test_what_json_cannot_hold_is_not_sent_as_json(values: Any) -> None:
    request = InferRequest((NamedArray("x", values),))
    with pytest.raises(ProtocolError):
        encode_request(request, is_binary=False)
    assert same(decode_request(encode_request(request, is_binary=True)).inputs, request.inputs)


def test_arrays_of_types_that_the_protocol_lacks_are_not_sent() -> None:
    with pytest.raises(ProtocolError, match="complex64"):
        encode_request(InferRequest((NamedArray("x", np.zeros(1, np.complex64)),)), is_binary=True)


def test_arrays_are_sent_in_row_major_order_and_little_endian() -> None:
    values = np.arange(6, dtype=">i4").reshape(2, 3).T
    (arrived,) = decode_request(
        encode_request(InferRequest((NamedArray("x", values),)), is_binary=True)
    ).inputs
    assert arrived.values.tolist() == values.tolist()
    assert arrived.values.flags.aligned


@pytest.mark.parametrize("header", ["", "-1", "1.5", "٣", "1" * 13, "0x10"])
def test_a_length_that_is_no_number_is_refused(header: str) -> None:
    with pytest.raises(ProtocolError, match=JSON_LENGTH_HEADER):
        parse_json_length(header)


def test_a_body_names_its_headers() -> None:
    request = InferRequest((NamedArray("x", np.zeros(2, np.uint8)),))
    body = encode_request(request, is_binary=True)
    assert body.headers == {
        "Content-Type": "application/octet-stream",
        JSON_LENGTH_HEADER: str(body.json_length),
    }
    assert parse_json_length(body.headers[JSON_LENGTH_HEADER]) == body.json_length
    plain = encode_request(request, is_binary=False)
    assert plain.headers == {"Content-Type": "application/json"}
    assert parse_json_length(plain.headers.get(JSON_LENGTH_HEADER)) is None


# As the Python client of Triton (tritonclient 2.73) writes it.
TRITONS = (
    b'{"id":"7","inputs":[{"name":"images","shape":[1,2,2],"datatype":"FP32","parameters":{"binary_data_size":16'
    b'}},{"name":"names","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":12}},{"name":"n","shape"'
    b':[3],"datatype":"INT64","data":[1,-2,3]}],"outputs":[{"name":"boxes","parameters":{"binary_data":true}},'
    b'{"name":"scores","parameters":{"binary_data":false}}]}\x00\x00\x00\x00\x00\x00\x00?\x00\x00\x80?\x00\x00'
    b"\x00\xc0\x01\x00\x00\x00a\x03\x00\x00\x00\xffbc"
)
TRITONS_JSON = 371  # bytes


def test_a_request_of_another_encoder_is_read_and_written_alike() -> None:
    request = decode_request(Body(TRITONS, TRITONS_JSON))
    images, names, numbers = request.inputs
    assert images.values.tolist() == [[[0, 0.5], [1, -2]]]
    assert names.values.tolist() == [b"a", b"\xffbc"]
    assert numbers.values.tolist() == [1, -2, 3]
    assert request.outputs == (RequestedOutput("boxes", is_binary=True), RequestedOutput("scores"))
    written = encode_request(request, is_binary=True)
    assert same(decode_request(written).inputs, request.inputs)
    assert written.content.endswith(TRITONS[TRITONS_JSON:] + numbers.values.tobytes())


def test_a_client_may_ask_for_all_outputs_as_bytes() -> None:
    content = b'{"inputs":[],"parameters":{"binary_data_output":true}}'
    request = decode_request(Body(content, None))
    assert request.wants_binary("anything")
    body = encode_response(InferResponse("m", (NamedArray("y", np.zeros(3, np.float32)),)), request)
    assert len(body.content) - (body.json_length or 0) == 12

"""What servers tell of themselves: as Triton and MLServer write it, and errors in any form."""

import pytest

from app.detectors.oip.datatypes import ProtocolError
from app.detectors.oip.metadata import TensorMetadata, decode_model, decode_server, message_of


def test_a_server_tells_whether_it_takes_binary_tensors() -> None:
    triton = b'{"name":"triton","version":"2.51.0","extensions":["classification","binary_tensor_data"]}'
    assert decode_server(triton).has_binary
    assert not decode_server(b'{"name":"mlserver","version":"1.7.1","extensions":[]}').has_binary
    assert not decode_server(b'{"name":"small"}').has_binary


def test_a_model_tells_its_inputs_and_outputs_if_it_knows_them() -> None:
    told = decode_model(
        b'{"name":"yolo","versions":["1"],"platform":"onnxruntime_onnx","more":{},'
        b'"inputs":[{"name":"images","datatype":"FP32","shape":[-1,3,640,640]}],'
        b'"outputs":[{"name":"output0","datatype":"FP32","shape":[-1,84,8400]}]}'
    )
    assert told.inputs == (TensorMetadata("images", "FP32", (-1, 3, 640, 640)),)
    bare = decode_model(
        b'{"name":"yolo","versions":null,"platform":"","inputs":[],"outputs":null,"parameters":{}}'
    )
    assert (bare.versions, bare.inputs, bare.outputs) == (None, (), None)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b'{"version":"1"}', b"<html>", b"\xff\xfe", b"[" * 99999]
)
def test_metadata_that_is_none_is_refused(content: bytes) -> None:
    for decode in (decode_server, decode_model):
        with pytest.raises(ProtocolError):
            decode(content)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b'{"error":"Request for unknown model:\\n \'x\' is not found"}',
            "Request for unknown model: 'x' is not found",
        ),
        (b'{"error":"\\u001b[31mred"}', "\N{REPLACEMENT CHARACTER}[31mred"),
        (b'{"detail":"Not Found"}', ""),
        (b"Bad Gateway", ""),
        (b"\xff", ""),
        (b"[" * 99999, ""),
    ],
)
def test_a_servers_error_is_shown_in_one_line(content: bytes, told: str) -> None:
    assert message_of(content) == told


def test_a_long_error_is_shown_in_part() -> None:
    assert len(message_of(b'{"error":"%s"}' % (b"x" * 10_000))) == 200

"""An inference server on loopback, of the Open Inference Protocol, that fails in every way if told to.

It computes with ONNX Runtime, and writes and reads the protocol without the service's own codec.
"""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Fault = Literal[
    "none", "slow", "frozen", "500", "503", "400", "401", "404", "redirect", "garbage", "half", "endless",
    "dripping", "huge", "gzip", "nan", "wrong shape", "wrong axis", "wrong type", "missing", "another name",
    "another version", "another request", "no metadata",
]  # fmt: skip
LENGTH = "Inference-Header-Content-Length"
_TYPES = {"FP32": "<f4", "INT64": "<i8", "FP64": "<f8", "UINT8": "<u1"}
_NAMES = {"tensor(float)": "FP32", "tensor(int64)": "INT64", "tensor(uint8)": "UINT8"}


class FakeInferenceServer(ThreadingHTTPServer):
    """One model at `url`. `fault` is what its answers suffer from.

    `blames`: only requests whose input has this mean suffer. `seen`: the paths asked for, with the fault that
    each met. `drops`: requests that get no answer but the end of their connection. `keys`: the header
    Authorization of each.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self,
        model: Path,
        *,
        name: str = "yolo",
        version: str = "1",
        has_binary: bool = True,
        port: int = 0,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Request)
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.name, self.version, self.has_binary = name, version, has_binary
        self.parameters: dict[str, str] = {}
        self.drops = 0
        self.fault: Fault = "none"
        self.blames: float | None = None
        self.delay = 1.0
        self.has_ended = Event()
        self.seen: list[tuple[str, Fault]] = []
        self.keys: list[str | None] = []
        self._connections: list[socket.socket] = []
        self.root = f"http://127.0.0.1:{self.server_port}"
        self.url = f"{self.root}/v2/models/{name}"

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def drop(self) -> None:
        """Break every connection off, as if the server had been killed."""
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Show nothing: clients break off as they like."""

    def metadata(self) -> dict[str, Any]:
        def tensors(declared: Any) -> list[dict[str, Any]]:
            return [
                {
                    "name": each.name,
                    "datatype": _NAMES[each.type],
                    "shape": [side if isinstance(side, int) else -1 for side in each.shape],
                }
                for each in declared
            ]

        return {
            "name": self.name,
            "versions": [self.version],
            "platform": "onnxruntime_onnx",
            "parameters": self.parameters,
            "inputs": tensors(self.session.get_inputs()),
            "outputs": tensors(self.session.get_outputs()),
        }

    @property
    def inferences(self) -> int:
        """How many requests to infer came."""
        return sum(path.endswith("/infer") for path, _ in self.seen)


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeInferenceServer

    def do_GET(self) -> None:
        server, fault = self.server, self.server.fault
        server.seen.append((self.path, fault))
        server.keys.append(self.headers.get("Authorization"))
        if self._is_answered_by(fault):
            return
        if self.path == "/v2":
            extensions = ["binary_tensor_data"] if server.has_binary else []
            self._json({"name": "fake", "version": "7", "extensions": extensions})
        elif self.path == f"/v2/models/{server.name}":
            self._json({"oops": 1} if fault == "no metadata" else server.metadata())
        elif self.path == f"/v2/models/{server.name}/ready":
            self._json({"name": server.name, "ready": True})
        else:
            self._json({"error": "not found"}, 404)

    def do_POST(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if server.drops > 0:
            server.drops -= 1
            self.close_connection = True
            return
        request, values = self._decode(body)
        fault = server.fault
        if server.blames is not None and abs(float(values.mean()) - server.blames) > 0.02:
            fault = "none"
        server.seen.append((self.path, fault))
        server.keys.append(self.headers.get("Authorization"))
        if self._is_answered_by(fault):
            return
        if fault in ("400", "500"):
            self._json({"error": "the input cannot be computed"}, int(fault))
            return
        names = [each["name"] for each in request.get("outputs", [])] or None
        outputs = dict(
            zip(
                names or [each.name for each in server.session.get_outputs()],
                server.session.run(names, {server.session.get_inputs()[0].name: values}),
                strict=True,
            )
        )
        self._infer(request, outputs, fault)

    def _decode(self, body: bytes) -> tuple[dict[str, Any], NDArray[Any]]:
        length = int(self.headers.get(LENGTH, len(body)))
        request: dict[str, Any] = json.loads(body[:length])
        (tensor,) = request["inputs"]
        dtype = _TYPES[tensor["datatype"]]
        if "data" in tensor:
            values = np.array(tensor["data"], dtype)
        else:
            assert self.server.has_binary
            values = np.frombuffer(body[length:], dtype)
        return request, values.reshape(tensor["shape"])

    def _is_answered_by(self, fault: Fault) -> bool:
        """Answer whatever is asked for if the fault says so."""
        server = self.server
        match fault:
            case "slow":
                server.has_ended.wait(server.delay)
                return False
            case "frozen":
                server.has_ended.wait(600)
            case "401" | "404" | "503":
                self._json({"error": "told so."}, int(fault))
            case "redirect":
                self._send(307, b"", {"Location": f"{server.root}/elsewhere"})
            case "garbage":
                self._send(200, b"\xff\xfe<html>")
            case "endless" | "dripping":
                self._endless(slowly=fault == "dripping")
            case "huge":
                self._send(200, b"", {"Content-Length": str(2**40)})
            case "gzip":
                self._send(200, b"\x1f\x8b", {"Content-Encoding": "gzip"})
            case _:
                return False
        return True

    def _infer(self, request: dict[str, Any], outputs: dict[str, NDArray[Any]], fault: Fault) -> None:
        wanted = {each["name"]: each.get("parameters", {}) for each in request.get("outputs", [])}
        name = next(iter(outputs))
        match fault:
            case "nan":
                outputs[name] = outputs[name].copy()
                outputs[name].ravel()[3] = np.nan
            case "wrong shape":
                outputs[name] = outputs[name][..., :-1]
            case "wrong axis":
                outputs[name] = outputs[name][:, :-1, :-1]
            case "wrong type":
                outputs[name] = outputs[name].astype("<f8")
            case "missing":
                outputs = {"something": outputs[name]}
        entries, parts = [], []
        for key, values in outputs.items():
            datatype = "FP64" if values.dtype == np.float64 else "FP32"
            entry: dict[str, Any] = {"name": key, "datatype": datatype, "shape": list(values.shape)}
            if wanted.get(key, {}).get("binary_data"):
                parts.append(values.tobytes())
                entry["parameters"] = {"binary_data_size": len(parts[-1])}
            else:
                entry["data"] = values.ravel().tolist()
            entries.append(entry)
        answer = {
            "model_name": "other" if fault == "another name" else self.server.name,
            "model_version": "2" if fault == "another version" else self.server.version,
            "id": "other" if fault == "another request" else request["id"],
            "outputs": entries,
            "parameters": {key: text for key, text in self.server.parameters.items() if key == "sha256"},
        }
        head = json.dumps(answer).encode()
        body = b"".join((head, *parts))
        headers = {LENGTH: str(len(head))} if parts else {}
        if fault == "half":
            self._send(200, body[: len(body) // 2], {"Content-Length": str(len(body)), **headers})
            self.close_connection = True
        else:
            self._send(200, body, headers)

    def _endless(self, *, slowly: bool) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with suppress(OSError):
            while not self.server.has_ended.wait(0.02 if slowly else 0):
                part = b" " * (1 if slowly else 65536)
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.close_connection = True

    def _json(self, answer: dict[str, Any], status: int = 200) -> None:
        self._send(status, json.dumps(answer).encode())

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        with suppress(OSError):
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


@contextmanager
def inference_server(model: Path, **options: Any) -> Iterator[FakeInferenceServer]:
    """A server that runs until the end of the block, whatever its clients do."""
    with FakeInferenceServer(model, **options) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.has_ended.set()
            server.shutdown()
            server.drop()
            thread.join()


def wait_until_asked(server: FakeInferenceServer, count: int, seconds: float = 10.0) -> None:
    """Return when so many requests to infer have come."""
    deadline = time.monotonic() + seconds
    while server.inferences < count:
        assert time.monotonic() < deadline, server.seen
        time.sleep(0.005)

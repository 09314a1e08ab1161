"""Real inference servers in environments of their own, which `make torture-remote` sets up."""

import json
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Literal

import httpx
from anyio import sleep

from tests.support.paths import ROOT
from tests.support.waiting import until

ServerFault = Literal["", "slow", "error", "nan", "wrong"]
HERE = Path(__file__).parent


class RealServer(ABC):
    """A server with one model, `yolo`, on `port`; killed, frozen, or told what to do wrong."""

    environment: ClassVar[str]

    def __init__(self, folder: Path, model: Path, port: int) -> None:
        self.port = port
        self.folder = folder
        self.model = model
        self._fault = folder / "fault"
        self._process: subprocess.Popen[bytes] | None = None
        self.do("")

    @classmethod
    def python(cls) -> Path:
        """The Python of its environment, which need not be there."""
        return ROOT / cls.environment / "bin" / "python"

    @abstractmethod
    def command(self) -> list[str]:
        """Return what starts it."""

    def variables(self) -> dict[str, str]:
        """Return what it needs in its environment."""
        return {}

    def do(self, fault: ServerFault) -> None:
        """Answer wrongly from now on; rightly if the fault is empty."""
        written = self._fault.with_suffix(".new")
        written.write_text(fault)
        written.rename(self._fault)

    def launch(self) -> None:
        """Start it, in a process group of its own: Triton consists of several processes."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env={**os.environ, **self.variables()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def start(self) -> None:
        """Start it, and return when it has its model."""
        self.launch()
        await until(self._is_ready, timeout=120, poll=0.1)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End all of its processes at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # all have ended
                self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @property
    def is_running(self) -> bool:
        """Whether its first process has not ended, as it does if Triton crashes."""
        return self._process is not None and self._process.poll() is None

    async def answers(self) -> bool:
        """Return whether it computes a picture within 10 seconds, whoever asks."""
        tensor = {"name": "images", "datatype": "FP32", "shape": [1, 3, 160, 160], "data": [0] * (3 * 160**2)}
        try:
            async with httpx.AsyncClient(timeout=10) as http:
                url = f"http://127.0.0.1:{self.port}/v2/models/yolo/infer"
                answer = await http.post(url, json={"inputs": [tensor]})
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def log(self) -> str:
        """Return the end of what it wrote."""
        return (self.folder / "server.log").read_text(errors="replace")[-3000:]

    async def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            async with httpx.AsyncClient(timeout=5) as http:
                ready = await http.get(f"http://127.0.0.1:{self.port}/v2/models/yolo/ready")
        except httpx.TransportError:
            await sleep(0.1)
            return False
        return ready.status_code == 200


class RealTriton(RealServer):
    """Triton, by nvidia-pytriton: binary tensors."""

    environment = ".venv-triton"

    def command(self) -> list[str]:
        script = HERE / "triton_server.py"
        return [*map(str, (self.python(), script, self.model, self._fault, self.port))]

    def variables(self) -> dict[str, str]:
        show = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"
        shown = subprocess.run([str(self.python()), "-c", show], capture_output=True, check=True, text=True)
        return {"LD_LIBRARY_PATH": shown.stdout.strip()}


class RealMLServer(RealServer):
    """MLServer: JSON alone."""

    environment = ".venv-mlserver"

    def command(self) -> list[str]:
        tensors = {
            "inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 3, 160, 160]}],
            "outputs": [{"name": "output0", "datatype": "FP32", "shape": [1, 6, -1]}],
        }
        model = {"name": "yolo", "implementation": "mlserver_runtime.YoloRuntime", **tensors}
        ports = {"http_port": self.port, "grpc_port": self.port + 1, "metrics_port": self.port + 2}
        settings = {"host": "127.0.0.1", "parallel_workers": 0, **ports}
        (self.folder / "settings.json").write_text(json.dumps(settings))
        (self.folder / "model-settings.json").write_text(json.dumps(model | {"parameters": {"version": "1"}}))
        return [str(self.python().with_name("mlserver")), "start", str(self.folder)]

    def variables(self) -> dict[str, str]:
        return {"MODEL": str(self.model), "FAULT": str(self._fault), "PYTHONPATH": str(HERE)}


@contextmanager
def serving(kind: type[RealServer], folder: Path, model: Path, port: int) -> Iterator[RealServer]:
    """A server that is not started yet, and ended after the block."""
    server = kind(folder, model, port)
    try:
        yield server
    finally:
        server.kill()

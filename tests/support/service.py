"""The service as a user runs it: `uvicorn app.main:app` in its own process, in an empty folder.

In tests, its process is forked from one that has imported it, and has databases that were prepared, unless
that would change what is tested.
"""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from pathlib import Path
from typing import Any, Literal

import httpx
from anyio import to_thread
from anyio.from_thread import start_blocking_portal

from tests.support.forked import ForkedProcess
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.prepared_data import prepare_data
from tests.support.waiting import until

Json = dict[str, Any]


class ServiceProcess:
    """One service: its folder, its port and its process, which may be killed and started again.

    `app` may name a function that builds a changed service, and `code` the folder of another version's code.
    """

    may_fork = False  # the tests set it; benchmarks measure what a user starts

    def __init__(
        self, folder: Path, code: Path = ROOT, /, *, app: str = "app.main:app", **variables: object
    ) -> None:
        self._options = [app] if app.endswith(":app") else ["--factory", app]
        self._code = code
        self.python: Path | str = sys.executable  # of the environment in which it runs
        self.command: tuple[str | Path, ...] = ()  # another way to start it, with options of its own
        self.is_forked = self.may_fork and code == ROOT
        self.folder = folder
        self.media = folder / "media"
        self.media.mkdir(exist_ok=True)
        self.port = free_port()
        self.log = folder / "service.log"
        named = {"port": self.port, "source_networks": "loopback", **variables}
        self._variables = {f"VA_{name.upper()}": str(value) for name, value in named.items()}
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self.http = self._client()

    def _client(self) -> httpx.AsyncClient:
        # Close idle connections before the server does, which might close one just as it is used again.
        limits = httpx.Limits(keepalive_expiry=2)
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=30, limits=limits)

    @property
    def process(self) -> subprocess.Popen[bytes] | ForkedProcess:
        assert self._process is not None
        return self._process

    async def start(self) -> None:
        """Start it, and return when it is ready."""
        self.launch()
        await self.ready()

    async def ready(self, timeout: float = 120.0) -> None:
        """Wait until it is ready."""
        await until(self.is_ready, timeout)

    def launch(self) -> None:
        """Start it, and return immediately."""
        environment = {name: text for name, text in os.environ.items() if not name.startswith("VA_")}
        environment |= {"PYTHONPATH": str(self._code)} | self._variables
        options = [*self._options, "--port", str(self.port)]
        if (
            self.is_forked
            and not self.command
            and self.python == sys.executable
            and "LD_PRELOAD" not in environment
        ):
            has_databases = self._variables.get("VA_ROLES") != "inference"
            if has_databases and not {"VA_SCENARIOS_DSN", "VA_PREDICTIONS_DSN"} & self._variables.keys():
                prepare_data(self.folder / self._variables.get("VA_DATA_DIR", "data"))
            self._process = ForkedProcess(options, self.folder, environment, self.log)
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.command] or [self.python, "-m", "uvicorn", *options],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )

    async def is_ready(self) -> bool:
        """Return whether it answers that it is ready. Raises AssertionError if it ended."""
        if self.process.poll() is not None:
            raise AssertionError(f"the service ended:\n{self.log.read_text()[-3000:]}")
        try:
            return (await self.http.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def terminate(self, timeout: float = 30.0) -> int:
        """Ask it to end, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    @asynccontextmanager
    async def joined(self) -> AsyncIterator["ServiceProcess"]:
        """Yield the same service with a client of its own, which another event loop can use."""
        same = copy(self)
        async with self._client() as same.http:
            yield same

    async def end(self) -> None:
        """End it if it still runs, without blocking the event loop."""
        await self.http.aclose()
        if self._process is not None and self._process.poll() is None:
            await to_thread.run_sync(self.terminate)

    async def create(self, source: str, detector: Json, **options: object) -> str:
        """Create a scenario, and return its id when it exists."""
        answer = await self.http.post("/scenarios", json={"source": source, "detector": detector, **options})
        assert answer.status_code in (201, 202), answer.text
        scenario_id: str = answer.json()["id"]
        if answer.status_code == 202:  # a busy machine needed longer than a request waits
            await until(lambda: self.exists(scenario_id), timeout=60, poll=0.1)
        return scenario_id

    async def exists(self, scenario_id: str) -> bool:
        """Return whether the API finds the scenario."""
        return (await self.http.get(f"/scenarios/{scenario_id}")).status_code == 200

    async def get(self, scenario_id: str) -> Json:
        """Return the scenario as the API shows it."""
        answer = await self.http.get(f"/scenarios/{scenario_id}")
        assert answer.status_code == 200, answer.text
        scenario: Json = answer.json()
        return scenario

    async def ask_to(self, command: Literal["start", "stop"], scenario_id: str) -> None:
        """Ask for a start or a stop, which a busy service may do after its answer."""
        answer = await self.http.post(f"/scenarios/{scenario_id}/{command}")
        assert answer.status_code in (200, 202), answer.text

    async def ends(self, scenario_id: str, timeout: float = 120.0) -> Json:
        """Wait until the scenario is inactive."""
        return await self.reaches(scenario_id, "inactive", timeout)

    async def reaches(self, scenario_id: str, state: str, timeout: float = 60.0) -> Json:
        """Wait for a state. Raises AssertionError if the scenario ends before it."""

        async def there() -> Json | None:
            scenario = await self.get(scenario_id)
            if scenario["state"] == "inactive" != state:
                raise AssertionError(f"it ended: {scenario}")
            return scenario if scenario["state"] == state else None

        scenario = await until(there, timeout, poll=0.02)
        assert scenario is not None
        return scenario

    async def predictions(self, scenario_id: str, **filters: str | float) -> list[Json]:
        """Return all stored predictions, read page by page."""
        return await self._pages(f"/scenarios/{scenario_id}/predictions", **filters)

    async def events(self, scenario_id: str, **filters: str | float) -> list[Json]:
        """Return all of the scenario's events, read page by page."""
        return await self._pages(f"/scenarios/{scenario_id}/events", **filters)

    async def _pages(self, path: str, **filters: str | float) -> list[Json]:
        items: list[Json] = []
        cursor = None
        while True:
            query: dict[str, str | int | float | None] = {
                "limit": 1000,
                **filters,
                **({"cursor": cursor} if cursor else {}),
            }
            answer = await self.http.get(path, params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items

    async def history(self, scenario_id: str) -> list[Json]:
        """Return the scenario's history, oldest first."""
        answer = await self.http.get(f"/scenarios/{scenario_id}/history", params={"limit": 1000})
        items: list[Json] = answer.json()["items"]
        return items


@asynccontextmanager
async def running(
    folder: Path, code: Path = ROOT, /, *, app: str = "app.main:app", **variables: object
) -> AsyncIterator[ServiceProcess]:
    """Run a service during the block; each keyword sets VA_<NAME>."""
    service = ServiceProcess(folder, code, app=app, **variables)
    try:
        await service.start()
        yield service
    finally:
        await service.end()


@contextmanager
def running_for_tests(folder: Path, **variables: Any) -> Iterator[ServiceProcess]:
    """Run a service during several tests, each of which takes it with `joined`."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running(folder, **variables)) as service,
    ):
        yield service

"""A service whose databases are behind proxies, clients who note what they were promised, and a verifier."""

import json
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from os import kill
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from anyio import create_task_group, sleep

from app.postgres import TRANSIENT, Connection, open_connection
from app.postgres.embedded.server import embedded_server
from tests.support.databases import temporary_folder
from tests.support.ground_truth import make_clips
from tests.support.proxy import Proxy, proxied
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until
from tests.torture.battery import size
from tests.torture.databases.answers import Answers

FRAMES = 150
CLIP: dict[str, Any] = {
    "source": f"{FRAMES}.mp4",
    "detector": {"type": "marker"},
    "sampling": {"mode": "all"},
}
ENDLESS: dict[str, Any] = {
    "source": "test:testsrc2?size=64x48&rate=10&duration=36000",
    "detector": {"type": "mock"},
    "sampling": {"mode": "all"},
}
AWAY = {
    "scenarios": "the scenarios database does not answer",
    "predictions": "the predictions database does not answer",
}
NAMES = ("scenarios", "predictions")
BACK_WITHIN = size(15, 5)  # in the short form beside other tests
"""Seconds after a database's return within which everything must continue."""
MOST_CONNECTIONS = 2 * (10 + 10 + 2) + 1
"""Of the service: for each database two pools of ten, each with one that keeps watch; and the leader's."""


@dataclass
class Promises:
    """What clients were told, by scenario id."""

    clips: set[str] = field(default_factory=set)
    endless: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return sum(map(len, (self.clips, self.endless, self.stopped, self.deleted)))


class Site:
    """The service, the ways to its databases, and the server behind them."""

    def __init__(
        self, service: ServiceProcess, proxies: dict[str, Proxy], dsns: dict[str, str], data: Path
    ) -> None:
        self.service = service
        self.proxies = proxies
        self.promises = Promises()
        self.answers = Answers()
        self._dsns = dsns
        self._data = data
        self._chance = random.Random()

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a request, and note how it was answered."""
        began = monotonic()
        answer = await self.service.http.request(method, path, **options)
        self.answers.note(f"{method} {path}", monotonic() - began, answer)
        return answer

    async def act(self) -> None:
        """A client, until cancelled: it creates, looks, stops and deletes, and repeats creates."""
        mine: list[str] = []
        while True:
            step = self._chance.random()
            if step < 0.3 or not mine:
                body = CLIP if self._chance.random() < 0.5 else ENDLESS
                await self._create(body, mine)
            elif step < 0.6:
                await self._stop(self._chance.choice(mine))
            elif step < 0.7:
                await self._delete(mine)
            else:
                path = self._chance.choice(["", f"/{self._chance.choice(mine)}", f"/{mine[0]}/predictions"])
                await self.ask("GET", f"/scenarios{path}")
            await sleep(self._chance.uniform(0.1, 0.6))

    async def _create(self, body: dict[str, Any], mine: list[str]) -> None:
        scenario_id = str(uuid4())
        for _ in range(3):
            answer = await self.ask("POST", "/scenarios", json={**body, "id": scenario_id})
            if answer.status_code in (201, 202):
                (self.promises.clips if body is CLIP else self.promises.endless).add(scenario_id)
                if body is ENDLESS:
                    mine.append(scenario_id)
                return
            await sleep(0.5)

    async def _stop(self, scenario_id: str) -> None:
        answer = await self.ask("POST", f"/scenarios/{scenario_id}/stop")
        if answer.status_code in (200, 202):
            self.promises.stopped.add(scenario_id)

    async def _delete(self, mine: list[str]) -> None:
        scenario_id = self._chance.choice(mine)
        look = await self.ask("GET", f"/scenarios/{scenario_id}")
        if look.status_code == 200 and look.json()["state"] == "inactive":
            answer = await self.ask("DELETE", f"/scenarios/{scenario_id}")
            if answer.status_code in (202, 204):
                self.promises.deleted.add(scenario_id)
                mine.remove(scenario_id)

    async def ask_everything(self, known: str) -> dict[str, httpx.Response]:
        """One request of each route, all at once; `known` is a scenario that is not to be changed."""
        routes = {
            "list": ("GET", "/scenarios"),
            "look": ("GET", f"/scenarios/{known}"),
            "predictions": ("GET", f"/scenarios/{known}/predictions?limit=1000"),
            "history": ("GET", f"/scenarios/{known}/history"),
            "runners": ("GET", "/runners"),
            "create": ("POST", "/scenarios"),
            "stop": ("POST", f"/scenarios/{known}/stop"),
            "start": ("POST", f"/scenarios/{uuid4()}/start"),
            "delete": ("DELETE", f"/scenarios/{uuid4()}"),
            "live": ("GET", "/health/live"),
            "ready": ("GET", "/health/ready"),
            "metrics": ("GET", "/metrics"),
            "detectors": ("GET", "/detectors"),
            "models": ("GET", "/models"),
        }
        found: dict[str, httpx.Response] = {}

        async def one(name: str, method: str, path: str) -> None:
            body = {"json": CLIP | {"id": str(uuid4())}} if name == "create" else {}
            found[name] = await self.ask(method, path, **body)

        async def stream() -> None:
            began = monotonic()
            async with self.service.http.stream("GET", "/stream") as answer:
                if answer.status_code != 200:
                    await answer.aread()
                self.answers.note("GET /stream", monotonic() - began, answer)
                found["events"] = answer

        async with create_task_group() as tasks:
            tasks.start_soon(stream)
            for name, (method, path) in routes.items():
                tasks.start_soon(one, name, method, path)
        return found

    async def is_back(self) -> bool:
        """Whether scenarios can be created and seen."""
        made = await self.ask("POST", "/scenarios", json=CLIP | {"id": str(uuid4())})
        seen = await self.ask("GET", "/scenarios?limit=1")
        ready = await self.ask("GET", "/health/ready")
        if made.status_code in (201, 202):
            self.promises.clips.add(made.json()["id"])
        return (made.status_code, seen.status_code, ready.status_code) == (201, 200, 200)

    async def tell(self, path: str) -> None:
        """Give a command, which others that wait for their next try may hold up for as long as they wait."""

        async def is_taken() -> bool:
            answer = await self.ask("POST", path)
            assert answer.status_code in (200, 202, 404, 503), answer.text
            return answer.status_code != 503

        await until(is_taken, BACK_WITHIN, poll=0.1)

    async def has_ended(self, scenario_id: str) -> bool:
        """Whether the API says that a scenario is inactive."""
        answer = await self.ask("GET", f"/scenarios/{scenario_id}")
        return bool(answer.json().get("state") == "inactive")

    def restart_server(self, number: int) -> None:
        """End Postgres, in good order or at once; its keeper starts it again."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        kill(pid, signal.SIGINT if number % 2 else signal.SIGQUIT)

    async def server_answers(self) -> bool:
        """Whether Postgres takes connections, on the way past the proxies."""
        with suppress(*TRANSIENT):
            async with open_connection(self._dsns["scenarios"]):
                return True
        return False

    async def server_is_gone(self) -> bool:
        """Whether Postgres takes no connections."""
        return not await self.server_answers()

    async def drain(self, timeout: float) -> None:
        """Stop what does not end by itself, and wait until nothing runs any more."""
        async with open_connection(self._dsns["scenarios"]) as connection:
            told: set[UUID] = set()

            async def still() -> bool:
                # A creation that waited for its next try comes after its client was told to repeat it.
                endless = await connection.fetch(
                    "SELECT id FROM scenarios WHERE spec->>'source' LIKE 'test:%'"
                )
                for scenario_id in {row["id"] for row in endless} - told:
                    await self.tell(f"/scenarios/{scenario_id}/stop")
                    told.add(scenario_id)
                return not await connection.fetchval(
                    "SELECT count(*) FROM scenarios WHERE state <> 'inactive'"
                )

            with suppress(AssertionError):
                await until(still, timeout, poll=0.2)

    async def lost(self) -> "Lost":
        """Compare both databases with what clients were promised."""
        async with (
            open_connection(self._dsns["scenarios"]) as scenarios,
            open_connection(self._dsns["predictions"]) as predictions,
        ):
            rows = {str(row["id"]): row for row in await scenarios.fetch("SELECT * FROM scenarios")}
            promised = self.promises
            created = promised.clips | promised.endless
            found = Lost(promises=len(promised), creates=len(created - set(rows)))
            for scenario_id in promised.stopped & set(rows):
                row = rows[scenario_id]
                found.stops += (row["state"], row["outcome"]) != ("inactive", "stopped")
            for scenario_id in promised.deleted & set(rows):
                left = await predictions.fetchval(
                    "SELECT count(*) FROM predictions WHERE scenario_id = $1", rows[scenario_id]["id"]
                )
                found.deletes += rows[scenario_id]["deleted_at"] is None or left > 0
            for row in rows.values():
                found.stuck += row["state"] != "inactive"
                if row["deleted_at"] is None:
                    await self._judge(found, row, predictions)
            found.connections = await self._connections(scenarios)
            found.in_transaction = await scenarios.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
            )
        return found

    async def _judge(self, found: "Lost", row: asyncpg.Record, predictions: Connection) -> None:
        stored = await predictions.fetch(
            "SELECT frame, labels FROM predictions WHERE scenario_id = $1 ORDER BY frame", row["id"]
        )
        frames = [each["frame"] for each in stored]
        if json.loads(row["spec"])["source"] == CLIP["source"]:
            expected = list(range(FRAMES))
            found.stuck += row["outcome"] != "completed"
            found.wrong += sum(each["labels"] != f"aruco:{each['frame'] % 1000}" for each in stored)
        else:
            expected = list(range(len(frames)))
        found.frames += len(expected)
        found.missing += len(set(expected) - set(frames))
        found.wrong += len(frames) - len(set(frames)) + len(set(frames) - set(expected))

    async def _connections(self, scenarios: Connection) -> int:
        """How many the service has, of both databases."""
        found: int = await scenarios.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = ANY($1) AND pid <> pg_backend_pid()",
            list(NAMES),
        )
        return found - 1  # the verifier's other one


@dataclass
class Lost:
    """What does not stand in the databases though promised, and what does though it must not."""

    promises: int
    creates: int
    stops: int = 0
    deletes: int = 0
    frames: int = 0
    missing: int = 0
    wrong: int = 0
    stuck: int = 0
    connections: int = 0
    in_transaction: int = 0

    @property
    def damage(self) -> bool:
        """Whether anything is not as it must be."""
        lost = self.creates + self.stops + self.deletes + self.missing + self.wrong + self.stuck
        return lost + self.in_transaction > 0 or self.connections > MOST_CONNECTIONS

    def __str__(self) -> str:
        return (
            f"{self.creates + self.stops + self.deletes} of {self.promises:,} acknowledged writes,"
            f" {self.missing} missing and {self.wrong} wrong of {self.frames:,} frames, {self.stuck} stuck,"
            f" {self.in_transaction} idle in transaction, {self.connections} connections"
        )


@asynccontextmanager
async def site(folder: Path, *, app: str = "app.main:app") -> AsyncIterator[Site]:
    """A service on a Postgres server of its own, behind proxies."""
    settings = {"fsync": "off"}
    async with AsyncExitStack() as stack:
        data = stack.enter_context(temporary_folder()) / "postgres"
        server = await stack.enter_async_context(embedded_server(data, databases=NAMES, settings=settings))
        tasks = await stack.enter_async_context(create_task_group())
        tasks.start_soon(server.watch)
        stack.callback(tasks.cancel_scope.cancel)
        proxies = {name: await stack.enter_async_context(proxied(server.dsn(name))) for name in NAMES}
        make_clips(folder, FRAMES)
        service = await stack.enter_async_context(
            running(
                folder, app=app, media_root=folder, runner_slots=3,
                scenarios_dsn=proxies["scenarios"].dsn, predictions_dsn=proxies["predictions"].dsn,
                heartbeat_interval=0.5, heartbeat_timeout=5,
            )
        )  # fmt: skip
        yield Site(service, proxies, {name: server.dsn(name) for name in NAMES}, data / "data")

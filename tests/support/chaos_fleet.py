"""A fleet whose members are killed at random while a client keeps scenarios going."""

import random
import signal
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
from anyio import Event, create_task_group, current_time, move_on_after, sleep

from tests.support.fleet import Fleet
from tests.support.ground_truth import Kill
from tests.support.service import ServiceProcess
from tests.support.waiting import until

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

LEADERS_LOCK = 0x76615F6C656164
_ANALYSIS: dict[str, Any] = {
    "tracking": {},
    "zones": [{"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "anchor": "center"}],
    "lines": [{"name": "middle", "from": [0.5, 0], "to": [0.5, 1]}],
    "alerts": [
        {"name": "stay", "zone": "left", "min_seconds": 0.2, "cooldown_seconds": 2},
        {"name": "crossing", "line": "middle"},
    ],
}
_ASKED: tuple[dict[str, Any], ...] = (
    {"sampling": {"mode": "all"}},
    {"sampling": {"mode": "all"}, **_ANALYSIS},
    {"sampling": {"mode": "fps", "fps": 7}, **_ANALYSIS},
)
"""What is asked for in turn."""


class ChaosFleet:
    """The fleet, its databases, and what was done to it."""

    def __init__(self, fleet: Fleet, roles: dict[str, str], folder: Path, clips: Path) -> None:
        self._fleet = fleet
        self._roles = roles
        self._data = folder / "data" / "postgres" / "data"
        self._clips = sorted(clip.name for clip in clips.iterdir())
        self._down: set[str] = set()
        self.chance = random.Random()
        self.kills: list[Kill] = []
        self.posted = 0
        self.created: set[str] = set()

    @property
    def members(self) -> dict[str, ServiceProcess]:
        """Its processes, by name."""
        return self._fleet.members

    @property
    def apis(self) -> list[ServiceProcess]:
        """The members that answer requests."""
        return [self._fleet.members[name] for name, role in self._roles.items() if "api" in role]

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator["Connection"]:
        """A connection to one of the fleet's databases."""
        lines = (self._data / "postmaster.pid").read_text().splitlines()
        connection = await asyncpg.connect(
            host=lines[4], port=int(lines[3]), user="postgres", database=name, timeout=10
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def kill(self, names: Collection[str], count: int, seconds: float) -> None:
        """Kill one of these members after the other, `count` in `seconds`, and start each again soon after.

        The role is chosen first, then one of its ready members. The last ready one of a role is never killed,
        because no other could take over from it.
        """
        began = current_time()
        async with create_task_group() as group:
            for number in range(count):
                due = began + seconds * (number + self.chance.random()) / count
                await sleep(max(0.0, due - current_time()))
                self.assert_all_run()
                ready = await until(lambda: self._can_be_spared(names), 120)
                victim = self.chance.choice(self.chance.choice(ready))
                self._down.add(victim)
                leads = await self._leader()
                at = datetime.now(UTC)
                self._fleet.members[victim].kill()
                role = self._roles[victim]
                runner = self.runner_id(victim) if role == "runner" else ""
                led = role == "orchestrator" and leads is not None and not await self._is_alive(leads)
                self.kills.append(Kill(role, runner, at, led))
                group.start_soon(self._launch, victim)

    def _can_be_spared(self, names: Collection[str]) -> list[list[str]]:
        """Return the ready members by role, for roles that have more than one."""
        ready = [name for name in names if name not in self._down]
        roles = sorted({self._roles[name] for name in ready})
        found = [[name for name in ready if self._roles[name] == role] for role in roles]
        return [each for each in found if len(each) > 1]

    def assert_all_run(self) -> None:
        """Every member runs that was not killed."""
        for name, member in self._fleet.members.items():
            if name not in self._down and member.process.poll() is not None:
                raise AssertionError(f"{name} ended by itself: {member.log.read_text()[-3000:]}")

    async def _launch(self, name: str) -> None:
        await sleep(self.chance.uniform(0.1, 1.5))
        self._fleet.members[name].launch()
        await _ready(self._fleet.members[name])
        self._down.discard(name)

    def runner_id(self, name: str) -> str:
        """The name that a member has as a runner."""
        return gethostname() + self._fleet.runner_id(name)

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Stop a member's process, and let it go on."""
        process = self._fleet.members[name].process
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    async def _leader(self) -> int | None:
        """The process id of the database's session that holds the leader's lock."""
        async with self.database("scenarios") as connection:
            pid: int | None = await connection.fetchval(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND (classid::bigint << 32) + objid::bigint = $1",
                LEADERS_LOCK,
            )
        return pid

    async def _is_alive(self, pid: int) -> bool:
        """Whether a session is still there shortly after its client may have died."""
        there = "SELECT pid FROM pg_stat_activity WHERE pid = $1"
        async with self.database("scenarios") as connection:
            with move_on_after(0.5):
                while await connection.fetchval(there, pid):  # noqa: ASYNC110 - no event tells of it
                    await sleep(0.02)
                return False
        return True

    async def keep_going(self, scenarios: int, stop: Event) -> None:
        """Post a scenario whenever fewer are going, until `stop` is set; wait until all are accepted."""
        async with create_task_group() as group, self.database("scenarios") as connection:
            while not stop.is_set():
                ended = await connection.fetchval("SELECT count(*) FROM scenarios WHERE state = 'inactive'")
                for _ in range(scenarios - (self.posted - ended)):
                    self.posted += 1
                    group.start_soon(self._post, self.posted)
                with move_on_after(0.2):
                    await stop.wait()

    async def _post(self, number: int) -> None:
        """Ask one api or another until it is accepted, always with the same key."""
        source = self._clips[number % len(self._clips)]
        # On a busy machine kills may well come faster, time after time, than a run stores its first batch.
        body = {
            "source": source,
            "detector": {"type": "marker"},
            "restart": {"max_restarts": 1000},
            **_ASKED[number % len(_ASKED)],
        }
        while True:
            try:
                answer = await self.chance.choice(self.apis).http.post(
                    "/scenarios", json=body, headers={"Idempotency-Key": f"clip {number}"}
                )
            except httpx.TransportError:
                await sleep(0.2)
                continue
            if answer.status_code in (201, 202):
                self.created.add(answer.json()["id"])
                return
            assert answer.status_code == 503, answer.text
            await sleep(0.2)

    async def settled(self, timeout: float) -> bool:
        """Whether every scenario of a recording ends within `timeout` seconds."""
        going = "SELECT count(*) FROM scenarios WHERE state <> 'inactive' AND NOT is_live"
        with move_on_after(timeout):
            async with self.database("scenarios") as connection:
                while await connection.fetchval(going):  # noqa: ASYNC110 - no event tells of it
                    await sleep(0.1)
            return True
        return False


async def _ready(member: ServiceProcess) -> None:
    """Wait until a launched member is ready; launch it again if another process has taken its port."""
    while True:
        try:
            await until(member.is_ready, 120, poll=0.1)
        except AssertionError as ended:
            if "address already in use" not in str(ended):
                raise
            await sleep(0.5)
            member.launch()
        else:
            return


@asynccontextmanager
async def chaos_fleet(
    folder: Path,
    clips: Path,
    broker: str,
    roles: dict[str, str],
    *,
    app: str = "app.main:app",
    **settings: object,
) -> AsyncIterator[ChaosFleet]:
    """A fleet (name → roles) that is ready, its members launched as `app`; VA_<NAME> from `settings`."""
    fleet = Fleet(folder, clips, broker)
    fleet._settings |= {"runner_slots": 20, **settings}
    try:
        for name, role in roles.items():
            fleet.add(name, role, app=app)
        for member in fleet.members.values():
            await _ready(member)
        yield ChaosFleet(fleet, roles, folder, clips)
    finally:
        await fleet.end()

"""Secrets show nowhere: every kind of them is given to a real service, which is driven through success and
failure at its most talkative; then all that it said is searched.

Each secret contains the canary, whose letters no encoding of addresses, JSON or Python changes.
"""

import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from anyio import create_task_group

from tests.support.cameras import silent_camera
from tests.support.clips import marker_clip
from tests.support.hostile_servers import RTSP_OK, hostile_camera, hostile_web, to
from tests.support.ports import free_port
from tests.support.proxy import Proxy, proxied
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until
from tests.support.web_server import web_server

CANARY = "c4nary"
KEYS = [f"{CANARY}-api-key-one", f"{CANARY} 'api' \"key\" two%41"]
WRONG_KEY = f"{CANARY}-a-wrong-api-key"
MOCK = {"type": "mock"}
JSON = {"content-type": "application/json"}


class Heard:
    """Everything the service says to its clients."""

    def __init__(self, service: ServiceProcess) -> None:
        self.service = service
        self.texts: list[str] = []

    async def ask(self, method: str, path: str, **options: object) -> httpx.Response:
        answer = await self.service.http.request(method, path, **options)  # type: ignore[arg-type]
        self.texts.append(f"{answer.status_code} {dict(answer.headers)} {answer.text}")
        return answer

    async def follow_events(self) -> None:
        async with self.service.http.stream("GET", "/stream", timeout=None) as stream:
            self.texts.append(str(dict(stream.headers)))
            async for line in stream.aiter_lines():
                self.texts.append(line)

    def told(self) -> list[str]:
        """Where a secret shows, in plain or as a login is sent."""
        login = b64encode(f"admin:{CANARY}".encode()).decode()[:-4]
        secret = re.compile(f".{{0,80}}(?:{CANARY}|{login})", re.IGNORECASE)
        texts = [*self.texts, *self.service.log.read_text().splitlines()]
        return [f"{text[:30]} … {found[0]}" for text in texts if (found := secret.search(text))]


@asynccontextmanager
async def sources(folder: Path) -> AsyncIterator[list[str]]:
    """Sources with secrets of every form: those that are read, and those that fail in every way."""
    marker_clip(folder / "fine.mp4", frames=20)
    login = f"admin:{CANARY}"
    names = ("password", "token", "api_key", "p%61sswd", "sig", "X-Amz-Signature")
    hidden = "&".join(f"{name}={CANARY}%26" for name in names)
    nothing = f"127.0.0.1:{free_port()}"
    ask = f'WWW-Authenticate: Basic realm="{CANARY}"\r\n'
    refusing = {"DESCRIBE": f"RTSP/1.0 401 No {CANARY}\r\nCSEQ\r\n{ask}\r\n".encode()}
    away = f"rtsp://{login}@127.0.0.2:9/live?{hidden}"
    leading = {"OPTIONS": f"RTSP/1.0 302 Moved\r\nCSEQ\r\nLocation: {away}\r\n\r\n".encode()}
    pages = {
        "/locked.mp4": f"HTTP/1.1 401 No\r\n{ask}Content-Length: 0\r\n\r\n".encode(),
        "/moved.mp4": to(f"http://{login}@127.0.0.2:9/x.mp4?{hidden}"),
        "/broken.mp4": to(f"http://{login}@[/x.mp4?{hidden}"),
    }
    with (
        web_server(folder) as web,
        silent_camera() as silent,
        hostile_camera({"DESCRIBE": RTSP_OK + b"\r\n"}) as mute,
        hostile_camera(refusing) as locked,
        hostile_camera(leading) as moved,
        hostile_web(pages) as hostile,
    ):
        host, other = urlsplit(web.url).netloc, urlsplit(hostile).netloc
        yield [
            f"http://{login}@{host}/fine.mp4?{hidden}",
            f"http://{login}@{host}/missing.mp4?{hidden}#password={CANARY}",
            f"http://{host}/password={CANARY}_channel=1/pass%3D{CANARY}/x.mp4",
            f"http://{host}/missing.mp4?src=rtsp://{login}@camera/live?token={CANARY}",
            f"http://{host}/relay/rtsp://{login}@camera/x.mp4",
            *(f"http://{login}@{other}{path}?{hidden}" for path in pages),
            f"http://{login}@{nothing}/x.mp4?{hidden}",
            f"https://{login}@{host}/fine.mp4?{hidden}",
            f"rtsp://{login}@{nothing}/live?{hidden}",
            f"rtsps://{login}@{nothing}/live?{hidden}",
            f"rtsp://{login}%40x@{urlsplit(silent).netloc}/live",
            f"rtsp://admin:{CANARY}@x@{urlsplit(silent).netloc}/live",
            f"rtsp://{CANARY}@{nothing}/live",
            f"rtsp://:{CANARY}%2F%3A@{nothing}/live",
            f"rtsp://{nothing}/user=admin_password={CANARY}_channel=1_stream=0.sdp?real_stream",
            f"rtsp://{nothing}/user=admin&pwd={CANARY}&channel=1",
            *(f"rtsp://{login}@{urlsplit(camera).netloc}/live?{hidden}" for camera in (mute, locked, moved)),
            f"rtsp://{login}@no-such-host.invalid/live?{hidden}",
            f"rtsp://{login}@192.168.255.254/live?{hidden}",
        ]


async def create(heard: Heard, key: str, source: str) -> str:
    """Create a scenario, asking again under the same key while the service is too busy; its id."""
    body = {"source": source, "detector": MOCK, "restart": {"policy": "never"}}

    async def created() -> httpx.Response | None:
        answer = await heard.ask("POST", "/scenarios", json=body, headers={"idempotency-key": key})
        assert answer.status_code in (201, 202, 503), (source, answer.text)
        return answer if answer.status_code == 201 else None

    answer = await until(created, 20)
    assert answer is not None
    scenario_id: str = answer.json()["id"]
    return scenario_id


def malformed() -> list[bytes]:
    """Bodies with a secret in them that are refused."""
    source = f"rtsp://admin:{CANARY}@camera/live?token={CANARY}"
    good = {"source": source, "detector": MOCK}
    return [
        json.dumps(good).encode()[:-2],
        json.dumps(good).encode() + b"}",
        json.dumps({"source": source}).encode(),
        json.dumps(good | {"detector": source}).encode(),
        json.dumps(good | {"detector": {"type": source}}).encode(),
        json.dumps(good | {"sampling": {"mode": source}}).encode(),
        json.dumps(good | {"restart": {"policy": source}}).encode(),
        json.dumps(good | {"id": source}).encode(),
        json.dumps(good | {source: 1}).encode(),
        json.dumps(good | {"name": source * 10}).encode(),
        json.dumps(source).encode(),
        json.dumps({"source": [source], "detector": MOCK}).encode(),
        *(
            json.dumps({"source": wrong, "detector": MOCK}).encode()
            for wrong in (
                f"ftp://admin:{CANARY}@camera/live",
                f"rtsp:admin:{CANARY}@camera",
                f"rtsp://admin:{CANARY}@camera:port/live",
                f"rtsp://admin:{CANARY}/x@camera/live",
                f"rtsp://admin:{CANARY} x@camera/live",
                f"rtsp://admin:{CANARY}@camera/\x01",
                f"/password={CANARY}",
            )
        ),
    ]


async def misuse(heard: Heard) -> None:
    """Every way to be refused that has to do with a secret."""
    for body in malformed():
        assert (await heard.ask("POST", "/scenarios", content=body, headers=JSON)).status_code in (400, 422)
    address = f"http://a:{CANARY}@camera/?token={CANARY}"
    for path in ("/scenarios", "/nothing", "/health/live", "/docs"):
        for key in (*KEYS, WRONG_KEY):
            await heard.ask("GET", path, headers={"authorization": f"Bearer {key}"})
            await heard.ask(
                "GET", path, headers={"authorization": f"Bearer {key}", "x-forwarded-for": "8.8.8.8"}
            )
            await heard.ask("GET", path, params={"api_key": key, "cursor": address})
    for path in ("/scenarios", "/scenarios/00000000-0000-0000-0000-000000000000/predictions"):
        for name in ("state", "cursor", "limit", "label", "from_frame", f"password={CANARY}"):
            await heard.ask("GET", path, params={name: address})
    await heard.ask("GET", "/stream", headers={"last-event-id": address})
    await heard.ask("POST", f"/password={CANARY}", headers={"authorization": f"Basic {WRONG_KEY}"})
    await heard.ask("POST", "/scenarios", content=b"{}", headers={"content-type": address})
    await log_in(heard)


async def log_in(heard: Heard) -> None:
    """With wrong and right keys; the cookie is as good as a key, so the log must not have it either."""
    wrong = [f'{{"key": "{WRONG_KEY}"}}', f'{{"key": ["{WRONG_KEY}"]}}', f'{{"key": "{WRONG_KEY * 500}"}}']
    for body in (*wrong, f'{{"key": "{WRONG_KEY}'):
        answer = await heard.ask("POST", "/session", content=body, headers=JSON)
        assert answer.status_code in (400, 401, 422), answer.text
    for key in KEYS:
        entered = await heard.ask("POST", "/session", json={"key": key})
        cookie = entered.cookies["va_session"]
        await heard.ask("GET", "/session")
        await heard.ask("GET", "/nothing", headers={"cookie": f"va_session={cookie[:-1]}"})
        heard.service.http.cookies.clear()
        assert cookie[:-1] not in heard.service.log.read_text()


async def look_around(heard: Heard) -> None:
    """Everything that can be read."""
    for path in (
        "/scenarios", "/runners", "/detectors", "/models", "/metrics", "/docs/openapi.json", "/health/ready",
    ):  # fmt: skip
        await heard.ask("GET", path)
    for scenario in (await heard.service.http.get("/scenarios")).json()["items"]:
        for rest in ("", "/history", "/predictions"):
            await heard.ask("GET", f"/scenarios/{scenario['id']}{rest}")


def with_password(proxy: Proxy) -> str:
    """The proxy's address, with a password in it that the database doesn't ask for."""
    user, at, rest = proxy.dsn.partition("@")
    return f"{user}:{CANARY}%40word{at}{rest}"


@pytest.mark.parametrize("form", ["text", "json"])
async def test_secrets_show_nowhere(
    tmp_path: Path, scenarios_dsn: str, predictions_dsn: str, form: str
) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    async with (
        proxied(scenarios_dsn) as one,
        proxied(predictions_dsn) as two,
        sources(folder) as every,
        running(
            tmp_path,
            log_format=form,
            log_level="debug",
            api_keys=",".join(KEYS),
            trust_loopback=True,
            scenarios_dsn=with_password(one),
            predictions_dsn=with_password(two),
            runner_slots=8,
        ) as service,
        create_task_group() as tasks,
    ):
        heard = Heard(service)
        tasks.start_soon(heard.follow_events)
        ids = [await create(heard, f"{CANARY}{number}", source) for number, source in enumerate(every)]
        await misuse(heard)

        async def all_were_opened() -> bool:
            states = [await service.get(scenario_id) for scenario_id in ids]
            return all(
                state["state"] == "inactive" or state["source_state"] == "reconnecting" for state in states
            )

        await until(all_were_opened, 60)
        assert (await service.get(ids[0]))["outcome"] == "completed"
        await look_around(heard)
        for scenario_id in ids[1:4]:
            await heard.ask("POST", f"/scenarios/{scenario_id}/start")
        one.cut()
        two.silence()
        for method, path in (
            ("GET", "/scenarios"),
            ("GET", f"/scenarios/{ids[0]}"),
            ("GET", "/health/ready"),
        ):
            assert (await heard.ask(method, path)).status_code >= 500
        body = {"source": every[-1], "detector": MOCK}
        assert (await heard.ask("POST", "/scenarios", json=body)).status_code >= 500
        await heard.ask("GET", "/metrics")
        tasks.cancel_scope.cancel()
    assert len(heard.texts) > 100
    assert len(service.log.read_text().splitlines()) > 100
    told = heard.told()
    assert told == [], "\n".join(told)

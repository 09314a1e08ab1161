"""Recipes that need a running service: their files and commands are taken from the pages."""

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import yaml
from anyio import fail_after, run_process
from anyio.from_thread import start_blocking_portal
from standardwebhooks import Webhook

from tests.support import models
from tests.support.clips import marker_clip
from tests.support.missing import skip_or_fail
from tests.support.mosquitto import mosquitto
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.recipes import blocks_of
from tests.support.service import Json, ServiceProcess, running_for_tests
from tests.support.waiting import until
from tests.support.webhook_receiver import Receiver, receiver

SERVICE = "http://127.0.0.1:8000"  # as the pages write it
LONG = 60.0


def channel_of(recipe: str) -> str:
    """Return the file of channels of a recipe."""
    [text] = blocks_of(recipe, "toml")
    return text


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Receiver, int]]:
    """A receiver of webhooks and the port of an MQTT broker."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(receiver()) as hook,
        portal.wrap_async_context_manager(mosquitto(tmp_path_factory.mktemp("broker"))) as port,
    ):
        yield hook, port


@pytest.fixture(scope="module")
def shared(
    around: tuple[Receiver, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A service with the channels of two recipes, a model and a recording."""
    hook, port = around
    folder = tmp_path_factory.mktemp("service")
    of_webhook = channel_of("camera-to-webhook").replace("127.0.0.1:9000", f"127.0.0.1:{hook.port}")
    of_broker = channel_of("home-assistant").replace("homeassistant.local:1883", f"127.0.0.1:{port}")
    channels = folder / "channels.toml"
    channels.write_text(of_webhook + "\n" + of_broker)
    (folder / "models").mkdir()
    models.yolov8(folder / "models" / "best.onnx", metadata={"names": models.NAMES})
    (folder / "media").mkdir()
    marker_clip(folder / "media" / "street.mp4", frames=30)
    with running_for_tests(
        folder,
        channels_file=channels,
        notify_networks="public,private,loopback",
        media_root=folder / "media",
        model_root=folder / "models",
    ) as service:
        yield service


@pytest.fixture
async def service(shared: ServiceProcess) -> AsyncIterator[ServiceProcess]:
    async with shared.joined() as same:
        yield same


async def follow(recipe: str, service: ServiceProcess, folder: Path) -> list[str]:
    """Run the commands of a recipe that begin with curl, and return what each printed."""
    curl = shutil.which("curl")
    if curl is None:
        skip_or_fail("needs the package curl")
    for block in blocks_of(recipe, "json")[:1]:
        (folder / "scenario.json").write_text(block)
    printed = []
    for block in blocks_of(recipe, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.lstrip().startswith("curl"):
                command = line.replace(SERVICE, f"http://127.0.0.1:{service.port}")
                ended = await run_process(["/bin/sh", "-c", command], cwd=folder, check=False)
                assert ended.returncode == 0, (command, ended)
                printed.append(ended.stdout.decode())
    return printed


async def test_a_camera_tells_a_webhook(
    service: ServiceProcess, around: tuple[Receiver, int], tmp_path: Path
) -> None:
    hook, _ = around
    tested, created = await follow("camera-to-webhook", service, tmp_path)
    assert json.loads(tested)["state"] == "sent"
    await until(lambda: len(hook.received) >= 2, LONG)
    secret = re.findall(r'SECRET = "(.+)"', blocks_of("camera-to-webhook", "python")[0])[0]
    messages = [Webhook(secret).verify(each.body, each.headers) for each in hook.received[:2]]
    assert [message["type"] for message in messages] == ["channel.test", "event.alert"]
    assert messages[1]["data"]["event"]["name"] == "something moves"
    await service.http.post(f"/scenarios/{json.loads(created)['id']}/stop")


async def test_home_assistant_finds_the_device_and_understands_its_alerts(
    service: ServiceProcess, around: tuple[Receiver, int]
) -> None:
    import aiomqtt

    _, port = around
    (scenario,) = blocks_of("home-assistant", "json")
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("homeassistant/#", qos=1)
        created = (await service.http.post("/scenarios", json=json.loads(scenario))).json()
        (topic,) = re.findall(r"-t (\S+)", "".join(blocks_of("home-assistant", "sh")))
        topic = topic.replace("SCENARIO", created["id"])
        with fail_after(LONG):
            message = await anext(client.messages)
            assert str(message.topic) == topic
            found: dict[str, Any] = json.loads(str(message.payload, "utf-8"))
            await client.subscribe(
                found["state_topic"], qos=1
            )  # as Home Assistant, in time for the first alert
            message = await anext(client.messages)
            assert str(message.topic) == found["state_topic"]
    await service.http.post(f"/scenarios/{created['id']}/stop")
    async with aiomqtt.Client("127.0.0.1", port) as later:  # as Home Assistant that is started again
        await later.subscribe("homeassistant/#", qos=1)
        with fail_after(LONG):
            retained = await anext(later.messages)
        assert (str(retained.topic), retained.retain) == (topic, True)
        await later.publish(topic, None, qos=1, retain=True)
    event = json.loads(str(message.payload, "utf-8"))["data"]["event"]
    alert = found["components"]["event"]
    assert found["device"]["name"] == "front door"
    assert event["kind"] in alert["event_types"]
    for path in re.findall(r"value_json\.data\.event\.(\w+)", alert["value_template"]):
        assert isinstance(event[path], str)
    assert {"device", "origin", "components"} <= found.keys()
    assert all({"platform", "unique_id"} <= each.keys() for each in found["components"].values())
    assert found["components"].keys() == {"event", "seen"}


async def test_a_model_of_your_own_is_checked_on_a_picture(service: ServiceProcess, tmp_path: Path) -> None:
    street = np.zeros((720, 1280, 3), np.uint8)
    street[168:232, 256:320] = 255  # what the model finds
    cv2.imwrite(str(tmp_path / "street.jpg"), street)
    understood, *_, created = await follow("model-of-your-own", service, tmp_path)
    assert json.loads(understood)["state"] == "understood"
    assert cv2.imread(str(tmp_path / "found.jpg")) is not None
    found: Json = json.loads((tmp_path / "found.json").read_text())
    assert {each["label"] for each in found["detections"]} == {"bright"}
    scenario_id = json.loads(created)["id"]
    await until(partial(service.exists, scenario_id), LONG)  # busy machines need longer than a request waits
    ended = await service.ends(scenario_id)
    assert ended["outcome"] == "completed", ended


@asynccontextmanager
async def prometheus(folder: Path, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run Prometheus with the recipe's configuration for the service at this address."""
    program = shutil.which("prometheus")
    if program is None:
        skip_or_fail("needs the package prometheus")
    configuration = yaml.safe_load(blocks_of("grafana", "yaml")[0])
    job = configuration["scrape_configs"][0]
    job["static_configs"][0]["targets"] = [address]
    job["scrape_interval"] = "1s"
    job["scrape_timeout"] = "1s"
    file, port = folder / "prometheus.yml", free_port()
    file.write_text(yaml.safe_dump(configuration))
    command = [program, f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    command.append(f"--web.listen-address=127.0.0.1:{port}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        process.kill()
        process.wait()


async def test_prometheus_answers_every_query_of_the_dashboard(
    service: ServiceProcess, tmp_path: Path
) -> None:
    text = (ROOT / "deploy/grafana/dashboard.json").read_text()
    targets = [target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]]
    page = (ROOT / "docs/recipes/grafana.md").read_text()
    rules = re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE)
    known = set(re.findall(r"^# TYPE (\S+)", (await service.http.get("/metrics")).text, re.MULTILINE))
    for query in targets + rules:
        for name in re.findall(r"videoanalysis_\w+", query):
            assert name in known or name.removesuffix("_bucket") in known, query
    assert len(rules) == 4

    async with prometheus(tmp_path, f"127.0.0.1:{service.port}") as client:

        async def answered(query: str) -> Json | None:
            parameters = {"query": query.replace("$__rate_interval", "1m")}
            try:
                answer = await client.get("/api/v1/query", params=parameters)
            except httpx.TransportError:  # it starts
                return None
            if answer.status_code == 503:
                return None
            found: Json = answer.json()
            assert found["status"] == "success", found
            return found if found["data"]["result"] else None

        for query in targets:
            if not query.endswith("> 0"):
                await until(partial(answered, query), LONG)
        for query in [*targets, *rules]:
            await answered(query)


def test_the_proxies_are_configured_as_the_page_of_operations_shows() -> None:
    operations = (ROOT / "docs/operations.md").read_text()  # whose examples are tested with both proxies
    page = (ROOT / "docs/recipes/behind-a-proxy.md").read_text()
    for language in "caddyfile", "nginx":
        [block] = re.findall(rf"^   ```{language}\n(.+?)^   ```", page, re.DOTALL | re.MULTILINE)
        assert f"```{language}\n{re.sub('^   ', '', block, flags=re.MULTILINE)}```" in operations

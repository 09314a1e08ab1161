"""A camera whose alerts are told by webhook, while the service is killed and started anew."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import cv2
import numpy as np
from anyio import to_thread
from standardwebhooks import Webhook

from app.postgres import Database
from tests.support.clips import marker_picture
from tests.support.http_cameras import MULTIPART, SIZE, Reply, headed, http_camera
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until
from tests.support.webhook_receiver import Received, accept, receiver

SECRETS = {"ops": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "lake": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}
ALWAYS_THERE = "aruco:0"
EACH = 0.4  # seconds for which each of the other markers is shown


def pictures() -> Iterator[bytes]:
    """Marker 0 for ever, and beside it marker 1, 2, 3, …, by the clock: who is not connected misses some."""
    while True:
        passing = 1 + int(monotonic() / EACH) % 999
        both = np.hstack([marker_picture(0, SIZE), marker_picture(passing, SIZE)])
        yield cv2.imencode(".jpg", both)[1].tobytes()


async def test_each_alert_is_told_in_order_and_none_twice_because_of_a_restart(
    tmp_path: Path, scenarios_dsn: str, predictions_dsn: str, predictions: Database
) -> None:
    held = asyncio.Event()
    is_holding = False

    async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
        if is_holding and received.path == "/ops":
            held.set()
            await asyncio.Event().wait()
        await accept(received, writer)

    async with receiver() as hook:
        hook.answer = answer
        channels = tmp_path / "channels.toml"
        channels.write_text(
            "".join(
                f'[channels.{name}]\ntype = "webhook"\nsecret = "{secret}"\n'
                f'url = "http://127.0.0.1:{hook.port}/{name}"\n'
                for name, secret in SECRETS.items()
            )
        )

        def told(channel: str) -> list[int]:
            """Return the alerts in the order in which the channel first received them."""
            of_channel = [each.event[1] for each in hook.received if each.path == f"/{channel}"]
            return list(dict.fromkeys(of_channel))

        async def more(count: int) -> None:
            """Wait until each channel has received so many other alerts."""
            before = {name: len(told(name)) for name in SECRETS}
            await until(lambda: all(len(told(name)) >= before[name] + count for name in SECRETS), timeout=60)

        with http_camera(lambda _: Reply({"Content-Type": MULTIPART}, map(headed(), pictures()))) as camera:
            async with running(
                tmp_path,
                scenarios_dsn=scenarios_dsn,
                predictions_dsn=predictions_dsn,
                channels_file=channels,
                notify_networks="loopback",
            ) as service:
                scenario_id = await service.create(
                    camera,
                    {"type": "marker"},
                    sampling={"mode": "fps", "fps": 10},
                    presence={"max_gap_seconds": 1},  # a restart takes longer
                    alerts=[{"name": "seen"}],
                    notify={"channels": list(SECRETS)},
                )
                await more(3)
                is_holding = True
                await held.wait()
                service.kill()  # the receiver has the message, and nobody has stored that
                is_holding = False
                await end_leases(predictions)
                await service.start()
                await more(3)
                await to_thread.run_sync(service.terminate)
                await service.start()
                await more(3)
                await service.http.post(f"/scenarios/{scenario_id}/stop")
                await service.ends(scenario_id)
                await until(lambda: nothing_waits(service))
                alerts = await service.events(scenario_id, kind="alert")

    numbers = [alert["event_id"] for alert in alerts]
    assert [told(name) for name in SECRETS] == [numbers, numbers]
    assert len({alert["label"] for alert in alerts}) == len(alerts) >= 10  # and so no marker was told twice
    assert ALWAYS_THERE in {alert["label"] for alert in alerts}
    for each in hook.received:
        name = each.path.removeprefix("/")
        assert Webhook(SECRETS[name]).verify(each.body, each.headers)["data"]["channel"] == name
    ids = {(each.path, each.event, each.id) for each in hook.received}
    assert len({each.id for each in hook.received}) == len(ids) == 2 * len(alerts)
    repeated = len(hook.received) - len(ids)
    assert 1 <= repeated <= 2  # by the kill: what was held, and perhaps what the other channel was sent


async def end_leases(database: Database) -> None:
    """Let those of the killed notifier end now; otherwise its messages wait up to 30 seconds."""
    async with database.connection() as connection:
        await connection.execute("UPDATE deliveries SET due_at = now() WHERE lease IS NOT NULL")


async def nothing_waits(service: ServiceProcess) -> bool:
    answer = await service.http.get("/deliveries", params={"state": "pending"})
    return bool(answer.json()["items"] == [])

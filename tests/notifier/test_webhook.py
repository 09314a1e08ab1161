"""Webhooks: what a receiver gets, and what is made of its answers."""

import asyncio
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from anyio import fail_after

from app.domain.channels import WebhookChannel
from app.domain.networks import Networks
from app.notifier.notification import OutgoingMessage, make_message
from app.notifier.queue import Claimed
from app.notifier.senders.base import SendError
from app.notifier.senders.webhook import WebhookSender
from app.predictions.delivery import Told
from tests.support.deliveries import event
from tests.support.webhook_receiver import SECRET, Received, Receiver, receiver, silence, status

YARD = UUID(int=1)
LOOPBACK = Networks("loopback")


def claimed(told: Told | None = None) -> Claimed:
    told = told or Told("yard ä", event(3), at=1_769_851_800.0)
    number = None if told.event is None else told.event.event_id
    return Claimed(
        UUID(int=9), UUID(int=8), YARD, number, "ops", 1, datetime(2026, 1, 31, 9, 30, 5, tzinfo=UTC), told
    )


def message() -> OutgoingMessage:
    return make_message(claimed(), "https://example.org/video/")


def sender(url: str, networks: Networks = LOOPBACK) -> WebhookSender:
    return WebhookSender(WebhookChannel(url=url, secret=SECRET), networks)


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as running:
        yield running


async def refusal(sender: WebhookSender) -> SendError:
    with pytest.raises(SendError) as caught, fail_after(30):
        await sender.send(message())
    assert "127.0.0.1/" not in str(caught.value)
    return caught.value


async def test_the_receiver_can_verify_the_signature_with_the_reference_library(hook: Receiver) -> None:
    webhooks = pytest.importorskip("standardwebhooks.webhooks")
    await sender(hook.url).send(message())
    (received,) = hook.received
    told = webhooks.Webhook(SECRET).verify(received.body, received.headers)
    assert told["data"]["event"]["event_id"] == 3
    with pytest.raises(webhooks.WebhookVerificationError):
        webhooks.Webhook(SECRET).verify(received.body + b" ", received.headers)
    with pytest.raises(webhooks.WebhookVerificationError):
        webhooks.Webhook(SECRET).verify(received.body, {**received.headers, "webhook-id": "another"})


async def test_what_is_told_of_an_event(hook: Receiver) -> None:
    await sender(f"{hook.url}?token=abc").send(message())
    (received,) = hook.received
    assert received.path == "/hook?token=abc"
    assert received.headers["host"] == f"127.0.0.1:{hook.port}"
    assert received.headers["content-type"] == "application/json"
    assert received.id == str(UUID(int=9))
    base = f"https://example.org/video/scenarios/{YARD}"
    assert json.loads(received.body) == {
        "type": "event.alert",
        "version": 1,
        "timestamp": "2026-01-31T09:30:05Z",
        "data": {
            "id": str(UUID(int=9)),
            "channel": "ops",
            "scenario": {"id": str(YARD), "name": "yard ä"},
            "event": {
                "event_id": 3,
                "kind": "alert",
                "state": "ended",
                "label": "person",
                "track_id": 7,
                "name": "visitor",
                "direction": None,
                "start_frame": 30,
                "start_time": 3.0,
                "end_frame": 60,
                "end_time": 4.0,
                "best_frame": 45,
                "best_time": 3.5,
                "best_box": [1.0, 2.0, 30.0, 40.0],
                "best_confidence": 0.9,
            },
            "at": "2026-01-31T09:30:00Z",
            "links": {
                "scenario": base,
                "moment": f"{base}/predictions?from_frame=30&to_frame=61",
                "picture": None,
            },
        },
    }


def test_a_message_links_to_the_picture_that_is_kept() -> None:
    told = Told("yard", event(3), 1_769_851_800.0, has_picture=True)
    links = json.loads(make_message(claimed(told), "https://example.org/video/").body)["data"]["links"]
    assert links["picture"] == f"https://example.org/video/scenarios/{YARD}/events/3/picture.jpg"


def test_a_message_of_a_recording_links_to_its_best_frame() -> None:
    message = make_message(claimed(Told("yard", event(3))), "https://example.org/")
    picture = json.loads(message.body)["data"]["links"]["picture"]
    assert picture == f"https://example.org/scenarios/{YARD}/frame.jpg?frame=45&annotated=true"


def test_a_test_tells_of_no_event_and_no_links_are_made_up() -> None:
    test = json.loads(make_message(claimed(Told()), "https://example.org").body)
    assert test["type"] == "channel.test"
    assert (test["data"]["scenario"], test["data"]["event"], test["data"]["links"]) == (None, None, None)
    assert json.loads(make_message(claimed(), "").body)["data"]["links"] is None


@pytest.mark.parametrize("code", [200, 202, 204, 299])
async def test_a_success_is_an_acknowledgement(hook: Receiver, code: int) -> None:
    hook.answer = status(code)
    await sender(hook.url).send(message())


@pytest.mark.parametrize("code", [400, 413, 415, 422])
async def test_some_statuses_refuse_the_message(hook: Receiver, code: int) -> None:
    hook.answer = status(code)
    fault = await refusal(sender(hook.url))
    assert (str(fault), fault.is_rejected) == (f"answers with status {code}", True)


@pytest.mark.parametrize("code", [401, 403, 404, 408, 410, 429, 500, 503])
async def test_other_statuses_mean_that_the_channel_is_away(hook: Receiver, code: int) -> None:
    hook.answer = status(code)
    fault = await refusal(sender(hook.url))
    assert (str(fault), fault.is_rejected) == (f"answers with status {code}", False)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("999999999", 600.0), ("soon", 0.0), ("-5", 0.0)]
)
async def test_a_receiver_may_ask_for_a_pause(hook: Receiver, header: str, seconds: float) -> None:
    hook.answer = status(503, f"Retry-After: {header}")
    assert (await refusal(sender(hook.url))).retry_after == seconds


async def test_no_redirect_is_followed(hook: Receiver) -> None:
    async with receiver() as other:
        hook.answer = status(307, f"Location: {other.url}")
        assert "redirects (307), which is not followed" in str(await refusal(sender(hook.url)))
        assert other.received == []


async def test_an_endless_answer_is_not_read(hook: Receiver) -> None:
    sent = 0

    async def endless(_received: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(1_000_000))
            await writer.drain()
            sent += 1

    hook.answer = endless
    tracemalloc.start()
    await sender(hook.url).send(message())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000
    assert sent < 30


async def test_endless_headers_are_an_error(hook: Receiver) -> None:
    async def endless(_received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-More: " + b"x" * 10_000 + b"\r\n")
            await writer.drain()

    hook.answer = endless
    assert "sent no HTTP" in str(await refusal(sender(hook.url)))


async def test_a_receiver_that_hangs_up_is_an_error(hook: Receiver) -> None:
    async def hang_up(_received: Received, writer: asyncio.StreamWriter) -> None:
        writer.close()

    hook.answer = hang_up
    assert "broke off its answer" in str(await refusal(sender(hook.url)))


async def test_a_port_that_nobody_listens_on_is_an_error(hook: Receiver) -> None:
    port = hook.port
    async with receiver() as gone:
        port = gone.port
    assert str(await refusal(sender(f"http://127.0.0.1:{port}/"))) == "does not accept connections"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_addresses_that_channels_may_not_have_are_refused(hook: Receiver, host: str) -> None:
    fault = await refusal(sender(f"http://{host}:{hook.port}/", Networks("public,private")))
    assert "is not an address that channels may have: add loopback to VA_NOTIFY_NETWORKS" in str(fault)
    assert hook.received == []


async def test_a_name_is_resolved_once_for_each_message(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second answer would be another address, which was not held to the networks."""
    real, asked = socket.getaddrinfo, list[object]()

    def resolve(host: object, *arguments: Any, **options: Any) -> Any:
        if host != "receiver.example":
            return real(host, *arguments, **options)  # type: ignore[arg-type]
        asked.append(host)
        return real("127.0.0.1" if len(asked) % 2 else "192.0.2.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    await sender(f"http://receiver.example:{hook.port}/").send(message())
    assert (len(hook.received), len(asked)) == (1, 1)
    refused = await refusal(sender(f"http://receiver.example:{hook.port}/"))
    assert "192.0.2.1" in str(refused)
    assert (len(hook.received), len(asked)) == (1, 2)


async def test_a_name_without_an_address_is_an_error() -> None:
    assert str(await refusal(sender("http://nobody.invalid/"))).startswith("has no address")


async def test_a_silent_receiver_can_be_abandoned(hook: Receiver) -> None:
    hook.answer = silence
    with pytest.raises(TimeoutError), fail_after(0.3):
        await sender(hook.url).send(message())


async def test_no_proxy_is_used(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    await sender(hook.url).send(message())
    assert len(hook.received) == 1

"""What is sent again and when, what errors say, and how an event stream is read: without a service."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import uvicorn

from app.client import AsyncClient, Client, ClientError
from app.client.address import DEFAULT_URL, Address
from app.client.event_stream import StreamFollower
from app.client.procedures import IDLE, Attempt, Pause, Reply, Request, exchange, get, save
from app.client.resources import read_raw
from app.client.scenarios import delete, patch, start, stop, wait
from app.client.whole_file import written_whole
from tests.support.web_server import web_server

URL = "http://service"
READ = Request(path="system", is_repeatable=True)
RUNNING = (
    b'{"id": "one", "state": "active", "source": "a.mp4", "created_at": "2026-01-31T09:30:00Z",'
    b' "updated_at": "2026-01-31T09:30:00Z"}'
)
COMMAND = Request(path="system", method="POST")


def reply(status: int, body: bytes = b"{}", headers: dict[str, str] | None = None) -> Reply:
    return Reply(f"{URL}/system", status, httpx.Headers(headers), body)


def exchanged(request: Request, answers: Sequence[Reply | Exception]) -> tuple[list[float], Reply]:
    """Return the pauses of an exchange with these answers, and the last one."""
    procedure = exchange(URL, request, retries=2)
    waited: list[float] = []
    left = list(answers)
    step = next(procedure)
    while True:
        try:
            if isinstance(step, Pause):
                waited.append(step.seconds)
                step = procedure.send(None)
                continue
            assert step == Attempt(request)
            answer = left.pop(0)
            step = procedure.throw(answer) if isinstance(answer, Exception) else procedure.send(answer)
        except StopIteration as end:
            assert left == []
            return waited, end.value


def test_a_read_is_repeated_after_a_lost_connection_and_waits_longer_each_time() -> None:
    waited, last = exchanged(READ, [httpx.ReadError("lost"), httpx.RemoteProtocolError("cut"), reply(200)])
    assert last.status == 200
    assert 0 < waited[0] < waited[1] * 1.01


def test_a_read_waits_as_long_as_the_service_asks() -> None:
    waited, _ = exchanged(READ, [reply(503, headers={"retry-after": "7"}), reply(429), reply(200)])
    assert waited[0] == 7
    assert waited[1] < 7


def test_a_command_is_repeated_only_if_it_was_never_sent() -> None:
    waited, _ = exchanged(COMMAND, [httpx.ConnectError("refused"), reply(204)])
    assert len(waited) == 1
    with pytest.raises(ClientError) as error:
        exchanged(COMMAND, [httpx.ReadTimeout("late")])
    assert str(error.value) == (
        "The service at http://service was not reached: it did not answer in time. Is it running, and is that"
        " its address?"
    )
    assert error.value.status is None
    with pytest.raises(ClientError) as error:
        exchanged(COMMAND, [reply(503, b'{"title": "Busy", "detail": "Repeat it.", "field": "x"}')])
    assert (str(error.value), error.value.title, error.value.field) == ("Repeat it.", "Busy", "x")


def test_what_is_no_id_is_not_sent() -> None:
    with Client("http://127.0.0.1:1") as client:
        for read in (client.scenarios.get, client.batches.get, client.models.get):
            for wrong in ("", ".."):
                with pytest.raises(ClientError, match="is no id and no name"):
                    read(wrong)


def test_repeating_ends() -> None:
    with pytest.raises(ClientError, match="not reached: refused"):
        exchanged(READ, [httpx.ConnectError("refused")] * 3)
    with pytest.raises(ClientError, match="does not use TLS: write http:// in its address"):
        exchanged(READ, [httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number")] * 3)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(404, b'{"status": 404, "title": "Not found", "detail": "There is none."}'), "There is none."),
        (
            reply(403, b'{"detail": "verweigert f\xfcr alle"}'),  # not in UTF-8
            "http://service/system answered with status 403 Forbidden and no explanation, as a proxy does,",
        ),
        (
            reply(502, b"<html>nginx</html>"),
            "http://service/system answered with status 502 Bad Gateway and no explanation, as a proxy does,",
        ),
        (
            reply(301, headers={"location": "https://service/"}),
            "http://service/system redirects to https://service/. Use that address.",
        ),
    ],
)
def test_a_refusal_is_a_sentence_and_is_not_repeated(answer: Reply, said: str) -> None:
    with pytest.raises(ClientError) as error:
        exchanged(READ, [answer])
    assert str(error.value).startswith(said)
    assert error.value.status == answer.status
    if "no explanation" in said:
        assert str(error.value).endswith("Is that the address of a videoanalysis service?")


def test_an_answer_of_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "system").write_text("<html>Welcome to a router</html>")
    with (
        web_server(tmp_path) as server,
        Client(server.url) as client,
        pytest.raises(ClientError, match=r"/system was not understood .* Is that the address of"),
    ):
        client.system()


def test_a_page_is_no_event_stream(tmp_path: Path) -> None:
    (tmp_path / "stream").write_text("<html>Welcome to a router</html>")
    with (
        web_server(tmp_path) as server,
        Client(server.url) as client,
        pytest.raises(ClientError, match="it is no event stream"),
    ):
        list(client.changes())


def test_a_stream_that_ends_at_once_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("app.client.blocking.sleep", waited.append)
    (tmp_path / "stream").touch()
    with web_server(tmp_path) as server, Client(server.url) as client:
        server.headers = {"Content-Type": "text/event-stream"}
        with pytest.raises(ClientError, match="ends as soon as it is opened"):
            list(client.changes())
    assert len(waited) == 8


def test_to_wait_takes_no_longer_than_it_may_and_not_less(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr("app.client.procedures.monotonic", lambda: 1000 + sum(paused))

    def run() -> None:
        waiting = wait("one", every=5, timeout=12)
        step = next(waiting)
        while True:
            if isinstance(step, Pause):
                paused.append(step.seconds)
            step = waiting.send(None if isinstance(step, Pause) else reply(200, RUNNING))

    with pytest.raises(TimeoutError, match="not ended within 12 s"):
        run()
    assert paused == [5, 5, 2]


def test_a_change_that_is_only_accepted_is_read_until_it_is_there() -> None:
    ended = RUNNING.replace(b"active", b"inactive")
    for change, before, after in (
        (start("one"), ended, RUNNING),
        (stop("one"), RUNNING, ended),
        (patch("one", name="b", tags=[]), RUNNING, RUNNING[:-1] + b', "name": "b"}'),
    ):
        steps = [next(change), *map(change.send, (reply(202), None, reply(200, before), None))]
        with pytest.raises(StopIteration) as end:
            change.send(reply(200, after))
        assert [type(each) for each in steps] == [Request, Pause, Request, Pause, Request]
        assert (end.value.value.state, end.value.value.name) == (
            "inactive" if after is ended else "active",
            "b" if b"name" in after else "",
        )
    unknown = start("one")
    for answer in None, reply(202), None:
        unknown.send(answer)
    with pytest.raises(ClientError, match="There is none"):
        unknown.throw(ClientError("There is none.", status=404))


def test_a_deletion_that_is_only_accepted_is_waited_for() -> None:
    deletion = delete("one")
    gone = ClientError("There is none.", status=404)
    steps = [next(deletion), *map(deletion.send, (reply(202), None, reply(200), None))]
    with pytest.raises(StopIteration):
        deletion.throw(gone)
    assert [type(each) for each in steps] == [Request, Pause, Request, Pause, Request]
    done = delete("one")
    next(done)
    with pytest.raises(StopIteration):
        done.send(reply(204))


def test_connections_are_left_before_the_service_closes_them() -> None:
    assert uvicorn.Config("app.main:app").timeout_keep_alive > IDLE


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_stays_as_it_was_until_a_new_one_is_whole(tmp_path: Path, *, is_link: bool) -> None:
    target, file = tmp_path / "out.csv", tmp_path / ("車" * 80 + ".csv")
    if is_link:
        target.symlink_to(file)
    else:
        file = target
    file.write_text("of before")
    with suppress(KeyError), written_whole(target) as unfinished:
        unfinished.write(b"half")
        raise KeyError
    assert file.read_text() == "of before"
    with written_whole(target) as unfinished:
        unfinished.write(b"whole")
    assert file.read_text() == "whole"
    assert target.is_symlink() == is_link
    assert set(tmp_path.iterdir()) == {target, file}


def test_what_is_no_file_is_written_to_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with written_whole(pipe) as stream:
        stream.write(b"sent")
    assert os.read(reading, 100) == b"sent"
    os.close(reading)
    assert pipe.is_fifo()
    assert not save(pipe, "export").is_repeatable
    assert save(tmp_path / "out.csv", "export").is_repeatable


def test_a_key_that_no_header_can_have_is_refused() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(ValueError, match="An idempotency key has"):
        client.scenarios.create("clip.mp4", {}, idempotency_key="Nacht für Nacht")


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_file_that_breaks_off_is_not_left_behind(tmp_path: Path, *, is_async: bool) -> None:
    served = tmp_path / "scenarios" / "one" / "export"
    served.parent.mkdir(parents=True)
    served.write_bytes(b"x" * 100_000)
    target = tmp_path / "taken" / "out.csv"
    target.parent.mkdir()
    with web_server(tmp_path) as server:
        server.cut_after = 50_000
        told = pytest.raises(ClientError, match="was not reached: peer closed connection")
        if is_async:
            async with AsyncClient(server.url, retries=1) as client:
                with told:
                    await client.export("one", "csv", target)
        else:
            with Client(server.url, retries=1) as blocking, told:
                blocking.export("one", "csv", target)
        assert len(server.requests) == 2
        assert list(target.parent.iterdir()) == []


def test_an_event_stream_is_read_in_any_pieces() -> None:
    label = "sign\u2028two\x85lines"
    data = json.dumps({"scenario_id": "one", "label": label}, ensure_ascii=False)
    sent = (
        f"retry: 2000\nid: 1-1-1-1\n\n: still here\n\nevent: event\nid: 2-2-2-2\ndata: {data}\n\n"
        'event: progress\ndata: {"scenario_id": "one"}\n\n'
    ).encode()
    for size in (1, 7, len(sent)):
        follower = StreamFollower(None, None)
        request = follower.request()
        assert request is not None
        assert "Last-Event-ID" not in request.headers
        messages = [
            message
            for begin in range(0, len(sent), size)
            for message in follower.feed(sent[begin : begin + size])
        ]
        assert [(each.kind, each.id, each.scenario_id) for each in messages] == [
            ("event", "2-2-2-2", "one"),
            ("progress", None, "one"),
        ]
        assert messages[0].data["label"] == label
        follower.feed(b"event: half")  # of a message that the connection's end cuts off
        again = follower.request()
        assert again is not None
        assert again.headers["Last-Event-ID"] == "2-2-2-2"
        assert follower.feed(b"\n") == []


def test_an_event_stream_is_given_up_if_to_wait_does_not_help() -> None:
    follower = StreamFollower("1-1", None)
    with pytest.raises(ClientError, match="older than a day"):
        follower.pause(ClientError("It is older than a day.", status=410))
    lost = ClientError("lost")
    waited = sum(follower.pause(lost) for _ in range(8))
    assert 10 < waited < 60
    with pytest.raises(ClientError, match="lost"):
        follower.pause(lost)
    follower.feed(b":")
    assert follower.pause(lost) > 0


def test_the_address_and_the_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDEOANALYSIS_URL", raising=False)
    monkeypatch.delenv("VIDEOANALYSIS_API_KEY", raising=False)
    assert Address(None, None).url == DEFAULT_URL
    assert "Authorization" not in Address(None, None).headers
    monkeypatch.setenv("VIDEOANALYSIS_URL", "https://example.org/videos/")
    monkeypatch.setenv("VIDEOANALYSIS_API_KEY", "a key\n")
    address = Address(None, None)
    assert address.join("system") == "https://example.org/videos/system"
    assert address.headers["Authorization"] == "Bearer a key"
    assert (address.uses_proxy, address.uses_tls) == (True, True)
    for here in (Address("http://localhost:8000", None), Address("http://[::1]:8000", None)):
        assert (here.uses_proxy, here.uses_tls) == (False, False)


def test_a_password_in_the_address_is_in_no_error() -> None:
    with (
        Client("http://user:secret@127.0.0.1:1/", retries=0) as client,
        pytest.raises(ClientError, match=r"The service at http://127\.0\.0\.1:1 was not reached") as error,
    ):
        client.system()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://example.org", "http://", "http://host:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ClientError, match="no address"):
        Client(url)


def test_parameters_are_written_as_the_api_reads_them() -> None:
    at = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    request = get("scenarios", "../x", live=True, name=None, from_time=at, limit=3)
    assert request.path == "scenarios/..%2Fx"
    asked = next(read_raw("/scenarios?limit=3&text=a%20b", limit=4))
    assert asked == Request(path="scenarios", parameters={"limit": "4", "text": "a b"}, is_repeatable=True)
    assert request.parameters == {"live": "true", "from_time": "2026-01-31T09:30:00+00:00", "limit": "3"}
    with pytest.raises(ValueError, match="`from_time` needs a time zone"):
        get("events", from_time=at.replace(tzinfo=None))

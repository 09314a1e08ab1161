"""Creating scenarios."""

from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from anyio import sleep_forever

from app.bus import BusUnavailableError
from app.domain.detector_config import Objects
from app.domain.spec import ScenarioSpec
from app.messages import CreateScenario, Message
from app.postgres import Database
from tests.api.conftest import FakeBus, Start, connected
from tests.support.rows import add_scenario

TRACKING = {"max_gap_seconds": 2.0, "min_confidence": 0.3}
PRESENCE = {"max_gap_seconds": 2.0}
BODY = {"source": "clip.mp4", "detector": {"type": "marker"}}


async def test_post_creates_a_scenario_and_returns_its_location(
    http: httpx.AsyncClient, bus: FakeBus
) -> None:
    response = await http.post("/scenarios", json=BODY | {"name": "front door", "sampling": {"mode": "all"}})
    body = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/scenarios/{body['id']}"
    assert body["reason"]["code"] == "no_runner"  # the bus of this test has none
    assert body | {"id": "", "reason": None, "created_at": "", "updated_at": ""} == {
        "id": "",
        "name": "front door",
        "tags": [],
        "replaces": None,
        "replaced_by": None,
        "batch": None,
        "recorded_at": None,
        "state": "init_startup",
        "outcome": None,
        "error": None,
        "reason": None,
        "warnings": [],
        "source": "clip.mp4",
        "detector": {"type": "marker", "codes": ["aruco"], "dictionary": "5x5_1000"},
        "sampling": {"mode": "all"},
        "restart": {"policy": "on_failure", "max_restarts": 5},
        "track": None,
        "aspect": None,
        "tracking": None,
        "presence": None,
        "zones": [],
        "lines": [],
        "alerts": [],
        "notify": None,
        "attempt": 1,
        "runner_id": None,
        "source_state": None,
        "progress": {
            "percent": None,
            "fps": None,
            "eta_seconds": None,
            "position_seconds": 0.0,
            "frames_read": 0,
            "frames_sampled": 0,
            "frames_dropped": 0,
            "frames_failed": 0,
            "detections": 0,
        },
        "media": None,
        "inference": None,
        "created_at": "",
        "updated_at": "",
    }
    assert (await http.get(response.headers["location"])).json() == body
    topic, message, key = bus.published[0]
    assert (topic, key) == ("orchestrator_commands", body["id"])
    assert isinstance(message, CreateScenario)


async def test_a_repeated_post_with_the_same_key_creates_nothing_more(
    http: httpx.AsyncClient, bus: FakeBus
) -> None:
    headers = {"Idempotency-Key": "order 66"}
    first = await http.post("/scenarios", json=BODY, headers=headers)
    again = await http.post("/scenarios", json=BODY, headers=headers)
    assert again.status_code == first.status_code == 201
    assert again.json() == first.json()
    assert len((await http.get("/scenarios")).json()["items"]) == 1
    assert len({msgspec.json.encode(message) for _, message, _ in bus.published}) == 1, "one command"


async def test_a_repeated_post_with_the_same_id_creates_nothing_more(http: httpx.AsyncClient) -> None:
    body = BODY | {"id": str(uuid4())}
    first = await http.post("/scenarios", json=body)
    again = await http.post("/scenarios", json=body)
    assert first.json()["id"] == body["id"]
    assert again.json() == first.json()


@pytest.mark.parametrize(("headers", "extra"), [({"Idempotency-Key": "k"}, {}), ({}, {"id": str(uuid4())})])
async def test_a_different_body_with_the_same_key_or_id_is_refused(
    http: httpx.AsyncClient, headers: dict[str, str], extra: dict[str, str]
) -> None:
    await http.post("/scenarios", json=BODY | extra, headers=headers)
    other = await http.post("/scenarios", json=BODY | extra | {"source": "other.mp4"}, headers=headers)
    assert other.status_code == 422
    assert other.json()["type"] == "/problems/mismatch"
    assert len((await http.get("/scenarios")).json()["items"]) == 1


async def test_callers_with_different_keys_do_not_share_idempotency_keys(start: Start) -> None:
    keys = "first-secret-key", "second-secret-key"
    async with start(api_keys=keys, trust_loopback=True) as app, connected(app) as http:
        ids = set()
        for key in (*keys, None):
            headers = {"Idempotency-Key": "same"} | ({"Authorization": f"Bearer {key}"} if key else {})
            ids.add((await http.post("/scenarios", json=BODY, headers=headers)).json()["id"])
        assert len(ids) == 3


@pytest.mark.parametrize(
    ("detector", "sent", "stored"),
    [
        ({"type": "objects"}, {}, (TRACKING, None)),
        ({"type": "objects"}, {"presence": {}}, (TRACKING, PRESENCE)),
        ({"type": "onnx", "model": "m.onnx"}, {}, (TRACKING, None)),
        ({"type": "onnx", "model": "m.onnx", "layout": "classifier"}, {}, (None, PRESENCE)),
        ({"type": "people"}, {"tracking": None}, (None, PRESENCE)),
        ({"type": "face"}, {"tracking": None, "presence": None}, (None, None)),
        ({"type": "marker"}, {}, (None, None)),
        ({"type": "motion"}, {"presence": {"max_gap_seconds": 9}}, (None, {"max_gap_seconds": 9.0})),
        ({"type": "mock"}, {"tracking": {"max_gap_seconds": 1}}, (TRACKING | {"max_gap_seconds": 1.0}, None)),
    ],
)
async def test_a_thing_is_told_once_as_an_object_or_a_label_unless_the_request_says_otherwise(
    http: httpx.AsyncClient, detector: Any, sent: Any, stored: Any
) -> None:
    created = await http.post("/scenarios", json={"source": "clip.mp4", "detector": detector, **sent})
    assert (created.json()["tracking"], created.json()["presence"]) == stored
    assert (await http.get(created.headers["location"])).json() == created.json()


async def test_a_request_that_an_older_version_stored_is_repeated(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    scenario_id = await add_scenario(scenarios, spec=ScenarioSpec("clip.mp4", Objects()))
    body = {"source": "clip.mp4", "detector": {"type": "objects"}, "id": str(scenario_id)}
    again = await http.post("/scenarios", json=body)
    assert (again.status_code, again.json()["tracking"]) == (201, None)
    other = await http.post("/scenarios", json=body | {"tracking": {"max_gap_seconds": 9}})
    assert (other.status_code, other.json()["type"]) == (422, "/problems/mismatch")


async def test_zones_lines_alerts_and_notify_come_back_as_they_were_sent(http: httpx.AsyncClient) -> None:
    rules = {
        "zones": [
            {
                "name": "yard",
                "polygon": [[0.1, 0.2], [0.9, 0.2], [0.9, 1]],
                "anchor": "center",
                "ignore": False,
            }
        ],
        "lines": [{"name": "door", "from": [0.2, 0.5], "to": [0.8, 0.5]}],
        "alerts": [
            {
                "name": "wrong way",
                "labels": ["car"],
                "zone": None,
                "line": "door",
                "direction": "left",
                "min_seconds": 0.0,
                "min_confidence": 0.5,
                "cooldown_seconds": 60.0,
            }
        ],
        "notify": {"channels": ["ops"], "on": ["alert", "zone"], "recordings": True},
    }
    created = await http.post("/scenarios", json=BODY | rules | {"tracking": {}})
    assert created.status_code == 201
    assert {name: created.json()[name] for name in rules} == rules


async def test_frames_too_far_apart_for_tracking_are_told_from_the_beginning(http: httpx.AsyncClient) -> None:
    body = {"source": "clip.mp4", "detector": {"type": "objects"}, "sampling": {"mode": "fps", "fps": 0.1}}
    created = (await http.post("/scenarios", json=body)).json()
    assert [warning["code"] for warning in created["warnings"]] == ["sampled_rarely"]
    assert (await http.get(f"/scenarios/{created['id']}")).json()["warnings"] == created["warnings"]
    for other in ({"tracking": None}, {"tracking": {"max_gap_seconds": 20}}):
        assert (await http.post("/scenarios", json=body | other)).json()["warnings"] == []


async def test_an_aspect_is_stored_and_a_wrong_one_refused(http: httpx.AsyncClient) -> None:
    created = await http.post("/scenarios", json=BODY | {"aspect": "16:9"})
    assert (created.status_code, created.json()["aspect"]) == (201, "16:9")
    for wrong in ("16/9", "0:9", "x" * 300, 1.5):
        refused = (await http.post("/scenarios", json=BODY | {"aspect": wrong})).json()
        assert (refused["status"], refused["field"]) == (422, "aspect")
        assert len(refused["detail"]) < 200


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"zones": [{"name": "a", "polygon": [[0, 0], [1, 1]]}]}, "zones[0].polygon"),
        ({"zones": [{"name": "a", "polygon": [[0, 0], [1, 1], [2, 0]]}]}, "zones[0].polygon[2][0]"),
        ({"lines": [{"name": "a", "from": [0, 0]}]}, "lines[0].to"),
        ({"alerts": [{"name": str(n)} for n in range(33)]}, "alerts"),
        ({"zones": [{"name": str(n), "polygon": [[0, 0], [1, 0], [1, 1]]} for n in range(33)]}, "zones"),
        ({"lines": [{"name": str(n), "from": [0, 0], "to": [1, 1]} for n in range(33)]}, "lines"),
        ({"zones": [{"name": "a", "polygon": [[n / 64, n % 2] for n in range(65)]}]}, "zones[0].polygon"),
        ({"tracking": {"max_gap_seconds": 60.1}}, "tracking.max_gap_seconds"),
        ({"presence": {"max_gap_seconds": 61}}, "presence.max_gap_seconds"),
        ({"notify": {"channels": []}}, "notify.channels"),
        ({"tracking": {"max_gap": 3}}, "tracking.max_gap"),
        ({"lines": [{"name": "a", "from": [0, 0], "to": [1, 1]}]}, "lines[0]"),  # marker has no tracking
        ({"alerts": [{"name": "a", "zone": "yard"}], "tracking": {}}, "alerts[0].zone"),
        ({"notify": {"channels": ["ops"]}, "tracking": {}}, "notify.on[0]"),
    ],
)  # fmt: skip
async def test_rules_that_cannot_be_are_refused(http: httpx.AsyncClient, rules: Any, field: str) -> None:
    response = await http.post("/scenarios", json=BODY | rules)
    assert (response.status_code, response.json()["field"]) == (422, field)


async def test_a_key_and_an_id_that_contradict_each_other_are_refused(http: httpx.AsyncClient) -> None:
    response = await http.post(
        "/scenarios", json=BODY | {"id": str(uuid4())}, headers={"Idempotency-Key": "k"}
    )
    assert response.status_code == 422
    assert response.json()["field"] == "id"


@pytest.mark.parametrize("key", ["", "k" * 201])
async def test_the_length_of_an_idempotency_key_is_limited(http: httpx.AsyncClient, key: str) -> None:
    response = await http.post("/scenarios", json=BODY, headers={"Idempotency-Key": key})
    assert response.status_code == 400
    assert response.json()["field"] == "Idempotency-Key"


async def test_the_id_of_a_deleted_scenario_is_never_reused(http: httpx.AsyncClient) -> None:
    body = BODY | {"id": str(uuid4())}
    await http.post("/scenarios", json=body)
    await http.post(f"/scenarios/{body['id']}/stop")
    assert (await http.delete(f"/scenarios/{body['id']}")).status_code == 204
    for again in (body, body | {"source": "other.mp4"}):
        response = await http.post("/scenarios", json=again)
        assert response.status_code == 409
        assert "choose another" in response.json()["detail"].lower()


async def test_a_command_not_handled_in_time_is_accepted(http: httpx.AsyncClient, bus: FakeBus) -> None:
    async def ignore(message: Message) -> None:
        pass

    bus.handle = ignore
    created = await http.post("/scenarios", json=BODY)
    assert created.status_code == 202
    assert created.headers["location"] == f"/scenarios/{created.json()['id']}"
    stopped = await http.post(f"/scenarios/{uuid4()}/stop")
    deleted = await http.delete(f"/scenarios/{uuid4()}")
    assert [stopped.status_code, deleted.status_code] == [202, 202]
    assert "GET the scenario" in deleted.json()["detail"]


async def test_a_command_that_the_bus_does_not_take_is_answered_with_503(start: Start, bus: FakeBus) -> None:
    async def hang(message: Message) -> None:
        await sleep_forever()

    async def refuse(message: Message) -> None:
        raise BusUnavailableError

    async with start(publish_wait=0.05) as app, connected(app) as http:
        for bus.handle in (hang, refuse):
            response = await http.post("/scenarios", json=BODY)
            problem = response.json()
            assert response.status_code == 503
            assert response.headers["retry-after"] == "2"
            assert f'"id": "{problem["scenario_id"]}"' in problem["detail"], "how to repeat it safely"
            keyed = await http.post("/scenarios", json=BODY, headers={"Idempotency-Key": "k"})
            assert "unchanged" in keyed.json()["detail"]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"source": ""}, "source", "at least 1 character."),
        ({"source": None}, "source", "must be a string, not null"),
        ({"source": "concat:a.mp4|b.mp4"}, "source", "not allowed"),
        ({"source": "file:///etc/passwd"}, "source", "not allowed"),
        ({"source": "subfile:,,start,0,end,9,:clip.mp4"}, "source", "not allowed"),
        ({"source": "data:video/mp4;base64,AAAA"}, "source", "not allowed"),
        ({"source": "../clip.mp4"}, "source", ".."),
        ({"source": "a\0b"}, None, "NUL"),
        ({"detector": {"type": "unicorn"}}, "detector.type", "GET /detectors"),
        ({"detector": {}}, "detector.type", "is missing"),
        (
            {"detector": {"type": "marker", "codes": ["bar"]}},
            "detector.codes[0]",
            "must not be 'bar'; it must be one of aruco, qr.",
        ),
        (
            {"detector": {"type": "marker", "dictionary": "DICT_4X4_50"}},
            "detector.dictionary",
            "must not be 'DICT_4X4_50'; it must be one of 4x4_100, 4x4_1000, 4x4_250, 4x4_50, 5x5_100",
        ),
        ({"detector": {"type": "marker", "codes": []}}, "detector.codes", "at least 1 item."),
        ({"detector": {"type": "onnx", "model": "a.onnx", "labels": []}}, "detector.labels", "Leave it out"),
        ({"detector": {"type": "remote", "url": "http://gpu:8000/yolo"}}, "detector.url", ""),
        ({"detector": {"type": "remote", "url": "http://a:b@gpu/v2/models/yolo"}}, "detector.url", ""),
        ({"detector": {"type": "remote", "url": "ftp://gpu/v2/models/yolo"}}, "detector.url", ""),
        ({"sampling": {"mode": "fps", "fps": -2}}, "sampling.fps", "a number greater than 0"),
        ({"sampling": {"mode": "fps", "fps": "2"}}, "sampling.fps", "must be a number, not a string"),
        ({"sampling": {"mode": "some"}}, "sampling.mode", "all, fps and keyframes"),
        ({"restart": {"policy": "on_failure", "max_restarts": 1.5}}, "restart.max_restarts", "whole number"),
        ({"restart": {"policy": "always"}}, "restart.policy", "live"),
        ({"recorded_at": "0001-01-01T00:00:00+14:00"}, "recorded_at", "from 1900 to 2999"),
        ({"recorded_at": "9999-12-31T23:59:59Z"}, "recorded_at", "from 1900 to 2999"),
        ({"name": "x" * 201}, "name", "at most 200 characters"),
        ({"nmae": "typo"}, "nmae", "is not known"),
        ({"id": "7"}, "id", "UUID"),
    ],
)
async def test_an_invalid_value_is_named(
    http: httpx.AsyncClient, bus: FakeBus, change: dict[str, Any], field: str | None, words: str
) -> None:
    response = await http.post("/scenarios", json=BODY | change)
    problem = response.json()
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert problem.get("field") == field
    assert words in problem["detail"]
    assert not bus.published


async def test_the_restart_policy_always_is_allowed_for_a_camera(http: httpx.AsyncClient) -> None:
    body = BODY | {"source": "rtsp://camera/stream", "restart": {"policy": "always"}}
    assert (await http.post("/scenarios", json=body)).status_code == 201


async def test_credentials_in_a_source_are_never_shown(http: httpx.AsyncClient, scenarios: Database) -> None:
    source = "rtsp://admin:hunter2@camera/stream"
    created = await http.post("/scenarios", json=BODY | {"source": source})
    listed = await http.get("/scenarios")
    assert created.json()["source"] == "rtsp://***@camera/stream"
    assert "hunter2" not in created.text + listed.text
    async with scenarios.connection() as connection:
        assert source in await connection.fetchval("SELECT spec FROM scenarios")

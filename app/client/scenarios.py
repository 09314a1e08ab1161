"""What a client does with scenarios and what they found."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO

from ..domain.prediction import Prediction
from .answers import AcceptedCommand, EventRecord, Page, ScenarioStatus, ToldScenario
from .procedures import (
    FilePath,
    Id,
    Listing,
    Procedure,
    Request,
    ask,
    creation_headers,
    decoded,
    get,
    has_changed,
    join,
    save,
    send_json,
    settle,
    vanish,
    wait_for,
)


def create(
    source: str, detector: Mapping[str, Any], *, idempotency_key: str | None = None, **options: Any
) -> Procedure[ScenarioStatus]:
    """Create a scenario and start it. `options` are the other fields of POST /scenarios.

    It is sent again if the connection is lost, and then creates at most one: the key is random if none is
    given, unless `id` is. Raises ClientError, and ValueError for a key that no header can have.
    """
    headers = creation_headers(options, idempotency_key)
    body = {"source": source, "detector": detector, **options}
    reply = yield send_json("POST", "scenarios", body, headers=headers, is_repeatable=True)
    made = get("scenarios", decoded(reply, AcceptedCommand).id)
    return (yield from settle(reply, made, ScenarioStatus))


def read(scenario_id: Id) -> Procedure[ScenarioStatus]:
    """Return a scenario. Raises ClientError (404 if there is none)."""
    return (yield from ask(get("scenarios", scenario_id), ScenarioStatus))


def find(
    *,
    state: str | None = None,
    outcome: str | None = None,
    name: str | None = None,
    tag: str | None = None,
    text: str | None = None,
    source: str | None = None,
    found: str | None = None,
    live: bool | None = None,
    ended: bool | None = None,
    batch: Id | None = None,
    order: str | None = None,
    limit: int = 100,
) -> Listing[ScenarioStatus]:
    """Iterate over the scenarios that fit all of these, newest first (`order="asc"`: oldest first).

    `limit` is that of a page. Raises ClientError.
    """
    return Listing(get("scenarios", **locals()), Page[ScenarioStatus])


def stop(scenario_id: Id) -> Procedure[ScenarioStatus]:
    """Stop a scenario; what it stored stays. Returns it as it is then. Raises ClientError."""
    path = join("scenarios", scenario_id, "stop")
    reply = yield Request(method="POST", path=path, is_repeatable=True)
    return (yield from settle(reply, get("scenarios", scenario_id), ScenarioStatus, _stops))


def start(scenario_id: Id) -> Procedure[ScenarioStatus]:
    """Start a scenario again, after its last stored frame. Returns it as it is then. Raises ClientError."""
    reply = yield Request(method="POST", path=join("scenarios", scenario_id, "start"))
    request = get("scenarios", scenario_id)
    return (yield from settle(reply, request, ScenarioStatus, lambda found: not found.has_ended))


def patch(scenario_id: Id, **changes: Any) -> Procedure[ScenarioStatus]:
    """Change `name`, `tags` or `recorded_at`; what is left out stays. Raises ClientError."""
    reply = yield send_json("PATCH", join("scenarios", scenario_id), changes, is_repeatable=True)
    request = get("scenarios", scenario_id)
    return (yield from settle(reply, request, ScenarioStatus, partial(has_changed, changes)))


def delete(scenario_id: Id) -> Procedure[None]:
    """Delete a scenario that has ended, with all that it stored. Raises ClientError."""
    reply = yield Request(method="DELETE", path=join("scenarios", scenario_id))
    yield from vanish(reply, get("scenarios", scenario_id))


def predictions(
    scenario_id: Id,
    *,
    from_frame: int | None = None,
    to_frame: int | None = None,
    from_time: float | datetime | None = None,
    to_time: float | datetime | None = None,
    label: str | None = None,
    min_confidence: float | None = None,
    limit: int = 1000,
) -> Listing[Prediction]:
    """Iterate over sampled frames and what was found in them. `limit` is that of a page.

    With `label` or `min_confidence`, only frames that have such a detection. Raises ClientError.
    """
    parameters = {name: value for name, value in locals().items() if name != "scenario_id"}
    return Listing(get("scenarios", scenario_id, "predictions", **parameters), Page[Prediction])


def events(
    scenario_id: Id | None = None,
    *,
    kind: str | None = None,
    label: str | None = None,
    name: str | None = None,
    track: int | None = None,
    state: str | None = None,
    from_time: float | datetime | None = None,
    to_time: float | datetime | None = None,
    order: str | None = None,
    limit: int = 1000,
) -> Listing[EventRecord]:
    """Iterate over what happened in a scenario's video, or in all videos if none is given.

    `limit` is that of a page. `track` is for one scenario. Raises ClientError.
    """
    parameters = {name: value for name, value in locals().items() if name != "scenario_id"}
    path = ("events",) if scenario_id is None else ("scenarios", scenario_id, "events")
    return Listing(get(*path, **parameters), Page[EventRecord])


def wait(
    scenario_id: Id,
    *,
    timeout: float | None = None,
    every: float = 1.0,
    told: ToldScenario | None = None,
) -> Procedure[ScenarioStatus]:
    """Wait until a scenario has ended, and return it, whatever its outcome. `told` is called as it goes on.

    A service that is away, as when it is restarted, is waited for, up to a minute. Raises ClientError, and
    TimeoutError after `timeout` seconds.
    """
    read_it = partial(read, scenario_id)
    return (yield from wait_for(read_it, lambda found: found.has_ended, told, every, timeout))


def export(
    scenario_id: Id,
    file_format: str,
    to: FilePath | BinaryIO,
    *,
    what: str = "predictions",
    **filters: object,
) -> Procedure[None]:
    """Write predictions or events to a file in a format of GET /scenarios/{id}/export, such as `csv`.

    A file is there once it is whole. `filters` are the other parameters. Raises ClientError and OSError.
    """
    yield save(to, "scenarios", scenario_id, "export", format=file_format, what=what, **filters)


def _stops(found: ScenarioStatus) -> bool:
    return found.has_ended or found.state in ("init_shutdown", "in_shutdown_processing")

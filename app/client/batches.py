"""What a client does with batches."""

from collections.abc import Mapping
from functools import partial
from typing import Any, BinaryIO

from .answers import AcceptedCommand, BatchStatus, FramesOfScenario, Page, ToldBatch
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
    wait_for,
    written,
)


def create(
    sources: str, scenario: Mapping[str, Any], *, idempotency_key: str | None = None, **options: Any
) -> Procedure[BatchStatus]:
    """Analyse the recordings that match a pattern. `options` are the other fields of POST /batches.

    It is sent again if the connection is lost, and then creates at most one, as a scenario is created.
    Raises ClientError, and ValueError for a key that no header can have.
    """
    headers = creation_headers(options, idempotency_key)
    body = {"sources": sources, "scenario": scenario, **options}
    reply = yield send_json("POST", "batches", body, headers=headers, is_repeatable=True)
    made = get("batches", decoded(reply, AcceptedCommand).id)
    return (yield from settle(reply, made, BatchStatus))


def read(batch_id: Id) -> Procedure[BatchStatus]:
    """Return a batch with its failures. Raises ClientError (404 if there is none)."""
    return (yield from ask(get("batches", batch_id), BatchStatus))


def find(
    *, state: str | None = None, name: str | None = None, tag: str | None = None, limit: int = 100
) -> Listing[BatchStatus]:
    """Iterate over the batches that fit all of these, newest first. Raises ClientError."""
    return Listing(get("batches", **locals()), Page[BatchStatus])


def stop(batch_id: Id) -> Procedure[BatchStatus]:
    """Stop a batch and its scenarios. Returns it as it is then. Raises ClientError."""
    reply = yield Request(method="POST", path=join("batches", batch_id, "stop"), is_repeatable=True)
    request = get("batches", batch_id)
    return (yield from settle(reply, request, BatchStatus, lambda found: found.state != "running"))


def start(batch_id: Id, *, failed: bool = False) -> Procedure[BatchStatus]:
    """Go on with a batch; with `failed`, also with its scenarios that failed. Raises ClientError."""
    path = join("batches", batch_id, "start")
    reply = yield Request(method="POST", path=path, parameters=written({"failed": failed}))
    request = get("batches", batch_id)
    return (yield from settle(reply, request, BatchStatus, lambda found: not found.state.startswith("stop")))


def patch(batch_id: Id, **changes: Any) -> Procedure[BatchStatus]:
    """Change `name`, `tags`, `watch` or `at_once`; what is left out stays. Raises ClientError."""
    reply = yield send_json("PATCH", join("batches", batch_id), changes, is_repeatable=True)
    request = get("batches", batch_id)
    return (yield from settle(reply, request, BatchStatus, partial(has_changed, changes)))


def delete(batch_id: Id, *, stop: bool = False) -> Procedure[None]:
    """Delete a batch with all that it stored; with `stop`, also one that runs. Raises ClientError."""
    yield Request(method="DELETE", path=join("batches", batch_id), parameters=written({"stop": stop}))


def predictions(
    batch_id: Id, *, label: str | None = None, min_confidence: float | None = None, limit: int = 1000
) -> Listing[FramesOfScenario]:
    """Iterate over what was found in all recordings, in parts of one scenario each. Raises ClientError."""
    request = get("predictions", batch=batch_id, label=label, min_confidence=min_confidence, limit=limit)
    return Listing(request, Page[FramesOfScenario])


def wait(
    batch_id: Id, *, timeout: float | None = None, every: float = 1.0, told: ToldBatch | None = None
) -> Procedure[BatchStatus]:
    """Wait until a batch is done or stopped, and return it. `told` is called as it goes on.

    A service that is away, as when it is restarted, is waited for, up to a minute. Raises ClientError, and
    TimeoutError after `timeout` seconds.
    """
    read_it = partial(read, batch_id)
    return (yield from wait_for(read_it, lambda found: found.has_ended, told, every, timeout))


def export(
    batch_id: Id, file_format: str, to: FilePath | BinaryIO, *, what: str = "predictions", **filters: object
) -> Procedure[None]:
    """Write what all recordings gave to one file in a format of GET /batches/{id}/export, such as `csv`.

    A file is there once it is whole. `filters` are the other parameters. Raises ClientError and OSError.
    """
    yield save(to, "batches", batch_id, "export", format=file_format, what=what, **filters)

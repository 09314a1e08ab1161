"""What a client does with models, channels, deliveries, recordings, and the service itself."""

from pathlib import Path
from urllib.parse import parse_qsl

from .answers import (
    ChannelStatus,
    ChannelTrial,
    DeliveryRecord,
    ModelSummary,
    ModelTrial,
    Page,
    ServiceInfo,
    UploadReceipt,
)
from .procedures import FilePath, Id, Listing, Procedure, Request, ask, get, join, written

_PNG = b"\x89PNG"
_SLOW = 60.0  # seconds for what the service itself takes up to half a minute for


def list_models() -> Listing[ModelSummary]:
    """Iterate over the models of the model folder, by name. Raises ClientError."""
    return Listing(get("models", timeout=_SLOW), Page[ModelSummary])


def read_model(name: str) -> Procedure[ModelSummary]:
    """Return how a model is understood, with its labels. Raises ClientError (404 if there is none)."""
    request = Request(path=join("models", *name.split("/")), is_repeatable=True, timeout=_SLOW)
    return (yield from ask(request, ModelSummary))


def try_model(name: str, picture: bytes | FilePath, **options: object) -> Procedure[ModelTrial]:
    """Return what a model finds in a JPEG or PNG. `options` are the parameters of POST /models/{name}/try.

    Raises ClientError and OSError.
    """
    content = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
    request = Request(
        method="POST",
        path=join("models", *name.split("/"), "try"),
        parameters=written(options),
        headers={"Content-Type": "image/png" if content.startswith(_PNG) else "image/jpeg"},
        body=content,
        is_repeatable=True,
        timeout=_SLOW,
    )
    return (yield from ask(request, ModelTrial))


def list_channels() -> Listing[ChannelStatus]:
    """Iterate over the channels that scenarios can notify. Raises ClientError."""
    return Listing(get("channels"), Page[ChannelStatus])


def test_channel(name: str) -> Procedure[ChannelTrial]:
    """Send a test message to a channel, and return whether it took it. Raises ClientError."""
    return (
        yield from ask(
            Request(method="POST", path=join("channels", name, "test"), timeout=_SLOW), ChannelTrial
        )
    )


def list_deliveries(
    *, channel: str | None = None, state: str | None = None, scenario: Id | None = None, limit: int = 1000
) -> Listing[DeliveryRecord]:
    """Iterate over deliveries of events to channels, newest first. Raises ClientError."""
    return Listing(get("deliveries", **locals()), Page[DeliveryRecord])


def retry_delivery(delivery_id: Id) -> Procedure[DeliveryRecord]:
    """Send a dead delivery again, and return it. Raises ClientError."""
    return (
        yield from ask(Request(method="POST", path=join("deliveries", delivery_id, "retry")), DeliveryRecord)
    )


def upload(file: FilePath, name: str | None = None) -> Procedure[UploadReceipt]:
    """Upload a recording, under its own name if none is given. Raises ClientError and OSError."""
    request = Request(
        method="PUT",
        path=join("media", "uploads", name or Path(file).name),
        headers={"Content-Type": "application/octet-stream"},
        body=Path(file),
        timeout=_SLOW,
    )
    return (yield from ask(request, UploadReceipt))


def describe() -> Procedure[ServiceInfo]:
    """Return version, databases and room of the service. Raises ClientError."""
    return (yield from ask(get("system"), ServiceInfo))


def read_raw(path: str, **parameters: object) -> Procedure[object]:
    """Return the JSON of any other GET, such as `read("runners")`. Raises ClientError."""
    path, _, query = path.partition("?")
    asked = {**dict(parse_qsl(query)), **written(parameters)}
    request = Request(path=path.strip("/"), parameters=asked, is_repeatable=True)
    return (yield from ask(request, object))

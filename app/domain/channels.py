"""The channels over which people are told of events: the tables of the operator's file."""

import re
import tomllib
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from .kafka_access import KafkaLogin, KafkaProtocol

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_SECRET_BYTES = range(24, 65)  # as Standard Webhooks recommends
_TABLE = "channels"

_Text = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Concurrency = Annotated[int, Meta(ge=1, le=64, description="a whole number from 1 to 64")]


class ChannelFileError(ValueError):
    """The file of channels is wrong. The text is one line: file, table, key and what is allowed."""


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`concurrency`: how many messages are sent at the same time. `ca_file`: what TLS trusts instead."""

    secret_keys: ClassVar[tuple[str, ...]] = ()

    concurrency: _Concurrency = 4
    ca_file: Annotated[_Text | None, Meta(description="the path of a PEM file with CA certificates")] = None

    def secrets(self) -> Iterator[str]:
        """Yield what must not appear in any output."""
        for key in self.secret_keys:
            if value := getattr(self, key):
                yield value

    def __repr__(self) -> str:
        return type(self).__name__  # an address may hold a secret too


class WebhookChannel(_Table, frozen=True, kw_only=True, tag="webhook"):
    """Sends HTTP requests that are signed as Standard Webhooks says."""

    secret_keys: ClassVar[tuple[str, ...]] = ("url", "secret")

    url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^/?#\s@]+([/?][^#\s]*)?$",
            description="an address like https://example.org/hook",
        ),
    ]
    secret: Annotated[
        str,
        Meta(
            pattern=r"^whsec_[A-Za-z0-9+/]+={0,2}$",
            description="whsec_ and the base64 form of 24 to 64 random bytes:"
            ' echo "whsec_$(openssl rand -base64 32)" makes one',
        ),
    ]

    def signing_key(self) -> bytes:
        """Return the key of the signatures."""
        return b64decode(self.secret.removeprefix("whsec_"), validate=True)


class MqttChannel(_Table, frozen=True, kw_only=True, tag="mqtt"):
    """Publishes to topics below `topic` of an MQTT broker."""

    secret_keys: ClassVar[tuple[str, ...]] = ("password",)

    url: Annotated[
        str,
        Meta(
            pattern=r"^mqtts?://([\w.-]+|\[[\da-fA-F:]+\])(:\d{1,5})?/?$",
            description="an address like mqtts://broker.example.org:8883",
        ),
    ]
    topic: Annotated[
        str,
        Meta(pattern=r"^[^#+\x00-\x1f\x7f]{1,200}$", description="up to 200 characters without # and +"),
    ] = "videoanalysis"
    username: Annotated[_Text | None, Meta(description="a user name")] = None
    password: Annotated[_Text | None, Meta(description="a password")] = None
    home_assistant: Annotated[
        Annotated[str, Meta(pattern=r"^[^#+\x00-\x1f\x7f]{1,200}$")] | None,
        Meta(description='its discovery prefix, "homeassistant" unless changed there'),
    ] = None


class KafkaChannel(_Table, frozen=True, kw_only=True, tag="kafka"):
    """Writes to a topic of Kafka, with the scenario's id as the key."""

    secret_keys: ClassVar[tuple[str, ...]] = ("password",)

    servers: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^([\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}$")], ...],
        Meta(min_length=1, description='a list like ["kafka-1:9092", "kafka-2:9092"]'),
    ]
    topic: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._-]{1,249}$", description="up to 249 letters, digits or . _ -")
    ]
    security_protocol: KafkaProtocol = "PLAINTEXT"
    sasl_mechanism: KafkaLogin = "SCRAM-SHA-512"
    username: Annotated[_Text | None, Meta(description="a user name")] = None
    password: Annotated[_Text | None, Meta(description="a password")] = None


Channel: TypeAlias = WebhookChannel | MqttChannel | KafkaChannel
_TYPES: dict[str, type[Channel]] = {
    str(kind.__struct_config__.tag): kind for kind in (WebhookChannel, MqttChannel, KafkaChannel)
}


def type_of(channel: Channel) -> str:
    """Return the type as the file names it."""
    return str(channel.__struct_config__.tag)


def parse_channels(text: str, file: str) -> dict[str, Channel]:
    """Return the channels of a file by name. `file` is its name, for errors.

    Raises:
        ChannelFileError: it is no TOML, or a table is wrong.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ChannelFileError(f"{file} is no TOML: {error}") from None
    for name in tables:
        if name != _TABLE:
            raise ChannelFileError(
                f"{file}: {name!r} is unknown: write each channel as [{_TABLE}.<its name>]"
            )
    named = tables.get(_TABLE, {})
    if not isinstance(named, dict):
        raise ChannelFileError(f"{file}: `{_TABLE}` must hold tables: write each as [{_TABLE}.<its name>]")
    return {name: _parse(table, name, f"{file}: [{_TABLE}.{name}]") for name, table in named.items()}


def _parse(table: object, name: str, place: str) -> Channel:
    if not _NAME.fullmatch(name):
        raise ChannelFileError(f"{place}: a channel's name is up to 100 letters, digits or . _ -")
    if not isinstance(table, dict) or table.get("type") not in _TYPES:
        raise ChannelFileError(f"{place}: `type` must be {', '.join(_TYPES)}")
    kind = _TYPES[table["type"]]
    try:
        channel = msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise ChannelFileError(f"{place}: {_in_words(str(error), kind)}") from None
    return _checked(channel, place)


def _checked(channel: Channel, place: str) -> Channel:
    """Check what patterns do not say. Raises ChannelFileError."""
    match channel:
        case WebhookChannel():
            _check_port(channel.url, place, "url")
            try:
                size = len(channel.signing_key())
            except Base64Error:
                size = 0
            if size not in _SECRET_BYTES:
                raise ChannelFileError(f"{place}: `secret` must be {_descriptions(WebhookChannel)['secret']}")
        case MqttChannel():
            _check_port(channel.url, place, "url")
            if channel.password is not None and channel.username is None:
                raise ChannelFileError(f"{place}: `password` needs a `username`")
        case KafkaChannel():
            for server in channel.servers:
                _check_port(f"kafka://{server}", place, "servers")
            if channel.security_protocol.startswith("SASL") and not (channel.username and channel.password):
                protocol = channel.security_protocol
                raise ChannelFileError(
                    f"{place}: `security_protocol` {protocol} needs `username` and `password`"
                )
    return channel


def _check_port(url: str, place: str, key: str) -> None:
    try:
        port = urlsplit(url).port
    except ValueError:
        port = 0
    if port == 0:
        raise ChannelFileError(f"{place}: `{key}` has no valid host and port: ports are 1 to 65535")


def _in_words(fault: str, kind: type[Channel]) -> str:
    """Return what is wrong with a table, without any of its values, one of which may be a secret."""
    said = _descriptions(kind)
    if found := re.search(r"missing required field `(\w+)`", fault):
        return f"`{found[1]}` is missing: it must be {said[found[1]]}"
    if found := re.search(r"unknown field `([^`]+)`", fault):
        near = get_close_matches(found[1], said, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(said)}"
        return f"`{found[1]}` is no key of this type: {hint}"
    found = re.search(r"at `\$\.(\w+)", fault)
    key = found[1] if found else "type"
    return f"`{key}` is wrong: it must be {said[key]}"


def _descriptions(kind: type[Channel]) -> Mapping[str, str]:
    """Return what each key must be."""
    schema: dict[str, Any] = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    return {key: str(about.get("description", ", ".join(_TYPES))) for key, about in schema.items()}

"""Settings: every VA_* variable, in one frozen Struct."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import msgspec
from dotenv.parser import Binding, parse_stream
from msgspec import Meta, Struct
from msgspec.inspect import CollectionType, type_info

from .domain.kafka_access import KafkaLogin, KafkaProtocol
from .domain.networks import Networks

Role = Literal["api", "orchestrator", "runner", "notifier", "inference"]
ROLES: frozenset[Role] = frozenset(get_args(Role))
DEFAULT_ROLES: frozenset[Role] = ROLES - {"inference"}
"""What one process does that analyses videos and tells people of events."""
NEEDED_ROLES: frozenset[Role] = DEFAULT_ROLES - {"notifier"}
"""What one process needs to analyse videos."""
WITHOUT_BUS: frozenset[Role] = ROLES - NEEDED_ROLES
"""What a process can do that is joined to no others by a bus."""

_Dsn = Annotated[
    Annotated[str, Meta(pattern="^postgres(ql)?://.")] | None,
    Meta(
        description="a database address, postgresql://user:password@host:5432/database",
        extra={"secret": True},
    ),
]
_Keys = Annotated[
    tuple[Annotated[str, Meta(min_length=16)], ...],
    Meta(description="keys of at least 16 characters each, separated by commas", extra={"secret": True}),
]
_Folder = Annotated[Path, Meta(description="a folder that exists", extra={"exists": Path.is_dir})]
_File = Annotated[Path | None, Meta(description="a file that exists", extra={"exists": Path.is_file})]
_Seconds = Annotated[float, Meta(gt=0, le=3600, description="a number of seconds above 0, at most 3600")]
_Days = Annotated[
    Annotated[float, Meta(gt=0, le=36_500)] | None,
    Meta(description="a number of days above 0, at most 36500"),
]
_Gigabytes = Annotated[float, Meta(ge=0, le=1_000_000, description="a number of gigabytes from 0 to 1000000")]
_Count = Annotated[int, Meta(ge=1, le=1000, description="a whole number from 1 to 1000")]
_Port = Annotated[int, Meta(ge=1, le=65535, description="a port number from 1 to 65535")]
_Servers = Annotated[
    tuple[Annotated[str, Meta(pattern=r"^[\w.-]+:\d{1,5}$|^\[[\da-fA-F:]+\]:\d{1,5}$")], ...],
    Meta(description="addresses like kafka-1:9092, separated by commas"),
]


class SettingsError(Exception):
    """A setting is wrong. The text is one line for the user: which variable, and what is allowed."""


class Settings(Struct, frozen=True, kw_only=True):
    """The settings. The field `port` is the variable VA_PORT; its description says what is allowed.

    Raises:
        SettingsError: the values of two fields contradict each other.
    """

    roles: Annotated[
        frozenset[Role], Meta(description="one or more of api, orchestrator, runner, notifier, inference")
    ] = DEFAULT_ROLES
    bus: Annotated[Literal["memory", "kafka"], Meta(description="memory or kafka")] = "memory"
    kafka_bootstrap_servers: _Servers = ()
    kafka_topic_prefix: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}$", description="up to 100 letters, digits or . _ -")
    ] = ""
    kafka_partitions: _Count = 12
    kafka_replication: Annotated[int, Meta(ge=1, le=10, description="a whole number from 1 to 10")] = 1
    kafka_security_protocol: KafkaProtocol = "PLAINTEXT"
    kafka_sasl_mechanism: KafkaLogin = "SCRAM-SHA-512"
    kafka_username: Annotated[str, Meta(description="a user name")] = ""
    kafka_password: Annotated[str, Meta(description="a password", extra={"secret": True})] = ""
    kafka_ca_file: _File = None
    kafka_certificate_file: _File = None
    kafka_key_file: _File = None
    kafka_port: Annotated[int, Meta(ge=1, le=65534, description="a port number from 1 to 65534")] = 9092
    scenarios_dsn: _Dsn = None
    predictions_dsn: _Dsn = None
    data_dir: Annotated[Path, Meta(description="a folder")] = Path("data")
    media_root: _Folder = Path("media")
    uploads: Annotated[bool | None, Meta(description="true or false")] = None
    upload_max_gb: _Gigabytes = 10.0
    upload_min_free_gb: _Gigabytes = 1.0
    model_root: _Folder = Path("models")
    source_networks: Annotated[
        Networks,
        Meta(description="public, private, loopback or networks like 192.168.7.0/24, separated by commas"),
    ] = Networks("public,private")
    runner_id: Annotated[
        str, Meta(pattern=r"^[\w.:-]{0,200}$", description="up to 200 letters, digits or . : _ -")
    ] = ""
    runner_slots: _Count = 4
    decoding: Annotated[Literal["thread", "process"], Meta(description="thread or process")] = "thread"
    live_retention_days: _Days = None
    evidence_max_gb: _Gigabytes = 10.0
    channels_file: _File = None
    notify_networks: Annotated[
        Networks,
        Meta(description="public, private, loopback or networks like 192.168.7.0/24, separated by commas"),
    ] = Networks("public,private")
    inference: Annotated[
        str,
        Meta(
            pattern=r"^(onnxruntime|openvino(:[A-Za-z]+(\.\d+)?)?|remote|cuda|tensorrt|coreml)$",
            description="onnxruntime, openvino, openvino:GPU (or another device), remote, cuda, tensorrt"
            " or coreml",
        ),
    ] = "onnxruntime"
    inference_precision: Annotated[
        Literal["fp32", "bf16", "fp16"], Meta(description="fp32, bf16 or fp16")
    ] = "fp32"
    inference_urls: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^https?://[^/?#\s@]+(/[\w.~-]+)*/?$")], ...],
        Meta(description="addresses like http://inference:8000, separated by commas"),
    ] = ()
    inference_key: Annotated[
        Annotated[str, Meta(pattern="^[!-~]{16,}$")] | None,  # a header of HTTP holds no others
        Meta(description="a key of at least 16 ASCII characters without spaces", extra={"secret": True}),
    ] = None
    inference_max_body_mb: _Count = 64
    inference_batch: Annotated[int, Meta(ge=1, le=64, description="a whole number from 1 to 64")] = 1
    heartbeat_interval: _Seconds = 1.0
    heartbeat_timeout: _Seconds = 10.0
    postgres_bin: Annotated[
        Path | None, Meta(description="a folder that exists", extra={"exists": Path.is_dir})
    ] = None
    max_deliveries: _Count = 5
    api_keys: _Keys = ()
    viewer_keys: _Keys = ()
    trust_loopback: Annotated[bool, Meta(description="true or false")] = False
    public_url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^/?#\s@]+(/[\w.~-]+)*/?$",
            description="the address that browsers use, like https://video.example.org or "
            "https://example.org/video",
        ),
    ] = ""
    rate_limit: Annotated[float, Meta(ge=1, le=100_000, description="a number from 1 to 100000")] = 100.0
    log_format: Annotated[Literal["text", "json"], Meta(description="text or json")] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="debug, info, warning or error")
    ] = "info"
    host: Annotated[str, Meta(pattern=r"^[\w.:][\w.:-]*$", description="an address or a host name")] = (
        "127.0.0.1"
    )
    port: _Port = 8000

    def __post_init__(self) -> None:
        missing = ", ".join(sorted(NEEDED_ROLES - self.roles))
        if self.roles <= WITHOUT_BUS:
            if "notifier" in self.roles and self.predictions_dsn is None:
                raise SettingsError(
                    "VA_ROLES has notifier without the roles that store events:"
                    " set VA_PREDICTIONS_DSN to the database in which they do"
                )
        elif missing and self.bus == "memory":
            raise SettingsError(
                f"VA_ROLES lacks {missing}, but with VA_BUS=memory one process needs them:"
                " leave VA_ROLES unset, or set VA_BUS=kafka"
            )
        if self.viewer_keys and (not self.api_keys or set(self.viewer_keys) & set(self.api_keys)):
            raise SettingsError("VA_VIEWER_KEYS needs VA_API_KEYS: set both, to different keys")
        if self.inference == "remote":
            self._check_remote()
        if self.bus == "kafka":
            self._check_kafka()
        if self.heartbeat_timeout < 3 * self.heartbeat_interval:
            raise SettingsError(
                f"VA_HEARTBEAT_TIMEOUT={self.heartbeat_timeout:g} must be at least three times"
                f" VA_HEARTBEAT_INTERVAL={self.heartbeat_interval:g}: raise the one, or lower the other"
            )

    def _check_remote(self) -> None:
        if not self.inference_urls:
            raise SettingsError(
                "VA_INFERENCE=remote needs VA_INFERENCE_URLS:"
                " set it to the addresses of the inference servers, such as http://inference:8000"
            )
        if self.inference_precision != "fp32":
            raise SettingsError(
                "VA_INFERENCE_PRECISION has no effect with VA_INFERENCE=remote:"
                " set it on the inference servers"
            )
        if "inference" in self.roles:
            raise SettingsError(
                "VA_INFERENCE=remote is for runners, but VA_ROLES has inference, which computes itself:"
                " choose another VA_INFERENCE, or leave inference out of VA_ROLES"
            )

    def _check_kafka(self) -> None:
        if not self.kafka_bootstrap_servers:
            raise SettingsError(
                "VA_BUS=kafka needs VA_KAFKA_BOOTSTRAP_SERVERS:"
                " set it to the addresses of the brokers, such as kafka-1:9092"
            )
        protocol = self.kafka_security_protocol
        if protocol.startswith("SASL") and not (self.kafka_username and self.kafka_password):
            raise SettingsError(
                f"VA_KAFKA_SECURITY_PROTOCOL={protocol} needs VA_KAFKA_USERNAME and VA_KAFKA_PASSWORD:"
                " set both"
            )
        if (self.kafka_certificate_file is None) != (self.kafka_key_file is None):
            raise SettingsError(
                "VA_KAFKA_CERTIFICATE_FILE and VA_KAFKA_KEY_FILE need each other: set both, or neither"
            )

    @property
    def address(self) -> str:
        """The address that `make run` listens on, as in a URL."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def takes_uploads(self) -> bool:
        """Whether files may be uploaded: unless it is set, if one process does everything."""
        return self.bus == "memory" if self.uploads is None else self.uploads

    @property
    def path_prefix(self) -> str:
        """The path of `public_url`, such as `/video`, which a proxy removes from each request."""
        return urlsplit(self.public_url).path.rstrip("/")

    def secrets(self) -> list[str]:
        """Return the keys and passwords, which must not appear in any output."""
        addresses = " ".join(filter(None, (self.scenarios_dsn, self.predictions_dsn)))
        found = re.findall(r"://[^:/?\s]*:(\S+)@|[?&]\w*password=([^&\s]+)", addresses)
        return [
            secret
            for secret in (
                *self.api_keys,
                *self.viewer_keys,
                self.inference_key,
                self.kafka_password,
                *chain(*found),
            )
            if secret
        ]

    def __repr__(self) -> str:
        return f"Settings({', '.join(_representation(self, name) for name in _FIELDS)})"


def _representation(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    return f"{name}=***" if value and _is_secret(name) else f"{name}={value!r}"


def _is_secret(name: str) -> bool:
    return "secret" in (_TYPES[name].extra or {})


_FIELDS = {info.name: info for info in msgspec.structs.fields(Settings)}
_TYPES: dict[str, Any] = {name: type_info(info.type) for name, info in _FIELDS.items()}
VARIABLES = {f"VA_{name.upper()}": name for name in _FIELDS}
"""The field of each environment variable, in the order of the Struct."""


def load(environ: Mapping[str, str], dotenv: Path | None = None) -> Settings:
    """Read `environ` and, if it exists, the file `dotenv`. `environ` wins; an empty value counts as unset.

    Raises:
        SettingsError: a value is wrong, a VA_* name is unknown (VA_TEST_* names are ignored), a line of
            `dotenv` sets nothing, or a folder that was set does not exist.
    """
    given = {**read_dotenv(dotenv), **environ}
    values: dict[str, Any] = {}
    for variable, text in given.items():
        if not variable.startswith("VA_") or variable.startswith("VA_TEST_"):
            continue
        if variable not in VARIABLES:
            near = get_close_matches(variable, VARIABLES, 1, cutoff=0.75)
            raise SettingsError(
                f"{variable} is not a setting: "
                + (f"did you mean {near[0]}?" if near else "see .env.example for all of them")
            )
        if text.strip():
            values[VARIABLES[variable]] = _parse(variable, text.strip())
    return Settings(**values)


def read_dotenv(dotenv: Path | None) -> dict[str, str]:
    if dotenv is None or not dotenv.exists() or dotenv.is_dir():  # may be the folder of a virtual environment
        return {}
    try:
        with dotenv.open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))  # no interpolation: a password may contain a dollar sign
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{dotenv} cannot be read: {error}; it must be a text file in UTF-8") from None
    for binding in bindings:
        if _is_wrong(binding):
            text = binding.original.string
            blank = text[: len(text) - len(text.lstrip())]  # the empty lines before it
            line = binding.original.line + blank.count("\n")
            raise SettingsError(
                f"line {line} of {dotenv} sets nothing: write it like VA_PORT=8000, or begin it with #"
            )
    return {binding.key: binding.value or "" for binding in bindings if binding.key is not None}


def _is_wrong(binding: Binding) -> bool:
    """Return whether a line is malformed. `VA_PORT:8000` parses as a name, which may contain a secret."""
    name = binding.key or ""
    return binding.error or (binding.value is None and name.startswith("VA_") and not name.isidentifier())


def _parse(variable: str, text: str) -> object:
    name = VARIABLES[variable]
    type_ = _TYPES[name].type
    raw = (
        [part.strip() for part in text.split(",") if part.strip()]
        if isinstance(type_, CollectionType)
        else text
    )
    try:
        value: object = msgspec.convert(raw, _FIELDS[name].type, strict=False, dec_hook=_decode)
    except (msgspec.ValidationError, RuntimeError):  # RuntimeError: ~name of an unknown user
        value = None
    # A default folder is created when it is needed; one that was set must exist.
    exists = (_TYPES[name].extra or {}).get("exists")
    missing = (
        exists is not None
        and isinstance(value, Path)
        and value != _FIELDS[name].default
        and not exists(value)
    )
    if value is None or missing:
        shown = variable if _is_secret(name) else f"{variable}={text!r}"
        raise SettingsError(f"{shown} is wrong: it must be {_TYPES[name].extra_json_schema['description']}")
    return value


def _decode(type_: type[Any], text: str) -> object:
    return Path(text).expanduser() if type_ is Path else type_(text)

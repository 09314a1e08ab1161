"""Settings: where they come from, and the error of a wrong one."""

import re
from pathlib import Path

import pytest

from app.domain.networks import Networks
from app.settings import VARIABLES, Settings, SettingsError, load

ROOT = Path(__file__).parent.parent
KEY = "0123456789abcdef"
DSN = "postgresql://va:hunter2@db.example:5432/scenarios"


def _error(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_without_any_variable_the_defaults_hold() -> None:
    settings = load({"PATH": "/bin", "HOME": "/nowhere"})
    assert settings == Settings()
    assert settings.roles == {"api", "orchestrator", "runner", "notifier"}
    assert settings.runner_id == ""


def test_every_variable_arrives_in_its_type(tmp_path: Path) -> None:
    pem = tmp_path / "a.pem"
    pem.touch()
    settings = load(
        {
            "VA_ROLES": " api, runner,orchestrator,notifier",
            "VA_BUS": "kafka",
            "VA_KAFKA_BOOTSTRAP_SERVERS": "kafka-1:9092, [::1]:9093",
            "VA_KAFKA_TOPIC_PREFIX": "va.",
            "VA_KAFKA_PARTITIONS": "24",
            "VA_KAFKA_REPLICATION": "3",
            "VA_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "VA_KAFKA_SASL_MECHANISM": "PLAIN",
            "VA_KAFKA_USERNAME": "va",
            "VA_KAFKA_PASSWORD": "hunter2",
            "VA_KAFKA_CA_FILE": str(pem),
            "VA_KAFKA_CERTIFICATE_FILE": str(pem),
            "VA_KAFKA_KEY_FILE": str(pem),
            "VA_KAFKA_PORT": "9192",
            "VA_SCENARIOS_DSN": DSN,
            "VA_PREDICTIONS_DSN": "postgres:///predictions?host=/run/postgresql",
            "VA_DATA_DIR": "~/va",
            "VA_MEDIA_ROOT": str(tmp_path),
            "VA_UPLOADS": "true",
            "VA_UPLOAD_MAX_GB": "2.5",
            "VA_UPLOAD_MIN_FREE_GB": "0",
            "VA_MODEL_ROOT": str(tmp_path),
            "VA_SOURCE_NETWORKS": "loopback, 10.1.0.0/16,fd00::7",
            "VA_CHANNELS_FILE": str(pem),
            "VA_NOTIFY_NETWORKS": "loopback",
            "VA_RUNNER_ID": "runner-1",
            "VA_RUNNER_SLOTS": "2",
            "VA_INFERENCE": "remote",
            "VA_INFERENCE_URLS": "http://inference-1:8000, https://[::1]:8001/ai",
            "VA_INFERENCE_KEY": KEY + "3",
            "VA_INFERENCE_PRECISION": "fp32",
            "VA_INFERENCE_MAX_BODY_MB": "8",
            "VA_INFERENCE_BATCH": "4",
            "VA_HEARTBEAT_INTERVAL": "0.5",
            "VA_HEARTBEAT_TIMEOUT": "3",
            "VA_POSTGRES_BIN": str(tmp_path),
            "VA_MAX_DELIVERIES": "7",
            "VA_API_KEYS": f"{KEY}, {KEY}2,",
            "VA_TRUST_LOOPBACK": "true",
            "VA_PUBLIC_URL": "https://example.org/video/",
            "VA_RATE_LIMIT": "2.5",
            "VA_LOG_FORMAT": "json",
            "VA_LOG_LEVEL": "debug",
            "VA_HOST": "::1",
            "VA_PORT": "8123",
        }
    )
    assert settings == Settings(
        bus="kafka",
        kafka_bootstrap_servers=("kafka-1:9092", "[::1]:9093"),
        kafka_topic_prefix="va.",
        kafka_partitions=24,
        kafka_replication=3,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",
        kafka_username="va",
        kafka_password="hunter2",
        kafka_ca_file=pem,
        kafka_certificate_file=pem,
        kafka_key_file=pem,
        kafka_port=9192,
        scenarios_dsn=DSN,
        predictions_dsn="postgres:///predictions?host=/run/postgresql",
        data_dir=Path("~/va").expanduser(),
        media_root=tmp_path,
        uploads=True,
        upload_max_gb=2.5,
        upload_min_free_gb=0.0,
        model_root=tmp_path,
        source_networks=Networks("10.1.0.0/16,loopback,fd00::7"),
        channels_file=pem,
        notify_networks=Networks("loopback"),
        runner_id="runner-1",
        runner_slots=2,
        inference="remote",
        inference_urls=("http://inference-1:8000", "https://[::1]:8001/ai"),
        inference_key=KEY + "3",
        inference_max_body_mb=8,
        inference_batch=4,
        heartbeat_interval=0.5,
        heartbeat_timeout=3.0,
        postgres_bin=tmp_path,
        max_deliveries=7,
        api_keys=(KEY, KEY + "2"),
        trust_loopback=True,
        public_url="https://example.org/video/",
        rate_limit=2.5,
        log_format="json",
        log_level="debug",
        host="::1",
        port=8123,
    )


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("a.local", "http://a.local:8000"),
    ],
)
def test_the_address_can_be_opened_as_it_is_shown(host: str, address: str) -> None:
    assert Settings(host=host).address == address


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("# a comment\nVA_PORT=9000\nexport VA_RUNNER_SLOTS='2'\nOTHER=1\n")
    assert load({}, dotenv) == Settings(port=9000, runner_slots=2)
    assert load({"VA_PORT": "9001"}, dotenv) == Settings(port=9001, runner_slots=2)


def test_a_missing_file_is_not_an_error(tmp_path: Path) -> None:
    assert load({}, tmp_path / ".env") == Settings()


def test_a_binary_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(b"VA_PORT=\xff\n")
    with pytest.raises(SettingsError, match=r"\.env cannot be read: .* must be a text file in UTF-8$"):
        load({}, dotenv)


def test_a_dollar_sign_in_the_file_is_kept(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("VA_SCENARIOS_DSN=postgresql://va:a${HOME}b@db/scenarios\n")
    assert load({}, dotenv).scenarios_dsn == "postgresql://va:a${HOME}b@db/scenarios"


@pytest.mark.parametrize("wrong", ["VA_API_KEYS hunter2", "VA_API_KEYS:hunter2", "export VA_PORT 9", "A='b"])
def test_a_line_of_the_file_that_sets_nothing_is_named_and_not_shown(tmp_path: Path, wrong: str) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"# VA_HOST ::\n\nexport VA_RUNNER_SLOTS=2\nOTHER='a\nb'\n \n\n{wrong}\nVA_PORT=9000\n")
    with pytest.raises(SettingsError) as caught:
        load({}, dotenv)
    assert (
        str(caught.value)
        == f"line 8 of {dotenv} sets nothing: write it like VA_PORT=8000, or begin it with #"
    )


def test_variables_of_other_programs_in_the_file_are_ignored(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text('  # VA_PORT 1\n\nexport OTHER\nMY.NAME = a b # c\nKEY="a\nb"\nVA_PORT = 9000 # d\n')
    assert load({}, dotenv) == Settings(port=9000)
    folder = tmp_path / "folder"
    folder.mkdir()
    assert load({}, folder) == Settings()


def test_an_empty_value_counts_as_unset(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("VA_PORT=9000\nVA_HOST\n")
    assert load({"VA_PORT": "", "VA_API_KEYS": " "}, dotenv) == Settings()


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("VA_ROLES", "api,chef", "one or more of api, orchestrator, runner, notifier, inference"),
        ("VA_BUS", "pigeon", "memory or kafka"),
        ("VA_KAFKA_BOOTSTRAP_SERVERS", "kafka-1", "addresses like kafka-1:9092, separated by commas"),
        ("VA_KAFKA_TOPIC_PREFIX", "Ü", "up to 100 letters, digits or . _ -"),
        ("VA_KAFKA_PARTITIONS", "0", "a whole number from 1 to 1000"),
        ("VA_KAFKA_REPLICATION", "11", "a whole number from 1 to 10"),
        ("VA_KAFKA_SECURITY_PROTOCOL", "TLS", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
        ("VA_KAFKA_SASL_MECHANISM", "GSSAPI", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
        ("VA_KAFKA_CA_FILE", "/no/such/file", "a file that exists"),
        ("VA_KAFKA_PORT", "65535", "a port number from 1 to 65534"),
        ("VA_RUNNER_ID", "a b", "up to 200 letters, digits or . : _ -"),
        ("VA_RUNNER_SLOTS", "0", "a whole number from 1 to 1000"),
        ("VA_RUNNER_SLOTS", "1.5", "a whole number from 1 to 1000"),
        ("VA_HEARTBEAT_INTERVAL", "0", "a number of seconds above 0, at most 3600"),
        ("VA_HEARTBEAT_INTERVAL", "nan", "a number of seconds above 0, at most 3600"),
        ("VA_HEARTBEAT_TIMEOUT", "soon", "a number of seconds above 0, at most 3600"),
        ("VA_MEDIA_ROOT", "/no/such/folder", "a folder that exists"),
        ("VA_MODEL_ROOT", "/no/such/folder", "a folder that exists"),
        ("VA_DATA_DIR", "~nobody-of-that-name/data", "a folder"),
        ("VA_SOURCE_NETWORKS", "public,garden",
         "public, private, loopback or networks like 192.168.7.0/24, separated by commas"),
        ("VA_POSTGRES_BIN", "/no/such/folder", "a folder that exists"),
        ("VA_MAX_DELIVERIES", "-1", "a whole number from 1 to 1000"),
        ("VA_RATE_LIMIT", "0", "a number from 1 to 100000"),
        ("VA_LOG_FORMAT", "xml", "text or json"),
        ("VA_LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("VA_HOST", "a b", "an address or a host name"),
        ("VA_HOST", "--reload", "an address or a host name"),
        ("VA_PORT", "65536", "a port number from 1 to 65535"),
        ("VA_PORT", "0", "a port number from 1 to 65535"),
        ("VA_PORT", "80\n80", "a port number from 1 to 65535"),
        ("VA_UPLOAD_MAX_GB", "-1", "a number of gigabytes from 0 to 1000000"),
        ("VA_TRUST_LOOPBACK", "maybe", "true or false"),
        ("VA_PUBLIC_URL", "example.org/video",
         "the address that browsers use, like https://video.example.org or https://example.org/video"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    assert _error(**{variable: value}) == f"{variable}={value!r} is wrong: it must be {allowed}"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("VA_SCENARIOS_DSN", "mysql://va:hunter2@db/x"), ("VA_PREDICTIONS_DSN", "hunter2"),
     ("VA_API_KEYS", f"{KEY},hunter2")],
)  # fmt: skip
def test_a_wrong_secret_is_named_and_not_shown(variable: str, value: str) -> None:
    text = _error(**{variable: value})
    assert text.startswith(f"{variable} is wrong: it must be ")
    assert "hunter2" not in text
    assert KEY not in text


def test_settings_do_not_show_secrets() -> None:
    shown = repr(Settings(scenarios_dsn=DSN, kafka_password="hunter2", api_keys=(KEY,)))
    assert "hunter2" not in shown
    assert KEY not in shown
    assert "predictions_dsn=None" in shown
    assert "port=8000" in shown


def test_a_default_folder_need_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({"VA_MEDIA_ROOT": "./media"}) == Settings()


def test_the_memory_bus_needs_every_role() -> None:
    assert _error(VA_ROLES="runner") == (
        "VA_ROLES lacks api, orchestrator, but with VA_BUS=memory one process needs them:"
        " leave VA_ROLES unset, or set VA_BUS=kafka"
    )


def test_with_kafka_a_process_has_any_roles() -> None:
    settings = load({"VA_BUS": "kafka", "VA_KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "VA_ROLES": "runner"})
    assert settings.roles == {"runner"}


def test_kafka_needs_the_addresses_of_brokers() -> None:
    assert _error(VA_BUS="kafka") == (
        "VA_BUS=kafka needs VA_KAFKA_BOOTSTRAP_SERVERS:"
        " set it to the addresses of the brokers, such as kafka-1:9092"
    )


def test_kafka_settings_that_need_each_other_must_both_be_set(tmp_path: Path) -> None:
    kafka = {"VA_BUS": "kafka", "VA_KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}
    assert _error(**kafka, VA_KAFKA_SECURITY_PROTOCOL="SASL_SSL", VA_KAFKA_USERNAME="va") == (
        "VA_KAFKA_SECURITY_PROTOCOL=SASL_SSL needs VA_KAFKA_USERNAME and VA_KAFKA_PASSWORD: set both"
    )
    key = tmp_path / "key.pem"
    key.touch()
    assert _error(**kafka, VA_KAFKA_SECURITY_PROTOCOL="SSL", VA_KAFKA_KEY_FILE=str(key)) == (
        "VA_KAFKA_CERTIFICATE_FILE and VA_KAFKA_KEY_FILE need each other: set both, or neither"
    )


def test_a_timeout_below_three_intervals_is_refused() -> None:
    assert load({"VA_HEARTBEAT_INTERVAL": "2", "VA_HEARTBEAT_TIMEOUT": "6"}).heartbeat_timeout == 6
    assert _error(VA_HEARTBEAT_INTERVAL="4") == (
        "VA_HEARTBEAT_TIMEOUT=10 must be at least three times VA_HEARTBEAT_INTERVAL=4:"
        " raise the one, or lower the other"
    )


def test_a_misspelt_variable_is_refused_with_a_hint(tmp_path: Path) -> None:
    assert _error(VA_PROT="8000") == "VA_PROT is not a setting: did you mean VA_PORT?"
    assert _error(VA_COLOUR="blue") == "VA_COLOUR is not a setting: see .env.example for all of them"
    dotenv = tmp_path / ".env"
    dotenv.write_text("VA_MEDIAROOT=/x\n")
    with pytest.raises(SettingsError, match="did you mean VA_MEDIA_ROOT"):
        load({}, dotenv)


def test_variables_of_the_tests_are_ignored() -> None:
    assert load({"VA_TEST_ANYTHING": "1"}) == Settings()


def test_the_example_file_lists_every_variable_with_its_default(tmp_path: Path) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = [(number, line[1:]) for number, line in enumerate(lines) if re.match(r"#VA_\w+=", line)]
    assert [line.split("=")[0] for _, line in found] == list(VARIABLES)
    for number, line in found:
        assert lines[number - 1].startswith("# "), f"{line} has no comment"
    dotenv = tmp_path / ".env"
    dotenv.write_text("\n".join(line for _, line in found))
    assert load({}, dotenv) == Settings()

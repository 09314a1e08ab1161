"""The Kubernetes manifests are valid and consistent, and the service accepts their settings."""

import copy
import re
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import yaml

from app import __version__
from app.domain.channels import parse_channels
from app.postgres import Database
from app.settings import Settings, load
from tests.deployment import dockerfile
from tests.deployment.resources import Yaml, faults
from tests.support.paths import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
PROCESSES = ("api", "orchestrator", "runner", "notifier", "inference")


def parsed(file: Path) -> list[Yaml]:
    return list(yaml.safe_load_all(file.read_text()))


FILES = sorted(set(FOLDER.glob("*.yaml")) - {FOLDER / "kustomization.yaml", FOLDER / "secret.yaml"})
MANIFESTS = {f"{each['kind']} {each['metadata']['name']}": each for file in FILES for each in parsed(file)}
KUSTOMIZATION = parsed(FOLDER / "kustomization.yaml")[0]


def pod(name: str) -> Yaml:
    """The pod template of a deployment."""
    template: Yaml = MANIFESTS[f"Deployment {name}"]["spec"]["template"]
    return template


def container(name: str) -> Yaml:
    (only,) = pod(name)["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def told(name: str, folder: Path) -> Settings:
    """The settings of a pod in which what is mounted exists."""
    given = {each["name"]: each["value"] for each in container(name)["env"]}
    for source in container(name)["envFrom"]:
        if "secretRef" in source:
            given |= MANIFESTS[f"Secret {source['secretRef']['name']}"]["stringData"]
        else:
            given |= MANIFESTS[f"ConfigMap {source['configMapRef']['name']}"]["data"]
    here = {"VA_MEDIA_ROOT": folder, "VA_MODEL_ROOT": folder}
    mounts = {mount["mountPath"] for mount in container(name)["volumeMounts"]}
    for variable in given.keys() & {"VA_KAFKA_CA_FILE", "VA_CHANNELS_FILE"}:
        mounted = Path(given[variable])
        assert str(mounted.parent) in mounts
        here[variable] = folder / mounted.name
        here[variable].touch()
    return load(given | {variable: str(path) for variable, path in here.items()})


@pytest.mark.parametrize("name", MANIFESTS)
def test_each_manifest_fits_the_model_of_its_resource(name: str) -> None:
    assert faults(MANIFESTS[name]) is None


def test_the_models_find_a_wrong_word_and_a_wrong_type() -> None:
    wrong_word, wrong_type = (copy.deepcopy(MANIFESTS["Deployment api"]) for _ in range(2))
    wrong_word["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    wrong_type["spec"]["replicas"] = "2"
    assert "livenessProb" in str(faults(wrong_word))
    assert "$.spec.replicas" in str(faults(wrong_type))


def test_the_kustomization_holds_every_file_but_the_secrets() -> None:
    expected = {file.name for file in FILES} - {"secret.example.yaml"}
    assert set(KUSTOMIZATION["resources"]) == expected
    assert len(KUSTOMIZATION["resources"]) == len(expected)


def test_the_image_is_of_this_version() -> None:
    (image,) = KUSTOMIZATION["images"]
    assert image["newTag"] == __version__
    assert {container(name)["image"] for name in PROCESSES} == {image["name"]}


def test_everything_is_in_one_namespace() -> None:
    namespace = MANIFESTS[f"Namespace {KUSTOMIZATION['namespace']}"]["metadata"]["name"]
    others = [each for each in MANIFESTS.values() if each["kind"] != "Namespace"]
    assert {each["metadata"]["namespace"] for each in others} == {namespace}


@pytest.mark.parametrize(
    ("name", "databases"),
    [
        ("api", {"scenarios", "predictions"}),
        ("orchestrator", {"scenarios"}),
        ("runner", {"predictions"}),
        ("notifier", {"predictions"}),
        ("inference", set()),
    ],
)
def test_each_pod_has_one_role_and_the_databases_of_that_role(
    tmp_path: Path, name: str, databases: set[str]
) -> None:
    settings = told(name, tmp_path)
    dsns = {"scenarios": settings.scenarios_dsn, "predictions": settings.predictions_dsn}
    assert settings.roles == {name}
    assert settings.bus == ("memory" if name in ("notifier", "inference") else "kafka")
    assert {database for database, dsn in dsns.items() if dsn} == databases
    assert all(urlsplit(dsn).path == f"/{database}" for database, dsn in dsns.items() if dsn)


def test_only_the_api_has_the_keys_of_clients(tmp_path: Path) -> None:
    keys = {name: set(told(name, tmp_path).api_keys) for name in PROCESSES}
    others = [keys[name] for name in PROCESSES if name != "api"]
    assert all(each == others[0] != set() for each in others)
    assert not keys["api"] & others[0]


def test_what_no_policy_allows_is_denied() -> None:
    policies = {name: each["spec"] for name, each in MANIFESTS.items() if each["kind"] == "NetworkPolicy"}
    assert policies.pop("NetworkPolicy deny") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for spec in policies.values():
        allowed = spec.get("ingress", []) + spec.get("egress", [])
        assert allowed
        assert all("ports" in rule or "ipBlock" in rule["to"][0] for rule in allowed)
        for label in spec["podSelector"].get("matchLabels", {}).values():
            assert pod(label)["metadata"]["labels"]["app.kubernetes.io/name"] == label
    for name in ("cameras", "channels"):
        (to,) = policies[f"NetworkPolicy {name}"]["egress"]
        assert "169.254.0.0/16" in to["to"][0]["ipBlock"]["except"]


@pytest.mark.parametrize("name", PROCESSES)
def test_the_probes_ask_what_they_are_for(name: str) -> None:
    probes = container(name)
    assert probes["ports"] == [{"name": "http", "containerPort": int(dockerfile.the("EXPOSE"))}]
    asked = {kind: probes[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert asked == {
        "startup": {"path": "/health/live", "port": "http"},
        "liveness": {"path": "/health/live", "port": "http"},
        "readiness": {"path": "/health/ready", "port": "http"},
    }


@pytest.mark.parametrize("name", PROCESSES)
def test_a_pod_may_do_as_little_as_the_namespace_allows(name: str) -> None:
    labels = MANIFESTS["Namespace videoanalysis"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    user, _, group = dockerfile.the("USER").partition(":")
    assert pod(name)["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(group),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # Kubernetes would describe services in variables, and the service refuses VA_… that are no settings.
    assert pod(name)["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("name", PROCESSES)
def test_what_belongs_together_has_the_same_label(name: str) -> None:
    labels = pod(name)["metadata"]["labels"]
    assert MANIFESTS[f"Deployment {name}"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS[f"PodDisruptionBudget {name}"]["spec"]["selector"]["matchLabels"] == labels
    (spread,) = pod(name)["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels


@pytest.mark.parametrize("name", ["api", "inference"])
def test_each_service_leads_to_its_pods(name: str) -> None:
    service = MANIFESTS[f"Service {name}"]["spec"]
    assert service["selector"] == pod(name)["metadata"]["labels"]
    assert service["ports"][0]["targetPort"] == "http"


def test_runners_ask_the_inference_servers_with_their_key(tmp_path: Path) -> None:
    runner, server = told("runner", tmp_path), told("inference", tmp_path)
    (url,) = map(urlsplit, runner.inference_urls)
    service = MANIFESTS[f"Service {url.hostname}"]
    assert runner.inference == "remote"
    assert runner.inference_key == server.inference_key is not None
    assert (service["metadata"]["name"], service["spec"]["ports"][0]["port"]) == ("inference", url.port)
    for name in ("api", "orchestrator"):
        assert told(name, tmp_path).inference_key is None
    (rule,) = MANIFESTS["NetworkPolicy inference"]["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": pod("runner")["metadata"]["labels"]}}]


def test_inference_servers_are_scaled_by_the_processor_time_that_they_request() -> None:
    scaled = MANIFESTS["ScaledObject inference"]["spec"]
    (trigger,) = scaled["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("cpu", "Utilization")
    assert 0 < int(trigger["metadata"]["value"]) <= 100
    target = scaled["scaleTargetRef"]["name"]
    assert "replicas" not in MANIFESTS[f"Deployment {target}"]["spec"]
    assert float(container(target)["resources"]["requests"]["cpu"]) >= 1


@pytest.mark.parametrize("name", PROCESSES)
def test_what_is_mounted_exists_and_is_not_written_to(name: str) -> None:
    volumes = {volume["name"]: volume for volume in pod(name)["spec"]["volumes"]}
    mounts = {mount["name"]: mount for mount in container(name)["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    assert all(mount.get("readOnly") for mount in mounts.values() if mount["name"] != "tmp")
    for volume in volumes.values():
        if claim := volume.get("persistentVolumeClaim"):
            assert f"PersistentVolumeClaim {claim['claimName']}" in MANIFESTS
    roots = dockerfile.environment()
    if name in ("api", "runner", "inference"):
        assert mounts["models"]["mountPath"] == roots["VA_MODEL_ROOT"]
    if name in ("api", "orchestrator", "runner"):
        assert mounts["media"]["mountPath"] == roots["VA_MEDIA_ROOT"]


def test_apis_and_notifiers_read_the_same_valid_channels(tmp_path: Path) -> None:
    (file,) = MANIFESTS["Secret channels"]["stringData"].items()
    for name in ("api", "notifier"):
        settings = told(name, tmp_path)
        assert settings.channels_file == tmp_path / file[0]
        assert settings.public_url
        (volume,) = [each for each in pod(name)["spec"]["volumes"] if each["name"] == "channels"]
        assert volume["secret"]["secretName"] == "channels"
    assert parse_channels(file[1], file[0]).keys() == {"ops"}


def test_runners_are_scaled_by_the_scenarios_that_a_runner_takes(tmp_path: Path) -> None:
    scaled = MANIFESTS["ScaledObject runner"]["spec"]
    (trigger,) = scaled["triggers"]
    settings = told("runner", tmp_path)
    assert "replicas" not in MANIFESTS[f"Deployment {scaled['scaleTargetRef']['name']}"]["spec"]
    assert int(trigger["metadata"]["targetQueryValue"]) == settings.runner_slots


def test_the_scaler_asks_the_scenarios_database_with_a_password_of_its_own(tmp_path: Path) -> None:
    (trigger,) = MANIFESTS["ScaledObject runner"]["spec"]["triggers"]
    asked = trigger["metadata"]
    address = urlsplit(str(told("orchestrator", tmp_path).scenarios_dsn))
    assert (asked["host"], int(asked["port"]), f"/{asked['dbName']}") == (
        address.hostname,
        address.port,
        address.path,
    )
    access = MANIFESTS[f"TriggerAuthentication {trigger['authenticationRef']['name']}"]
    (secret,) = access["spec"]["secretTargetRef"]
    assert secret["parameter"] == "password"
    assert secret["key"] in MANIFESTS[f"Secret {secret['name']}"]["stringData"]


async def test_the_scaler_counts_what_runs_and_waits_and_may_read_nothing_else(scenarios: Database) -> None:
    (trigger,) = MANIFESTS["ScaledObject runner"]["spec"]["triggers"]
    user = trigger["metadata"]["userName"]
    comment = (FOLDER / "secret.example.yaml").read_text()
    create, grant = re.findall(r"^#   (CREATE ROLE .*;|GRANT .*;)$", comment, re.MULTILINE)
    async with scenarios.connection() as connection:
        await connection.execute(
            """
            INSERT INTO scenarios (id, spec, state, outcome, attempt, runner_id, boot_id, lease_renewed_at)
            SELECT gen_random_uuid(), '{}', state, CASE WHEN state = 'inactive' THEN 'completed' END, 1,
                   CASE WHEN held THEN 'runner' END, CASE WHEN held THEN gen_random_uuid() END,
                   CASE WHEN held THEN now() END
              FROM (SELECT state, state NOT IN ('init_startup', 'inactive') AS held
                      FROM unnest($1::text[]) AS state)
            """,
            ["init_startup", "in_startup_processing", "active", "init_shutdown", "in_shutdown_processing"]
            + ["inactive"] * 3,
        )
        await connection.execute(create)
        try:
            await connection.execute(grant)
            await connection.execute(f"SET ROLE {user}")
            assert await connection.fetchval(trigger["metadata"]["query"]) == 5
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("SELECT spec FROM scenarios")
        finally:
            await connection.execute(f"RESET ROLE; DROP OWNED BY {user}; DROP ROLE {user}")

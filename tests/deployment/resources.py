"""Check manifests against the models of Kubernetes' and KEDA's resources."""

from typing import Any, Literal

import msgspec
from lightkube.models import apps_v1, core_v1, policy_v1
from msgspec import Struct

Yaml = dict[str, Any]


class Metadata(Struct, forbid_unknown_fields=True):
    name: str
    namespace: str


class Target(Struct, forbid_unknown_fields=True):
    name: str


class Trigger(Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    type: Literal["postgresql", "cpu"]
    metric_type: Literal["AverageValue", "Utilization"]
    metadata: dict[str, str]
    authentication_ref: Target | None = None


class Policy(Struct, forbid_unknown_fields=True, rename="camel"):
    type: Literal["Pods", "Percent"]
    value: int
    period_seconds: int


class Rules(Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    stabilization_window_seconds: int
    policies: list[Policy] = []


class Behavior(Struct, forbid_unknown_fields=True, rename="camel"):
    scale_up: Rules
    scale_down: Rules


class Autoscaler(Struct, forbid_unknown_fields=True):
    behavior: Behavior


class Advanced(Struct, forbid_unknown_fields=True, rename="camel"):
    horizontal_pod_autoscaler_config: Autoscaler


class ScaledObjectSpec(Struct, forbid_unknown_fields=True, rename="camel"):
    scale_target_ref: Target
    min_replica_count: int
    max_replica_count: int
    polling_interval: int
    advanced: Advanced
    triggers: list[Trigger]


class ScaledObject(Struct, forbid_unknown_fields=True, rename={"api_version": "apiVersion"}):
    """As much of KEDA's resource as is used."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: ScaledObjectSpec


class SecretTarget(Struct, forbid_unknown_fields=True):
    parameter: str
    name: str
    key: str


class TriggerAuthenticationSpec(Struct, forbid_unknown_fields=True, rename="camel"):
    secret_target_ref: list[SecretTarget]


class TriggerAuthentication(Struct, forbid_unknown_fields=True, rename={"api_version": "apiVersion"}):
    """As much of KEDA's resource as is used."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["TriggerAuthentication"]
    metadata: Metadata
    spec: TriggerAuthenticationSpec


class Port(Struct, forbid_unknown_fields=True):
    protocol: Literal["TCP", "UDP"]
    port: int | str


class Addresses(Struct, forbid_unknown_fields=True, rename={"but": "except"}):
    cidr: str
    but: list[str]


class Peer(Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    namespace_selector: dict[str, dict[str, str]] | None = None
    pod_selector: dict[str, dict[str, str]] | None = None
    ip_block: Addresses | None = None


class Allowed(Struct, forbid_unknown_fields=True, omit_defaults=True, rename={"sender": "from"}):
    to: list[Peer] = []
    sender: list[Peer] = []
    ports: list[Port] = []


class NetworkPolicySpec(Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    pod_selector: dict[str, dict[str, str]]
    policy_types: list[Literal["Ingress", "Egress"]]
    ingress: list[Allowed] = []
    egress: list[Allowed] = []


class NetworkPolicy(Struct, forbid_unknown_fields=True, rename={"api_version": "apiVersion"}):
    """As much of the resource as is used."""

    api_version: Literal["networking.k8s.io/v1"]
    kind: Literal["NetworkPolicy"]
    metadata: Metadata
    spec: NetworkPolicySpec


MODELS: dict[str, Any] = {
    "apps/v1 Deployment": apps_v1.Deployment,
    "keda.sh/v1alpha1 ScaledObject": ScaledObject,
    "keda.sh/v1alpha1 TriggerAuthentication": TriggerAuthentication,
    "networking.k8s.io/v1 NetworkPolicy": NetworkPolicy,
    "policy/v1 PodDisruptionBudget": policy_v1.PodDisruptionBudget,
    "v1 ConfigMap": core_v1.ConfigMap,
    "v1 Namespace": core_v1.Namespace,
    "v1 PersistentVolumeClaim": core_v1.PersistentVolumeClaim,
    "v1 Secret": core_v1.Secret,
    "v1 Service": core_v1.Service,
}


def faults(manifest: Yaml) -> str | None:
    """Return the model's objections to a manifest."""
    try:
        model = msgspec.convert(manifest, MODELS[f"{manifest['apiVersion']} {manifest['kind']}"])
    except msgspec.ValidationError as error:
        return str(error)
    understood = msgspec.to_builtins(model)
    return None if understood == manifest else f"of {manifest} only {understood} was understood"

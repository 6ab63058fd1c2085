"""What an AiNamespace can be asked for, and the quota and limits that follow; refused here, before anything is registered."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, check_shape, known
from slipway.kubernetes import quantity
from slipway.kubernetes.names import check_annotations, check_labels, check_namespace
from slipway.kubernetes.quantity import ComputeQuantities, ComputeResources, fill

GPU = "nvidia.com/gpu"
CONTAINER_DEFAULTS: ComputeResources = {"requests": {"cpu": "100m", "memory": "128Mi"}}
_POD_SECURITY = "pod-security.kubernetes.io/"
_RESOURCE = re.compile(r"(?=.{1,253}/)[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_COUNTS = {
    "gpus": f"requests.{GPU}",
    "pods": "pods",
    "volumes": "persistentvolumeclaims",
    "load_balancers": "services.loadbalancers",
}
_AMOUNTS = {
    "cpu": ("cpu", "requests.cpu"),
    "memory": ("memory", "requests.memory"),
    "memory_limits": ("memory", "limits.memory"),
    "storage": ("storage", "requests.storage"),
}


class PodSecurityLevel(StrEnum):
    """Kubernetes' Pod Security Standards."""

    RESTRICTED = "restricted"
    """No root, no capability, no way to either. Every component of this library runs under it."""
    BASELINE = "baseline"
    """No known way from a pod to its node."""
    PRIVILEGED = "privileged"
    """Everything is let through."""


class NamespaceQuota(TypedDict):
    """Most that all pods of a namespace may ask for together. What is not given has no bound.

    There is no bound on CPU limits: with one, Kubernetes refuses each container without a CPU limit, and such a limit slows an
    engine down while its GPU waits.
    """

    gpus: NotRequired[int]
    """GPUs, as the resource `nvidia.com/gpu`. 0 forbids them."""
    extended_resources: NotRequired[Mapping[str, int]]
    """Other devices by resource name, such as `nvidia.com/mig-3g.40gb` or `amd.com/gpu`."""
    cpu: NotRequired[str]
    """CPU requests in cores, such as `64`."""
    memory: NotRequired[str]
    """Memory requests, such as `512Gi`."""
    memory_limits: NotRequired[str]
    """Memory limits. Kubernetes then refuses each container without one; `container_defaults.limits.memory` gives it one."""
    storage: NotRequired[str]
    """Size of all volumes that are claimed, such as `2Ti`."""
    volumes: NotRequired[int]
    """Number of PersistentVolumeClaims."""
    pods: NotRequired[int]
    """Number of pods. A rollout needs room for the new beside the old."""
    load_balancers: NotRequired[int]
    """Services of type LoadBalancer, each of which a cloud bills. 0 forbids them."""


class AiNamespaceArgs(TypedDict):
    """What an AiNamespace is made of. Nothing is required. All but `namespace` must be plain: the plan is checked with it."""

    namespace: NotRequired[pulumi.Input[str]]
    """Its name in the cluster. Default: this resource's own name."""
    pod_security: NotRequired[PodSecurityLevel]
    """Pod Security Standard that is enforced, audited and warned of: 'restricted', 'baseline' or 'privileged'.
    Default 'restricted'."""
    quota: NotRequired[NamespaceQuota]
    """Most that its pods may ask for together. Default: no ResourceQuota."""
    container_defaults: NotRequired[ComputeResources]
    """What a container gets that does not say. Default: requests of 100m and 128Mi, no limits.

    A limit given here becomes the limit of every container without one of its own; Kubernetes refuses the pod where that is
    below the container's request.
    """
    container_max: NotRequired[ComputeQuantities]
    """Most that one container may have as its limit. Default: no bound. A container without a limit gets this one."""
    default_deny: NotRequired[bool]
    """Whether a pod that no other NetworkPolicy selects is reached by nobody and reaches nothing but DNS. Default true.
    This library's components bring policies of their own, which open what they need."""
    labels: NotRequired[Mapping[str, str]]
    """More labels of the namespace, such as a mesh's. Default none. Excludes those of pod security."""
    annotations: NotRequired[Mapping[str, str]]
    """Annotations of the namespace. Default none."""


@dataclass(frozen=True)
class NamespaceSettings:
    """An AiNamespace's arguments, checked, with every default filled in."""

    namespace: pulumi.Input[str]
    pod_security: PodSecurityLevel
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    hard: Mapping[str, str]
    """Bounds of the ResourceQuota by Kubernetes' names. Empty: there is none."""
    container: k8s.core.v1.LimitRangeItemArgsDict
    default_deny: bool

    @classmethod
    def of(cls, name: str, args: AiNamespaceArgs) -> "NamespaceSettings":
        """Raises `pulumi.InputPropertiesError` that lists every fault."""
        faults = Faults("AiNamespace")
        given = check_shape(args, AiNamespaceArgs, faults)
        check_namespace("name", name, faults)
        if not faults.at("namespace"):
            known(given.get("namespace"), lambda plain: check_namespace("namespace", plain, faults))
        for key in _plain_mapping(given, "labels"):
            if key.startswith(_POD_SECURITY):
                faults.add(f"labels.{key}", "is set here; give 'pod_security' instead")
        check_labels("labels", given.get("labels"), faults)
        check_annotations("annotations", given.get("annotations"), faults)
        settings = cls(
            namespace=given.get("namespace", name),
            pod_security=given.get("pod_security", PodSecurityLevel.RESTRICTED),
            labels=_plain_mapping(given, "labels"),
            annotations=_plain_mapping(given, "annotations"),
            hard=_hard(_plain_mapping(given, "quota"), faults),
            container=_container(given, faults),
            default_deny=given.get("default_deny", True),
        )
        faults.refuse(name)
        return settings

    @property
    def metadata_labels(self) -> dict[str, str]:
        """The namespace's labels: those of pod security, then the user's."""
        return {**pod_security_labels(self.pod_security), **self.labels}


def pod_security_labels(level: PodSecurityLevel) -> dict[str, str]:
    """The three labels of the Pod Security admission controller (Kubernetes, "Pod Security Admission")."""
    return {f"{_POD_SECURITY}{mode}": level.value for mode in ("enforce", "audit", "warn")}


def _hard(quota: Mapping[str, Any], faults: Faults) -> dict[str, str]:
    hard: dict[str, str] = {}
    for key, (kind, resource) in _AMOUNTS.items():
        value = quota.get(key)
        if isinstance(value, str):
            quantity.check(f"quota.{key}", kind, value, faults)
            hard[resource] = value
    counts = {f"quota.{key}": (resource, quota.get(key)) for key, resource in _COUNTS.items()}
    for resource, count in _plain_mapping(quota, "extended_resources").items():
        path = f"quota.extended_resources.{resource}"
        if resource == GPU:
            faults.add(path, "has an argument of its own; give 'quota.gpus'")
        elif not _RESOURCE.fullmatch(resource):
            faults.add(path, "is no name of an extended resource; give DOMAIN/NAME, such as 'nvidia.com/mig-3g.40gb'")
        counts[path] = (f"requests.{resource}", count)
    for path, (resource, count) in counts.items():
        if isinstance(count, int):
            if count < 0:
                faults.add(path, f"is {count}; give 0 or more, or leave it out for no bound")
            hard[resource] = str(count)
    return hard


def _container(given: Mapping[str, Any], faults: Faults) -> k8s.core.v1.LimitRangeItemArgsDict:
    asked = "container_defaults"
    resources = fill(asked, cast("ComputeResources", _plain_mapping(given, asked)), CONTAINER_DEFAULTS, faults)
    defaults = {group: cast("Mapping[str, str]", resources.get(group, {})) for group in ("requests", "limits")}
    most = {kind: text for kind, text in _plain_mapping(given, "container_max").items() if isinstance(text, str)}
    for kind, text in most.items():
        quantity.check(f"container_max.{kind}", kind, text, faults)
        for group, amounts in defaults.items():
            path = f"{asked}.{group}.{kind}"
            if kind not in amounts or faults.at(path) or faults.at(f"container_max.{kind}"):
                continue
            if quantity.parse(amounts[kind]) > quantity.parse(text):
                faults.add(path, f"is '{amounts[kind]}', above container_max.{kind} = '{text}'; lower it or raise the other")
    item: k8s.core.v1.LimitRangeItemArgsDict = {"type": "Container", "default_request": defaults["requests"]}
    if defaults["limits"]:
        item["default"] = defaults["limits"]
    if most:
        item["max"] = most
    return item


def _plain_mapping(given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """What is there under a key, or nothing where `check_shape` told already that it is no mapping."""
    value: object = given.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
